//! Reading what the command line names, and no more of it than can be meant: a device file has no
//! end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::CliError;

const MIB: u64 = 1 << 20;

/// A kind of input.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// What it is called in messages.
    what: &'static str,
    /// Longest file of this kind.
    most_mib: u64,
}

/// The text of a command.
pub const TEXT: Input = input("text", 256);
/// A page or picture.
pub const IMAGE: Input = input("image", 256);
/// A render configuration.
pub const STYLE: Input = input("style", 1);
/// A font that a style names.
pub const FONT: Input = input("font", 256);

const fn input(what: &'static str, most_mib: u64) -> Input {
    Input { what, most_mib }
}

impl Input {
    /// Reads a file.
    pub fn read_file(self, path: &Path) -> Result<Vec<u8>, CliError> {
        let file = File::open(path).map_err(|source| self.error(path, source))?;
        self.read(file, &path.display().to_string())
    }

    /// Reads a stream to its end.
    pub fn read(self, stream: impl Read, name: &str) -> Result<Vec<u8>, CliError> {
        let most_bytes = self.most_mib * MIB;
        let mut bytes = Vec::new();
        let read = stream.take(most_bytes + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.error_of(name, source))?;
        if bytes.len() as u64 > most_bytes {
            return Err(CliError::TooLong {
                what: self.what,
                name: name.to_owned(),
                most_mib: self.most_mib,
            });
        }
        Ok(bytes)
    }

    /// Whether a file is there, asked before the work on others begins. It is not opened: a pipe
    /// can be read only once.
    pub fn find(self, path: &Path) -> Result<(), CliError> {
        let metadata = path.metadata().map_err(|source| self.error(path, source))?;
        if metadata.is_dir() {
            return Err(self.error(path, io::ErrorKind::IsADirectory.into()));
        }
        Ok(())
    }

    fn error(self, path: &Path, source: io::Error) -> CliError {
        self.error_of(&path.display().to_string(), source)
    }

    fn error_of(self, name: &str, source: io::Error) -> CliError {
        CliError::InputFile {
            what: self.what,
            name: name.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, repeat};

    use super::{MIB, STYLE};
    use crate::error::CliError;

    #[test]
    fn no_more_is_read_than_the_kind_allows() {
        let most = STYLE.most_mib * MIB;
        let bytes = STYLE.read(repeat(b' ').take(most), "a").unwrap();
        assert_eq!(bytes.len() as u64, most);
        match STYLE.read(repeat(b' '), "a") {
            Err(CliError::TooLong { most_mib, .. }) => assert_eq!(most_mib, STYLE.most_mib),
            other => panic!("{other:?}"),
        }
    }
}
