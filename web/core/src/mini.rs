//! What the built-in model can read.

/// Pages at once that glyph-mini was trained on, at most (`place::PAGES` of glyph-train).
pub const MOST_PAGES: usize = 9;

/// Whether glyph-mini has seen all characters of a text in its training: printable ASCII and white space.
pub fn can_read(text: &str) -> bool {
    let is_known = |byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    text.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::can_read;

    #[test]
    fn english_can_be_read() {
        for text in [
            "",
            "Order number: 73-4815\r\n\tTotal: $318.75 ~",
            "{}[]<>|`^",
        ] {
            assert!(can_read(text), "{text}");
        }
    }

    #[test]
    fn other_characters_cannot() {
        for text in [
            "床前明月光",
            "Größe",
            "“quoted”",
            "a – b",
            "5 €",
            "\u{feff}a",
            "\u{7}",
        ] {
            assert!(!can_read(text), "{text}");
        }
    }
}
