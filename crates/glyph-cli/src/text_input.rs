//! The text of a command: a file or standard input, UTF-8.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::error::CliError;

/// What stands for standard input on the command line.
const STDIN: &str = "-";

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";
const UTF16_BOMS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];

/// Reads a text; a byte order mark is no part of it.
pub fn read(path: &Path) -> Result<String, CliError> {
    let is_stdin = path.as_os_str() == STDIN;
    let name = if is_stdin {
        "on standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let bytes = if is_stdin {
        read_stdin()
    } else {
        fs::read(path)
    };
    let bytes = bytes.map_err(|source| CliError::InputFile {
        what: "text",
        name: name.clone(),
        source,
    })?;
    decode(bytes, name)
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn decode(mut bytes: Vec<u8>, name: String) -> Result<String, CliError> {
    let is_utf16 = UTF16_BOMS.iter().any(|bom| bytes.starts_with(bom));
    let bom_len = if bytes.starts_with(UTF8_BOM) {
        UTF8_BOM.len()
    } else {
        0
    };
    bytes.drain(..bom_len);
    let n_bytes = bytes.len();
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let hint = if is_utf16 {
            "It starts like UTF-16; convert it with: iconv -f UTF-16 -t UTF-8"
        } else {
            "Convert it, for instance with: iconv -f GB18030 -t UTF-8"
        };
        let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
        CliError::NotUtf8 {
            name: name.clone(),
            offset: offset + bom_len,
            byte,
            hint,
        }
    })?;
    if text.chars().all(char::is_whitespace) {
        return Err(CliError::EmptyText { name, n_bytes });
    }
    Ok(text)
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
        for bytes in [&b""[..], b" \n\t", b"\xEF\xBB\xBF"] {
            assert!(matches!(decoded(bytes), Err(CliError::EmptyText { .. })));
        }
    }
}
