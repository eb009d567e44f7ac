//! How the bytes of a text file are written, where no mark at their start tells it.

use std::collections::BTreeSet;

/// Bytes that are looked at for zeros.
const SAMPLE_BYTES: usize = 1 << 16;

/// Share of a text's characters that must be common ones for it to be taken for UTF-16.
const LEAST_COMMON: f64 = 0.95;

/// Share of the runs of letters beyond ASCII that must look like those of a western text.
const LEAST_WESTERN: f64 = 0.75;

/// Whether a text in an encoding of single bytes and pairs would not have such bytes: zeros and others
/// below the space that are no white space.
pub fn has_control_bytes(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | 0x0C | b'\r');
    bytes.iter().any(is_control)
}

/// The bytes of UTF-8 without the beginning of a last character, as a file has it that was cut by its bytes.
/// What is cut behind nothing but ASCII is left: it may as well be a letter of another encoding.
pub fn before_cut_character(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            let whole = &bytes[..error.valid_up_to()];
            if whole.is_ascii() { bytes } else { whole }
        }
        _ => bytes,
    }
}

/// UTF-16 by its zeros: Latin text has one in every other byte.
pub fn utf16_by_zeros(bytes: &[u8]) -> Option<&'static str> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let zeros = |start: usize| {
        let places = sample.iter().skip(start).step_by(2);
        places.filter(|byte| **byte == 0).count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let few = sample.len() / 20;
    let many = sample.len() / 5;
    match (even, odd) {
        _ if bytes.len() % 2 == 1 => None,
        (even, odd) if odd > many && even <= few => Some("UTF-16LE"),
        (even, odd) if even > many && odd <= few => Some("UTF-16BE"),
        _ => None,
    }
}

/// How many blocks of 256 characters a text uses that was decoded as UTF-16; `None` where that is no text.
/// Nearly all of a text is what Chinese, Japanese, Korean and western ones are made of; other bytes give
/// characters from all of Unicode. In the wrong byte order kana are ideographs, of many blocks.
pub fn blocks_of_text(decoded: &str) -> Option<usize> {
    // Latin letters; dashes and quotation marks; CJK punctuation and kana; ideographs; hangul; full width.
    let is_common = |c: char| {
        matches!(c, '\t' | '\n' | '\u{C}' | '\r' | ' '..='~' | '\u{A0}'..='\u{17F}')
            || matches!(c, '\u{2010}'..='\u{2026}' | '\u{3000}'..='\u{30FF}')
            || matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}')
            || matches!(c, '\u{FF00}'..='\u{FFEF}')
    };
    let (mut characters, mut common) = (0_usize, 0_usize);
    let mut blocks = BTreeSet::new();
    for c in decoded.chars() {
        characters += 1;
        common += usize::from(is_common(c));
        blocks.insert(u32::from(c) >> 8);
    }
    let is_text = characters > 0 && common as f64 >= LEAST_COMMON * characters as f64;
    is_text.then_some(blocks.len())
}

/// Where the part of a file begins that [`is_western`] has to see: one byte before the first that is not
/// ASCII. `None` where all bytes are ASCII.
pub fn beyond_ascii(bytes: &[u8]) -> Option<&[u8]> {
    let first = bytes.iter().position(|byte| !byte.is_ascii())?;
    let start = first.saturating_sub(1);
    let end = bytes.len().min(start.saturating_add(SAMPLE_BYTES));
    bytes.get(start..end)
}

/// Whether what was decoded as windows-1252 is a western text. Its letters beyond ASCII stand alone or in
/// twos among those of ASCII, as in "Größe"; GB18030 read in this way has them in long rows.
pub fn is_western(decoded: &str) -> bool {
    // What windows-1252 leaves open.
    if decoded.chars().any(|c| matches!(c, '\u{80}'..='\u{9F}')) {
        return false;
    }
    let is_beyond = |c: &char| !c.is_ascii();
    let characters: Vec<char> = decoded.chars().collect();
    let (mut runs, mut western) = (0_usize, 0_usize);
    let mut start = 0;
    while let Some(skipped) = characters[start..].iter().position(is_beyond) {
        let first = start + skipped;
        let run = characters[first..].iter().take_while(|c| is_beyond(c));
        let end = first + run.count();
        let is_letter = |at: Option<&char>| at.is_some_and(char::is_ascii_alphabetic);
        let before = first.checked_sub(1).and_then(|at| characters.get(at));
        let is_in_word = is_letter(before) || is_letter(characters.get(end));
        runs += 1;
        western += usize::from(match &characters[first..end] {
            [_] => true,
            [one, two] => is_in_word && is_western_letter(*one) && is_western_letter(*two),
            _ => false,
        });
        start = end;
    }
    runs > 0 && western as f64 >= LEAST_WESTERN * runs as f64
}

