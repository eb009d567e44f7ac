//! Keys and values of prompts that were computed before: pages and earlier turns of a conversation.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use glyph_model::text::KvPrefix;

use crate::lru::ByteLru;
use crate::stats::CacheStats;
use crate::vision_cache::PageKey;

/// What a position's keys and values depend on besides the positions before it. The cache lives and dies with its
/// model, whose fingerprint is in every page's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PositionKey {
    /// A token of text.
    Text(u32),
    /// A vision token of a page, by its place there.
    Page(PageKey, u32),
}

/// Positions that are hashed together. Shared beginnings shorter than this are computed faster than copied.
const BLOCK: usize = 16;

/// Names an entry; later ones are higher.
type EntryId = u64;

/// Prompts with their keys and values. Every whole block of a prompt has a hash that goes over all positions before it
/// too, so that a look-up costs as many steps as the prompt has blocks, however many entries there are. Hashes only
/// lead to entries: what is shared is what compares equal.
#[derive(Debug)]
pub(crate) struct PrefixCache<V = KvPrefix> {
    entries: ByteLru<EntryId, Entry<V>>,
    blocks: HashMap<u64, Block>,
    hasher: RandomState,
    next_id: EntryId,
    bytes_per_token: u64,
}

#[derive(Debug)]
struct Entry<V> {
    key: Vec<PositionKey>,
    value: V,
}

/// The entries that have a block.
#[derive(Debug, Default)]
struct Block {
    holders: BTreeSet<EntryId>,
    /// Those of them whose last whole block it is.
    ends: BTreeSet<EntryId>,
}

impl<V: Clone> PrefixCache<V> {
    pub fn new(most_bytes: u64, bytes_per_token: u64) -> Self {
        Self {
            entries: ByteLru::new(most_bytes),
            blocks: HashMap::new(),
            hasher: RandomState::new(),
            next_id: 0,
            bytes_per_token,
        }
    }

    /// The keys and values that share the longest beginning with `prompt`, to the block, and how long it is: at most all
    /// but the last position, whose scores are still to be computed.
    pub fn longest(&mut self, prompt: &[PositionKey]) -> Option<(V, usize)> {
        let most = prompt.len().saturating_sub(1);
        let deepest = self
            .chain(prompt)
            .map_while(|hash| self.blocks.get(&hash))
            .last();
        // Of those that go as far the newest: it is the likeliest to go further.
        let found = deepest.and_then(|block| block.holders.last()).copied();
        let shared = found.and_then(|id| {
            let entry = self.entries.peek(&id)?;
            let len = shared_len(&entry.key, prompt).min(most);
            (len >= BLOCK).then_some((id, len))
        });
        self.entries.count(shared.is_some());
        let (id, len) = shared?;
        Some((self.entries.touch(&id)?.value.clone(), len))
    }

    /// Keeps a prompt, in place of those that it begins with. Its keys and values are copied when the others are gone, so
    /// that they find the room. Who asked [`Self::holds`] first copies nothing in vain.
    ///
    /// # Errors
    /// Those of `copy`; the prompt is not kept then.
    pub fn insert<E>(
        &mut self,
        key: Vec<PositionKey>,
        copy: impl FnOnce() -> Result<V, E>,
    ) -> Result<(), E> {
        if key.len() < BLOCK || !self.takes(key.len()) {
            return Ok(());
        }
        let hashes: Vec<u64> = self.chain(&key).collect();
        let ends = hashes.iter().filter_map(|hash| self.blocks.get(hash));
        let shorter: Vec<EntryId> = ends
            .flat_map(|block| &block.ends)
            .copied()
            .filter(|id| {
                let other = self.entries.peek(id);
                other.is_some_and(|other| key.starts_with(&other.key))
            })
            .collect();
        for id in shorter {
            if let Some(entry) = self.entries.remove(&id) {
                self.forget(id, &entry.key);
            }
        }
        let bytes = self.bytes_per_token * key.len() as u64;
        for (id, entry) in self.entries.make_room(bytes) {
            self.forget(id, &entry.key);
        }
        let value = copy()?;
        let id = self.next_id;
        self.next_id += 1;
        for hash in &hashes {
            self.blocks.entry(*hash).or_default().holders.insert(id);
        }
        if let Some(last) = hashes.last() {
            self.blocks.entry(*last).or_default().ends.insert(id);
        }
        // There is room: nothing is given up for it.
        self.entries.insert(id, Entry { key, value }, bytes);
        Ok(())
    }

    /// Whether an entry begins with all of `key`.
    pub fn holds(&self, key: &[PositionKey]) -> bool {
        let last = self.chain(key).last();
        let block = last.and_then(|hash| self.blocks.get(&hash));
        block.is_some_and(|block| {
            let mut holders = block.holders.iter().rev();
            holders.any(|id| {
                let entry = self.entries.peek(id);
                entry.is_some_and(|entry| entry.key.starts_with(key))
            })
        })
    }

    /// Whether it may keep anything of that length.
    pub fn takes(&self, n_tokens: usize) -> bool {
        self.entries.takes(self.bytes_per_token * n_tokens as u64)
    }

    pub fn stats(&self) -> CacheStats {
        self.entries.stats()
    }

    /// The hash of each whole block with all that stands before it.
    fn chain(&self, key: &[PositionKey]) -> impl Iterator<Item = u64> {
        key.chunks_exact(BLOCK).scan(0_u64, |before, block| {
            *before = self.hasher.hash_one((*before, block));
            Some(*before)
        })
    }

