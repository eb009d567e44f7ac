//! The checksums that a hub gives, which are the names of files in its cache, and those of files on the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indicatif::ProgressBar;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes that are hashed at a time.
const HASHED_BYTES: usize = 1 << 20;

/// Digits of a SHA-256 checksum, which the hub gives for large files.
const SHA256_DIGITS: usize = 64;

/// Digits of a git object's name, which the hub gives for small files.
const GIT_DIGITS: usize = 40;

/// Whether a file may be compared with it.
pub fn is_checksum(text: &str) -> bool {
    [SHA256_DIGITS, GIT_DIGITS].contains(&text.len()) && is_hex(text)
}

/// Whether it may be the name of something in git.
pub fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The checksum of a file, if it is not the expected one.
///
/// # Errors
/// When the file cannot be read.
pub fn other_checksum(
    path: &Path,
    expected: &str,
    bar: &ProgressBar,
) -> io::Result<Option<String>> {
    let got = if expected.len() == SHA256_DIGITS {
        hash::<Sha256>(path, None, bar)?
    } else {
        hash::<Sha1>(path, Some("blob"), bar)?
    };
    Ok((!got.eq_ignore_ascii_case(expected)).then_some(got))
}

/// Checksum of a file in lower-case hexadecimal digits. As git does it, a kind and the length may stand before it.
fn hash<D: Digest>(path: &Path, kind: Option<&str>, bar: &ProgressBar) -> io::Result<String> {
    let mut file = File::open(path)?;
    let n_total = file.metadata()?.len();
    bar.reset();
    bar.set_length(n_total);
    let mut hasher = D::new();
    if let Some(kind) = kind {
        hasher.update(format!("{kind} {n_total}\0"));
    }
    let mut buffer = vec![0; HASHED_BYTES];
    loop {
        let n_bytes = file.read(&mut buffer)?;
        if n_bytes == 0 {
            break;
        }
        hasher.update(&buffer[..n_bytes]);
        bar.inc(n_bytes as u64);
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_hub() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello\n").unwrap();
        // sha256sum; git hash-object
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let bar = ProgressBar::hidden();
        for (expected, zeros) in [(sha256, "0".repeat(64)), (git, "0".repeat(40))] {
            let other = |expected: &str| other_checksum(file.path(), expected, &bar).unwrap();
            assert_eq!(other(expected), None);
            assert_eq!(other(&expected.to_uppercase()), None);
            assert_eq!(other(&zeros).as_deref(), Some(expected));
            assert_eq!(bar.position(), 6, "all bytes were counted");
        }
    }

    #[test]
    fn a_checksum_has_the_digits_of_one() {
        for text in ["a1".repeat(20), "F0".repeat(32)] {
            assert!(is_checksum(&text), "{text}");
        }
        let (short, no_digits) = ("a".repeat(39), "g".repeat(40));
        for text in ["", "v1", "..", short.as_str(), no_digits.as_str()] {
            assert!(!is_checksum(text), "{text}");
        }
    }
}
