//! A cache bounded by bytes that gives up what was used longest ago.

use std::hash::Hash;

use lru::LruCache;

use crate::stats::CacheStats;

/// Entries with their sizes.
#[derive(Debug)]
pub struct ByteLru<K: Hash + Eq, V> {
    entries: LruCache<K, (V, u64)>,
    stats: CacheStats,
}

impl<K: Hash + Eq, V> ByteLru<K, V> {
    /// A cache of at most `most_bytes`; 0 keeps nothing.
    pub fn new(most_bytes: u64) -> Self {
        Self {
            entries: LruCache::unbounded(),
            stats: CacheStats {
                most_bytes,
                ..CacheStats::default()
            },
        }
    }

    /// What it has counted.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.entries.len(),
            ..self.stats
        }
    }

    /// Counts a look-up that another way of looking answered.
    pub fn count(&mut self, is_hit: bool) {
        if is_hit {
            self.stats.hits += 1;
        } else {
            self.stats.misses += 1;
        }
    }

    /// An entry, which is then the one used last.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        let found = self.entries.get(key);
        match found {
            Some(_) => self.stats.hits += 1,
            None => self.stats.misses += 1,
        }
        found.map(|(value, _)| value)
    }

    /// An entry, neither counted nor moved.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key).map(|(value, _)| value)
    }

    /// Makes an entry the one used last.
    pub fn touch(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (value, bytes) = self.entries.pop(key)?;
        self.stats.bytes -= bytes;
        Some(value)
    }

    /// Whether an entry of that size can be kept at all.
    pub fn takes(&self, bytes: u64) -> bool {
        bytes <= self.stats.most_bytes
    }

    /// Puts an entry in and returns the others that it gave up for it; one larger than the whole cache is not kept.
    pub fn insert(&mut self, key: K, value: V, bytes: u64) -> Vec<(K, V)> {
        if !self.takes(bytes) {
            return Vec::new();
        }
        self.remove(&key);
        let evicted = self.make_room(bytes);
        self.stats.bytes += bytes;
        self.entries.put(key, (value, bytes));
        evicted
    }

    /// Gives entries up until so many bytes are free, and returns them: for who makes an entry only when there is room
    /// for it.
    pub fn make_room(&mut self, bytes: u64) -> Vec<(K, V)> {
        let mut evicted = Vec::new();
        while self.stats.bytes + bytes > self.stats.most_bytes {
            let Some((key, (value, freed))) = self.entries.pop_lru() else {
                break;
            };
            self.stats.bytes -= freed;
            self.stats.evictions += 1;
            evicted.push((key, value));
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::ByteLru;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut cache = ByteLru::new(10);
        cache.insert("a", 1, 4);
        cache.insert("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(&1));
        assert_eq!(cache.insert("c", 3, 4), [("b", 2)]);
        assert_eq!(cache.get(&"b"), None);
        assert_eq!(cache.get(&"a"), Some(&1));
        assert_eq!(cache.get(&"c"), Some(&3));
        let stats = cache.stats();
        assert_eq!(
            (stats.hits, stats.misses, stats.evictions),
            (3, 1, 1),
            "{stats:?}"
        );
        assert_eq!((stats.entries, stats.bytes), (2, 8));
    }

    #[test]
    fn an_entry_that_is_put_again_counts_once_and_one_too_large_is_not_kept() {
        let mut cache = ByteLru::new(10);
        cache.insert("a", 1, 6);
        cache.insert("a", 2, 8);
        cache.insert("b", 3, 11);
        assert_eq!(cache.get(&"a"), Some(&2));
        assert_eq!(cache.get(&"b"), None);
        assert_eq!(cache.stats().bytes, 8);
        assert_eq!(cache.stats().evictions, 0);
    }
}