    /// Takes an entry that is gone out of its blocks.
    fn forget(&mut self, id: EntryId, key: &[PositionKey]) {
        let hashes: Vec<u64> = self.chain(key).collect();
        for hash in hashes {
            if let Some(block) = self.blocks.get_mut(&hash) {
                block.holders.remove(&id);
                block.ends.remove(&id);
                if block.holders.is_empty() {
                    self.blocks.remove(&hash);
                }
            }
        }
    }
}

fn shared_len(a: &[PositionKey], b: &[PositionKey]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::{PositionKey, PrefixCache};

    fn keys(ids: impl IntoIterator<Item = u32>) -> Vec<PositionKey> {
        ids.into_iter().map(PositionKey::Text).collect()
    }

    fn cache(most_tokens: u64) -> PrefixCache<&'static str> {
        PrefixCache::new(most_tokens, 1)
    }

    fn keep(cache: &mut PrefixCache<&'static str>, key: Vec<PositionKey>, value: &'static str) {
        cache.insert(key, || Ok::<_, ()>(value)).unwrap();
    }

    #[test]
    fn the_longest_shared_beginning_is_found_to_the_position() {
        let mut cache = cache(1000);
        keep(&mut cache, keys(0..40), "forty");
        keep(&mut cache, keys((0..20).chain(100..200)), "branch");
        // 37 positions are shared, two blocks and five more.
        let (value, len) = cache.longest(&keys((0..37).chain(500..600))).unwrap();
        assert_eq!((value, len), ("forty", 37));
        let (value, len) = cache.longest(&keys((0..20).chain(100..120))).unwrap();
        // All of the prompt is there; its last position is computed again for its scores.
        assert_eq!((value, len), ("branch", 39));
        // Less than a block is not worth a copy, and what differs early shares nothing.
        assert!(cache.longest(&keys((0..15).chain(700..800))).is_none());
        assert!(cache.longest(&keys(1..100)).is_none());
        assert!(cache.longest(&[]).is_none());
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (2, 3));
    }

    #[test]
    fn a_prompt_replaces_those_that_it_begins_with_and_only_those() {
        let mut cache = cache(1000);
        keep(&mut cache, keys(0..33), "short");
        keep(&mut cache, keys((0..32).chain([99])), "other end");
        keep(&mut cache, keys(0..90), "long");
        assert!(cache.holds(&keys(0..33)) && cache.holds(&keys(0..90)));
        assert!(cache.holds(&keys((0..32).chain([99]))));
        assert!(!cache.holds(&keys(0..91)) && !cache.holds(&keys(5..40)));
        let stats = cache.stats();
        assert_eq!((stats.entries, stats.bytes), (2, 90 + 33));
    }

    #[test]
    fn what_was_given_up_is_not_found_and_leaves_nothing_behind() {
        let mut cache = cache(100);
        for start in 0..50 {
            let key = keys((0..16).chain(start * 1000..start * 1000 + 24));
            keep(&mut cache, key, "x");
            assert!(cache.stats().bytes <= 100);
        }
        let stats = cache.stats();
        assert_eq!((stats.entries, stats.evictions), (2, 48));
        assert_eq!(cache.longest(&keys(0..40)).map(|(_, len)| len), Some(16));
        // One block in common, two blocks of which one is shared each.
        assert_eq!(cache.blocks.len(), 3);
        keep(&mut cache, keys(0..101), "larger than the cache");
        assert_eq!(cache.stats().entries, 2);
    }

    #[test]
    fn what_is_given_up_is_gone_before_another_is_copied() {
        let alive = Arc::new(());
        let mut cache: PrefixCache<Arc<()>> = PrefixCache::new(100, 1);
        for start in [0, 1000, 2000, 3000] {
            let copy = || {
                // Beside this handle and the new one that of one other prompt.
                assert!(Arc::strong_count(&alive) <= 2);
                Ok::<_, ()>(Arc::clone(&alive))
            };
            cache.insert(keys(start..start + 40), copy).unwrap();
            // Room for two.
            let n_kept = cache.stats().entries;
            assert_eq!(Arc::strong_count(&alive), 1 + n_kept);
            assert_eq!(n_kept, if start == 0 { 1 } else { 2 });
        }
    }

    #[test]
    fn a_copy_that_fails_leaves_the_others_as_they_are() {
        let mut cache = cache(100);
        keep(&mut cache, keys(0..40), "first");
        keep(&mut cache, keys(1000..1040), "second");
        let failed = cache.insert(keys(2000..2040), || Err("out of memory"));
        assert_eq!(failed, Err("out of memory"));
        assert!(!cache.holds(&keys(2000..2040)));
        assert!(cache.longest(&keys(2000..2050)).is_none());
        // What had to make room for it is gone, the other is not.
        assert!(cache.longest(&keys(0..50)).is_none());
        let (value, len) = cache.longest(&keys(1000..1050)).unwrap();
        assert_eq!((value, len), ("second", 40));
        keep(&mut cache, keys(2000..2040), "third");
        assert_eq!(cache.stats().entries, 2);
    }

    #[test]
    fn a_look_up_does_not_grow_with_the_number_of_entries() {
        let seconds = |n_entries: u32| {
            let mut cache = cache(u64::MAX);
            for entry in 0..n_entries {
                // They differ at their end alone: comparing each would take their whole length.
                keep(&mut cache, keys((0..500).chain([10_000 + entry; 16])), "x");
            }
            let prompt = keys((0..500).chain([9; 100]));
            let runs = (0..5).map(|_| {
                let start = Instant::now();
                assert_eq!(cache.longest(&prompt).unwrap().1, 500);
                start.elapsed().as_secs_f64()
            });
            runs.fold(f64::INFINITY, f64::min)
        };
        let (few, many) = (seconds(4), seconds(1000));
        assert!(
            many < 20.0 * few,
            "{few} s with 4 entries, {many} s with 1000"
        );
    }
}
