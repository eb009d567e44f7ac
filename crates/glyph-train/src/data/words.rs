//! The embedded word lists. Their sources and licences are stated in `data/README.md` of this
//! crate.

use std::sync::LazyLock;

/// A list of words, read once from the text embedded in the binary.
pub type WordList = LazyLock<Vec<&'static str>>;

macro_rules! word_list {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub static $name: WordList = LazyLock::new(|| {
            include_str!(concat!("../../data/", $file)).split_ascii_whitespace().collect()
        });
    };
}

word_list!(
    /// Some seven thousand English words of 2 to 12 lower-case letters.
    DICTIONARY,
    "words.txt"
);
word_list!(
    /// Singular nouns of at most ten letters.
    NOUNS,
    "nouns.txt"
);
word_list!(
    /// Adjectives of at most ten letters.
    ADJECTIVES,
    "adjectives.txt"
);
word_list!(
    /// Transitive verbs in the past tense.
    VERBS,
    "verbs.txt"
);
word_list!(
    /// Adverbs.
    ADVERBS,
    "adverbs.txt"
);
word_list!(
    /// Given names.
    FIRST_NAMES,
    "first_names.txt"
);
word_list!(
    /// Family names.
    LAST_NAMES,
    "last_names.txt"
);
word_list!(
    /// Cities.
    CITIES,
    "cities.txt"
);
word_list!(
    /// Capitalised words that qualify a field of a form ("Invoice" of "Invoice number").
    LABEL_WORDS,
    "label_words.txt"
);
word_list!(
    /// Lower-case words that names of settings are made of.
    SETTING_WORDS,
    "setting_words.txt"
);

/// Every list, for checks that hold for all of them.
#[cfg(test)]
pub(crate) static ALL_LISTS: [&WordList; 10] = [
    &DICTIONARY,
    &NOUNS,
    &ADJECTIVES,
    &VERBS,
    &ADVERBS,
    &FIRST_NAMES,
    &LAST_NAMES,
    &CITIES,
    &LABEL_WORDS,
    &SETTING_WORDS,
];

/// The days of the week.
pub const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// The months of the year.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn lists_are_full_unique_and_plain_letters() {
        for list in ALL_LISTS {
            assert!(list.len() >= 90);
            let unique: HashSet<_> = list.iter().collect();
            assert_eq!(unique.len(), list.len());
            assert!(
                list.iter()
                    .all(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()))
            );
        }
        assert!(DICTIONARY.len() > 5000);
        assert!(
            NOUNS
                .iter()
                .chain(ADJECTIVES.iter())
                .all(|word| word.len() <= 10)
        );
    }
}
