//! Keys and values of prompts that were computed before: pages and earlier turns of a conversation.

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

/// Shared beginnings shorter than this are computed faster than copied.
const LEAST_SHARED: usize = 16;

/// Prompts with their keys and values.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    entries: ByteLru<Vec<PositionKey>, KvPrefix>,
    bytes_per_token: u64,
}

impl PrefixCache {
    pub fn new(most_bytes: u64, bytes_per_token: u64) -> Self {
        Self {
            entries: ByteLru::new(most_bytes),
            bytes_per_token,
        }
    }

    /// The keys and values that share the longest beginning with `prompt`, and how long it is: at most all but the
    /// last position, whose scores are still to be computed.
    pub fn longest(&mut self, prompt: &[PositionKey]) -> Option<(KvPrefix, usize)> {
        let best = self
            .entries
            .iter()
            .map(|(key, _)| (shared_len(key, prompt), key))
            .max_by_key(|(len, _)| *len)
            .map(|(len, key)| (len.min(prompt.len().saturating_sub(1)), key.clone()))
            .filter(|(len, _)| *len >= LEAST_SHARED);
        self.entries.count(best.is_some());
        let (len, key) = best?;
        Some((self.entries.touch(&key)?.clone(), len))
    }

    /// Keeps a prompt, in place of those that it begins with. Who asked [`Self::holds`] first copies nothing in vain.
    pub fn insert(&mut self, key: Vec<PositionKey>, prefix: KvPrefix) {
        if prefix.len() < LEAST_SHARED || prefix.len() != key.len() {
            return;
        }
        let shorter: Vec<Vec<PositionKey>> = self
            .entries
            .iter()
            .filter(|(other, _)| key.starts_with(other))
            .map(|(other, _)| other.clone())
            .collect();
        shorter.iter().for_each(|other| self.entries.remove(other));
        let bytes = self.bytes_per_token * key.len() as u64;
        self.entries.insert(key, prefix, bytes);
    }

    /// Whether an entry begins with all of `key`.
    pub fn holds(&self, key: &[PositionKey]) -> bool {
        self.entries.iter().any(|(other, _)| other.starts_with(key))
    }

    /// Whether it may keep anything of that length.
    pub fn takes(&self, n_tokens: usize) -> bool {
        self.bytes_per_token * n_tokens as u64 <= self.stats().most_bytes
    }

    pub fn stats(&self) -> CacheStats {
        self.entries.stats()
    }
}

fn shared_len(a: &[PositionKey], b: &[PositionKey]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
