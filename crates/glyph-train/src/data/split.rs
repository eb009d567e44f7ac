//! Which material belongs to training and which is held out.
//!
//! The two splits draw from the same lists and grammars, so a different seed alone would let
//! held-out samples repeat what was trained on. Instead every generated *item* has a class that
//! depends on nothing but its own letters, and each split takes only the items of its class:
//!
//! | item | rule |
//! | --- | --- |
//! | word of an embedded list (3 letters or more) | one in ten is reserved; training never draws a reserved word |
//! | compound (needle key, needle word, person, field label, setting name) | reserved when any part, or the whole, is reserved |
//! | generated value (number, date, code, address, random string; 3 characters or more) | one in ten is reserved |
//! | short value (1 or 2 characters, `true`/`false`) | the pair of label and value is classed |
//! | whole prose sentence, whole line of code (8 characters or more) | one in ten is reserved |
//!
//! Training takes only items that are not reserved. The held-out split takes only reserved
//! compounds, values, sentences and lines; single words it draws from both classes, about half of
//! them reserved. Shared on purpose: the wording of questions, the noise text of the needle
//! task, one- and two-letter words, the fixed one-word labels of forms (`Total`, `Phone`; their
//! values are classed all the same), the scaffolding of templates (articles, weekdays, months), and of lines that look
//! alike all but single words: counters, rules, runs of a character, short answers.

/// One item in this many is reserved for the held-out split.
pub const RESERVED_ONE_IN: u64 = 10;

/// Items shorter than this are too few to be split and are shared.
const SHORTEST_CLASSED_ITEM: usize = 3;

/// Lines of code shorter than this (`}`, `else:`) are too few to be split and are shared.
const SHORTEST_CLASSED_LINE: usize = 8;

/// The side of the data a generator works for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Material a model may be trained on.
    Train,
    /// Material kept for measuring: disjoint from the training side by construction.
    HeldOut,
}

impl Split {
    /// A number that keeps the random streams of the two splits apart.
    pub(crate) fn salt(self) -> u64 {
        match self {
            Self::Train => 0x7261_696e,
            Self::HeldOut => 0x6865_6c64,
        }
    }

    /// Whether a generated value may appear in this split.
    pub fn admits_value(self, value: &str) -> bool {
        is_shared_value(value) || is_reserved(value) == self.wants_reserved()
    }

    /// Whether a whole sentence or line of code may appear in this split.
    pub fn admits_line(self, line: &str) -> bool {
        is_shared_line(line) || is_reserved(line) == self.wants_reserved()
    }

    /// Whether a compound of several words may appear in this split.
    pub fn admits_compound(self, parts: &[&str]) -> bool {
        is_reserved_compound(parts) == self.wants_reserved()
    }

    /// Whether the fact that `label` has `value` may appear in this split.
    ///
    /// Long values are classed by themselves, short ones and flags together with their label.
    pub fn admits_fact(self, label: &str, value: &str) -> bool {
        let too_few_values = is_shared_value(value) || matches!(value, "true" | "false");
        if too_few_values {
            is_reserved(&format!("{label}\n{value}")) == self.wants_reserved()
        } else {
            self.admits_value(value)
        }
    }

    /// Whether this split takes the reserved items.
    pub(crate) fn wants_reserved(self) -> bool {
        self == Self::HeldOut
    }
}

/// Whether a value is too short to be classed.
pub(crate) fn is_shared_value(value: &str) -> bool {
    value.len() < SHORTEST_CLASSED_ITEM
}

/// Whether a line of code is too short to be classed.
pub(crate) fn is_shared_line(line: &str) -> bool {
    line.len() < SHORTEST_CLASSED_LINE
}

/// Whether an item belongs to the held-out split. Case is ignored; items of one or two
/// characters are shared and so never reserved.
pub fn is_reserved(item: &str) -> bool {
    item.len() >= SHORTEST_CLASSED_ITEM && letter_hash(item).is_multiple_of(RESERVED_ONE_IN)
}

/// Whether a compound is reserved: any of its parts is, or the parts together are.
pub fn is_reserved_compound(parts: &[&str]) -> bool {
    parts.iter().any(|part| is_reserved(part)) || is_reserved(&parts.join("-"))
}

/// FNV-1a over the lower-cased bytes, finished with a mixer so that the low digits are even.
fn letter_hash(item: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in item.bytes() {
        hash ^= u64::from(byte.to_ascii_lowercase());
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::words;

    #[test]
    fn about_a_tenth_of_every_list_is_reserved() {
        for list in words::ALL_LISTS {
            let total = list.len();
            let reserved = list.iter().filter(|word| is_reserved(word)).count();
            assert!(reserved * 20 > total, "{reserved} of {total} reserved");
            assert!(reserved * 6 < total, "{reserved} of {total} reserved");
        }
    }

    #[test]
    fn every_long_item_belongs_to_exactly_one_split() {
        for item in ["4821093", "brave-lantern", "a3f09c", "xyz"] {
            assert_ne!(
                Split::Train.admits_value(item),
                Split::HeldOut.admits_value(item)
            );
        }
        assert!(Split::Train.admits_value("x") && Split::HeldOut.admits_value("x"));
        assert_ne!(
            Split::Train.admits_fact("retries", "4"),
            Split::HeldOut.admits_fact("retries", "4")
        );
    }

    #[test]
    fn a_reserved_part_reserves_the_compound() {
        let reserved = words::NOUNS.iter().find(|word| is_reserved(word)).unwrap();
        assert!(is_reserved_compound(&["any", reserved]));
        assert!(!Split::Train.admits_compound(&["any", reserved]));
    }
}
