//! The bytes of a weight file: mapped, read a range at a time, or in memory.

use std::borrow::Cow;
#[cfg(not(target_family = "wasm"))]
use std::fs::File;
use std::io;
#[cfg(not(target_family = "wasm"))]
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
#[cfg(not(target_family = "wasm"))]
use std::sync::{Mutex, PoisonError};

/// Content of one file.
#[derive(Debug)]
pub(super) enum FileBytes {
    /// While a model is loaded; of a file that is shortened meanwhile, reading a page ends the process.
    #[cfg(not(target_family = "wasm"))]
    Mapped {
        map: memmap2::Mmap,
        file: File,
    },
    /// For what is loaded later: of a file that is shortened meanwhile, reading a range is an error.
    #[cfg(not(target_family = "wasm"))]
    Opened(Mutex<File>),
    Owned(Vec<u8>),
}

impl FileBytes {
    /// All of them, where they are in memory.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped { map, .. } => Some(map),
            #[cfg(not(target_family = "wasm"))]
            Self::Opened(_) => None,
            Self::Owned(bytes) => Some(bytes),
        }
    }

    /// Those of a range; a copy where they are not in memory.
    pub(super) fn read(&self, range: &Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped { map, .. } => Ok(Cow::Borrowed(&map[range.clone()])),
            #[cfg(not(target_family = "wasm"))]
            Self::Opened(file) => read_range(file, range).map(Cow::Owned),
            Self::Owned(bytes) => Ok(Cow::Borrowed(&bytes[range.clone()])),
        }
    }

    /// The file itself in place of its map.
    pub(super) fn unmapped(self) -> Self {
        #[cfg(not(target_family = "wasm"))]
        if let Self::Mapped { file, .. } = self {
            return Self::Opened(Mutex::new(file));
        }
        self
    }

    /// Gives the pages of a range back to the system, which reads them from the file again should they be wanted.
    #[cfg_attr(
        not(unix),
        expect(unused_variables, reason = "only Unix takes them back")
    )]
    pub(super) fn release(&self, range: &Range<usize>) {
        match self {
            #[cfg(unix)]
            Self::Mapped { map, .. } => {
                // SAFETY: the map is of a file and read-only, so nothing that is written can be lost.
                #[allow(unsafe_code)]
                let released = unsafe {
                    map.unchecked_advise_range(
                        memmap2::UncheckedAdvice::DontNeed,
                        range.start,
                        range.len(),
                    )
                };
                // Advice alone: whoever does not take it keeps the pages a little longer.
                released.unwrap_or_default();
            }
            #[cfg(all(not(unix), not(target_family = "wasm")))]
            Self::Mapped { .. } => {}
            #[cfg(not(target_family = "wasm"))]
            Self::Opened(_) => {}
            Self::Owned(_) => {}
        }
    }
}

#[cfg(not(target_family = "wasm"))]
fn read_range(file: &Mutex<File>, range: &Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; range.len()];
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(range.start as u64))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
