//! Random choices on behalf of one split.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::split::{RESERVED_ONE_IN, Split, is_reserved, is_shared_line, is_shared_value};

/// How often a single word is drawn again before a word of the other class is taken.
const WORD_TRIES: usize = 64;

/// A random stream together with the split it serves.
pub(crate) struct Draw {
    rng: ChaCha8Rng,
    split: Split,
    /// Whether shapes that came late are drawn though this is material to be measured by.
    measures_all_shapes: bool,
}

impl Draw {
    /// The stream of one sample: one per split, seed and index.
    pub(crate) fn new(seed: u64, split: Split, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9) ^ split.salt());
        rng.set_stream(index);
        Self {
            rng,
            split,
            measures_all_shapes: false,
        }
    }

    /// See [`Generator::with_all_shapes`](super::Generator::with_all_shapes).
    pub(crate) fn with_all_shapes(self, measures_all_shapes: bool) -> Self {
        Self {
            measures_all_shapes,
            ..self
        }
    }

    /// Whether shapes are drawn that came late.
    pub(crate) fn has_all_shapes(&self) -> bool {
        self.learns() || self.measures_all_shapes
    }

    /// Whether this is material to learn from, and not to be measured by.
    pub(crate) fn learns(&self) -> bool {
        self.split == Split::Train
    }

    /// The split that the stream serves.
    pub(crate) fn split(&self) -> Split {
        self.split
    }

    /// A number in `0..count`, and 0 when `count` is 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        if count == 0 {
            0
        } else {
            self.rng.random_range(0..count)
        }
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a fixed set.
    pub(crate) fn one_of<T: Copy, const N: usize>(&mut self, items: &[T; N]) -> T {
        items[self.below(N)]
    }

    /// One of a list, whatever its class; the empty string of an empty list.
    pub(crate) fn any(&mut self, list: &[&'static str]) -> &'static str {
        list.get(self.below(list.len()))
            .copied()
            .unwrap_or_default()
    }

    /// A word of a list: never a reserved one in training, about every second one reserved when
    /// held out.
    pub(crate) fn word(&mut self, list: &[&'static str]) -> &'static str {
        let wants_reserved = match self.split {
            Split::Train => false,
            Split::HeldOut => self.chance(50),
        };
        for _ in 0..WORD_TRIES {
            let word = self.any(list);
            if is_reserved(word) == wants_reserved {
                return word;
            }
        }
        list.iter()
            .copied()
            .find(|word| !is_reserved(word))
            .unwrap_or_default()
    }

    /// Draws until the item is one that this split admits.
    pub(crate) fn admitted<T>(
        &mut self,
        mut make: impl FnMut(&mut Self) -> T,
        admits: impl Fn(Split, &T) -> bool,
    ) -> T {
        loop {
            let item = make(self);
            if admits(self.split, &item) {
                return item;
            }
        }
    }

    /// A generated value of this split.
    pub(crate) fn value(&mut self, make: impl FnMut(&mut Self) -> String) -> String {
        self.classed(make, Split::admits_value, is_shared_value)
    }

    /// A whole sentence or line of code of this split.
    pub(crate) fn line(&mut self, make: impl FnMut(&mut Self) -> String) -> String {
        self.classed(make, Split::admits_line, is_shared_line)
    }

    /// An item that this split admits. Shared items are thinned out like the classed ones, so
    /// that short items are as frequent in either split as `make` makes them.
    fn classed(
        &mut self,
        mut make: impl FnMut(&mut Self) -> String,
        admits: impl Fn(Split, &str) -> bool,
        is_shared: impl Fn(&str) -> bool,
    ) -> String {
        loop {
            let item = make(self);
            let admitted = if is_shared(&item) {
                let falls_to_held_out = self.below(RESERVED_ONE_IN as usize) == 0;
                falls_to_held_out == self.split.wants_reserved()
            } else {
                admits(self.split, &item)
            };
            if admitted {
                return item;
            }
        }
    }

    /// Two words that form a compound of this split.
    pub(crate) fn pair(
        &mut self,
        first: &[&'static str],
        second: &[&'static str],
    ) -> (&'static str, &'static str) {
        self.admitted(
            |draw| (draw.any(first), draw.any(second)),
            |split, (first, second)| split.admits_compound(&[first, second]),
        )
    }

    /// Another compound that shares its first or its second word with `pair`.
    pub(crate) fn pair_like(
        &mut self,
        pair: (&'static str, &'static str),
        first: &[&'static str],
        second: &[&'static str],
    ) -> (&'static str, &'static str) {
        self.admitted(
            |draw| {
                if draw.chance(50) {
                    (pair.0, draw.any(second))
                } else {
                    (draw.any(first), pair.1)
                }
            },
            |split, other| *other != pair && split.admits_compound(&[other.0, other.1]),
        )
    }

    /// `count` characters of an alphabet.
    pub(crate) fn characters(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count)
            .filter_map(|_| alphabet.get(self.below(alphabet.len())))
            .map(|&byte| char::from(byte))
            .collect()
    }

    /// `count` decimal digits, the first one not zero.
    pub(crate) fn digits(&mut self, count: usize) -> String {
        let mut digits = self.characters(b"123456789", count.min(1));
        digits.push_str(&self.characters(b"0123456789", count.saturating_sub(1)));
        digits
    }

    /// Puts items in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