fn is_western_letter(c: char) -> bool {
    matches!(c, 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ÿ' | 'Œ' | 'œ' | 'Š' | 'š' | 'Ž' | 'ž' | 'Ÿ')
}

#[cfg(test)]
mod tests {
    use super::{
        before_cut_character, beyond_ascii, blocks_of_text, has_control_bytes, is_western,
        utf16_by_zeros,
    };

    /// Bytes as windows-1252 shows them, of which it leaves none of these open.
    fn as_western(bytes: &[u8]) -> String {
        bytes.iter().copied().map(char::from).collect()
    }

    fn utf16_le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn utf16_be(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    /// What the other byte order makes of a text.
    fn swapped(text: &str) -> String {
        let swapped: Vec<u16> = text.encode_utf16().map(u16::swap_bytes).collect();
        String::from_utf16_lossy(&swapped)
    }

    const CHINESE: &str = "床前明月光，疑是地上霜。举头望明月，低头思故乡。";

    #[test]
    fn latin_utf16_is_known_by_its_zeros() {
        assert_eq!(utf16_by_zeros(&utf16_le("Plain text")), Some("UTF-16LE"));
        assert_eq!(utf16_by_zeros(&utf16_be("Plain text")), Some("UTF-16BE"));
        assert_eq!(utf16_by_zeros(&utf16_le(CHINESE)), None);
        assert_eq!(utf16_by_zeros(b"Plain text"), None);
        assert_eq!(utf16_by_zeros(b"\0a\0"), None);
    }

    #[test]
    fn utf16_without_zeros_is_most_of_a_text_in_its_own_byte_order() {
        for text in [
            CHINESE,
            "これはテキストです。",
            "한국어 문장입니다.",
            "“Größe” – 大小",
        ] {
            let blocks = blocks_of_text(text);
            let blocks = blocks.unwrap_or_else(|| panic!("{text} is no text"));
            let is_worse = blocks_of_text(&swapped(text)).is_none_or(|other| other > blocks);
            assert!(is_worse, "{text}");
        }
        for text in ["", "\u{0}\u{1}\u{2}", "ᚠᛇᚻ᛫ᛒᛦᚦ", "\u{E000}\u{E001}"] {
            assert_eq!(blocks_of_text(text), None, "{text}");
        }
    }

    #[test]
    fn punctuation_of_chinese_utf16_is_control_bytes() {
        assert!(has_control_bytes(&utf16_le(CHINESE)));
        assert!(has_control_bytes(b"a\0"));
        assert!(!has_control_bytes(b"a\tb\r\nc\x0Cd \xBA\xBA"));
    }

    #[test]
    fn utf8_that_was_cut_within_its_last_character_is_read_before_it() {
        let text = "床前明月光";
        let last = text.len() - "光".len();
        for end in last + 1..text.len() {
            assert_eq!(
                before_cut_character(&text.as_bytes()[..end]),
                &text.as_bytes()[..last]
            );
        }
        for whole in [
            text.as_bytes(),
            b"plain",
            // "café" in windows-1252.
            b"caf\xE9",
            // 汉字 in GB18030.
            b"\xBA\xBA\xD7\xD6",
            // What is wrong is not at the end.
            b"\xE5\xBA\x8A\xFFa\xE5\xBA",
        ] {
            assert_eq!(before_cut_character(whole), whole);
        }
    }

    #[test]
    fn western_letters_are_told_from_pairs_of_gb18030() {
        for bytes in [
            b"Gr\xF6\xDFe".as_slice(),
            b"f\xFCr sch\xF6ne H\xE4user",
            b"caf\xE9 \xE0 la carte",
            b"5 \xB0C",
        ] {
            assert!(is_western(&as_western(bytes)), "{bytes:?}");
        }
        for bytes in [
            b"plain".as_slice(),
            // 汉字abc
            b"\xBA\xBA\xD7\xD6abc",
            // A和B
            b"A\xBA\xCDB",
            // Hello，World。
            b"Hello\xA3\xACWorld\xA1\xA3",
            // What windows-1252 leaves open.
            b"caf\x81",
        ] {
            assert!(!is_western(&as_western(bytes)), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_judged_begins_before_the_first_byte_beyond_ascii() {
        assert_eq!(beyond_ascii(b"plain"), None);
        assert_eq!(beyond_ascii(b"Gr\xF6\xDFe"), Some(b"r\xF6\xDFe".as_slice()));
        assert_eq!(beyond_ascii(b"\xF6"), Some(b"\xF6".as_slice()));
    }
}
