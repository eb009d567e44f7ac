//! The text of a command: a file or standard input, UTF-8.

use std::io;
use std::path::Path;

use crate::error::CliError;
use crate::input;

/// What stands for standard input on the command line.
const STDIN: &str = "-";

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";
const UTF16_BOMS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];

/// Reads a text; a byte order mark is no part of it.
pub fn read(path: &Path) -> Result<String, CliError> {
    if path.as_os_str() == STDIN {
        let name = "on standard input";
        let bytes = input::TEXT.read(io::stdin().lock(), name)?;
        return decode(bytes, name.to_owned());
    }
    decode(input::TEXT.read_file(path)?, path.display().to_string())
}

fn decode(mut bytes: Vec<u8>, name: String) -> Result<String, CliError> {
    let is_utf16 = UTF16_BOMS.iter().any(|bom| bytes.starts_with(bom));
    let n_bytes = bytes.len();
    let bom_len = if bytes.starts_with(UTF8_BOM) {
        UTF8_BOM.len()
    } else {
        0
    };
    bytes.drain(..bom_len);
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let hint = if is_utf16 {
            "It starts like UTF-16; convert it with: iconv -f UTF-16 -t UTF-8"
        } else {
            "Convert it from what it is, for instance Chinese with iconv -f GB18030 -t UTF-8, Western European with \
             iconv -f CP1252 -t UTF-8"
        };
        let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
        CliError::NotUtf8 {
            name: name.clone(),
            offset: offset + bom_len,
            byte,
            hint,
        }
    })?;
    if text.chars().all(is_invisible) {
        return Err(CliError::EmptyText { name, n_bytes });
    }
    Ok(text)
}

/// Whitespace, and the characters of Unicode's `Default_Ignorable_Code_Point`, which leave a page
/// blank.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFF8}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::error::CliError;

    fn decoded(bytes: &[u8]) -> Result<String, CliError> {
        decode(bytes.to_vec(), "a.txt".to_owned())
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(decoded("\u{FEFF}页 one".as_bytes()).unwrap(), "页 one");
        assert_eq!(decoded("页 one".as_bytes()).unwrap(), "页 one");
    }

    #[test]
    fn the_offset_counts_from_the_start_of_the_file() {
        for (bytes, place) in [
            (&b"ab\xFFc"[..], 2),
            (b"\xEF\xBB\xBFab\xE4\xBD", 5),
            (b"\xFF\xFEa\0", 0),
        ] {
            match decoded(bytes) {
                Err(CliError::NotUtf8 { offset, .. }) => assert_eq!(offset, place),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_text_without_a_visible_character_is_empty() {
        let zero_width = "\u{200B}\u{2060}\n\u{FE0F}\u{AD}".as_bytes();
        for bytes in [&b""[..], b" \n\t", b"\xEF\xBB\xBF", zero_width] {
            match decoded(bytes) {
                Err(CliError::EmptyText { n_bytes, .. }) => assert_eq!(n_bytes, bytes.len()),
                other => panic!("{other:?}"),
            }
        }
        assert!(decoded("\u{200B}.".as_bytes()).is_ok());
    }
}
