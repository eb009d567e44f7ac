//! Scripts that are more than a row of characters from left to right.

use std::ops::RangeInclusive;

/// Blocks of Unicode whose letters run from right to left or take their shape from their neighbours.
/// The last one ends before U+FEFF, which is no letter but the mark at the start of many files.
const BLOCKS: [(&str, RangeInclusive<char>); 7] = [
    ("Hebrew", '\u{0590}'..='\u{05FF}'),
    ("Arabic", '\u{0600}'..='\u{06FF}'),
    ("Arabic, supplement", '\u{0750}'..='\u{077F}'),
    ("Arabic, extended", '\u{08A0}'..='\u{08FF}'),
    ("Indic, from Devanagari to Sinhala", '\u{0900}'..='\u{0DFF}'),
    (
        "Hebrew and Arabic, presentation forms A",
        '\u{FB1D}'..='\u{FDFF}',
    ),
    ("Arabic, presentation forms B", '\u{FE70}'..='\u{FEFC}'),
];

/// Whether a text has characters that a reader expects reordered or joined. The renderer draws them one
/// by one from left to right, as the official one does.
pub fn has_complex_scripts(text: &str) -> bool {
    // Most texts are ASCII, whose bytes need no look at characters.
    !text.is_ascii()
        && text
            .chars()
            .any(|c| BLOCKS.iter().any(|(_, block)| block.contains(&c)))
}

#[cfg(test)]
mod tests {
    use super::has_complex_scripts;

    #[test]
    fn scripts_that_are_reordered_or_joined_are_found() {
        for text in [
            "one word: שלום",
            "مرحبا",
            "\u{0750}",
            "\u{08A0}",
            "नमस्ते",
            "\u{0DFF}",
            "\u{FB1D}",
            "\u{FEFC}",
        ] {
            assert!(has_complex_scripts(text), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not() {
        for text in [
            "",
            "plain",
            "Größe",
            "Ελληνικά, кириллица",
            "汉字，かな，한글",
            "𓀀",
            "\u{058F}",
            "\u{0E00}",
            "\u{FEFF}a text with a mark",
        ] {
            assert!(!has_complex_scripts(text), "{text}");
        }
    }
}
