//! The small files of a checkpoint, wherever they are.

#[cfg(not(target_family = "wasm"))]
use std::io::Read;
#[cfg(not(target_family = "wasm"))]
use std::path::Path;

#[cfg(not(target_family = "wasm"))]
use crate::error::ModelError;
use crate::error::Result;

/// The small files of a checkpoint by name; the weights are opened apart.
pub trait CheckpointFiles {
    /// Content of a file, or `None` when the checkpoint does not have it.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it is there and cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;
}

/// A directory of files.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone, Copy)]
pub struct CheckpointDir<'a>(pub &'a Path);

#[cfg(not(target_family = "wasm"))]
impl CheckpointFiles for CheckpointDir<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match read_small(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ModelError::Io { path, source }),
        }
    }
}

/// Longest of the small files: several times the longest vocabulary that is published.
#[cfg(not(target_family = "wasm"))]
const MOST_SMALL_BYTES: u64 = 256 << 20;

/// A file whole, if it is as small as one of these can be meant to be.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn read_small(path: &Path) -> std::io::Result<Vec<u8>> {
    let too_long = || {
        let reason = format!(
            "it is longer than {} MiB, which no such file is",
            MOST_SMALL_BYTES >> 20
        );
        std::io::Error::new(std::io::ErrorKind::FileTooLarge, reason)
    };
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > MOST_SMALL_BYTES {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // Some files tell no length.
    file.take(MOST_SMALL_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_SMALL_BYTES {
        return Err(too_long());
    }
    Ok(bytes)
}
