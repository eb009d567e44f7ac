//! A directory that rendered pages are written to. Pages that glyph wrote there are written over and removed; whatever
//! else has the name of a page belongs to someone else and stays.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::error::CliError;
use crate::output;
use crate::report::count_of_pages;

/// Bytes of a PNG file's signature and its first chunk, `IHDR`, which is of one length in every file.
const HEAD: usize = 8 + 25;

/// What the name of a page's file that is not yet complete begins and ends with.
const PARTIAL_PREFIX: &str = ".page_";
const PARTIAL_SUFFIX: &str = ".partial";

/// The directory of one text's pages.
#[derive(Debug)]
pub struct PageDirectory {
    path: PathBuf,
    mark: Vec<u8>,
}

impl PageDirectory {
    /// Makes the directory.
    pub fn create(path: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(path).map_err(|source| CliError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            mark: mark(),
        })
    }

    /// Looks whether so many pages can be written, before the first of them is. Of a text whose pages take too long to
    /// count, what is behind those that were counted is found when it is its turn.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub fn check(&self, n_pages: usize) -> Result<(), CliError> {
        (1..=n_pages).try_for_each(|number| self.free_path(number).map(drop))
    }

    /// Writes one page; `number` counts from 1.
    ///
    /// # Errors
    /// [`CliError::NotOwnPage`] where a file or a link of that name was not written by glyph.
    pub fn write(&self, number: usize, png: &[u8]) -> Result<PathBuf, CliError> {
        let path = self.free_path(number)?;
        let error = |source| CliError::Write {
            path: path.clone(),
            source,
        };
        let (head, rest) = png.split_at(HEAD.min(png.len()));
        self.replace(&path, &[head, &self.mark, rest])
            .map_err(error)?;
        Ok(path)
    }

    /// Where a page is written to: nothing is there, or a page that glyph wrote.
    fn free_path(&self, number: usize) -> Result<PathBuf, CliError> {
        let path = self.path.join(page_name(number));
        let is_own = || {
            self.is_own(&path).map_err(|source| CliError::Write {
                path: path.clone(),
                source,
            })
        };
        if path.symlink_metadata().is_ok() && !is_own()? {
            return Err(CliError::NotOwnPage(path));
        }
        Ok(path)
    }

    /// Puts a file in the place of its predecessor when it is complete: what a full disk or an interruption leaves half
    /// written would be known for nobody's page.
    fn replace(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut partial = Builder::new();
        #[cfg(unix)]
        partial.permissions(fs::Permissions::from_mode(0o666));
        let mut partial = partial
            .prefix(PARTIAL_PREFIX)
            .suffix(PARTIAL_SUFFIX)
            .tempfile_in(&self.path)?;
        for part in parts {
            partial.write_all(part)?;
        }
        partial.persist(path)?;
        Ok(())
    }

    /// Removes the pages that an earlier, longer text has left behind the last one, and says so; and what an interrupted
    /// run left incomplete.
    pub fn remove_after(&self, last: usize) -> Result<(), CliError> {
        let error = |path: &Path, source| CliError::Write {
            path: path.to_owned(),
            source,
        };
        let of_directory = |source| error(&self.path, source);
        let mut n_removed = 0;
        for entry in self.path.read_dir().map_err(of_directory)? {
            let entry = entry.map_err(of_directory)?;
            let number = entry.file_name().to_str().and_then(page_number);
            let path = entry.path();
            let is_behind = number.is_some_and(|number| number > last);
            let is_left = is_behind || is_partial(&entry.file_name());
            // What cannot be read is not known to be glyph's, and stays.
            if is_left && self.is_own(&path).unwrap_or(false) {
                fs::remove_file(&path).map_err(|source| error(&path, source))?;
                n_removed += usize::from(is_behind);
            }
        }
        if n_removed > 0 {
            let pages = count_of_pages(n_removed);
            let directory = self.path.display();
            output::note(&format!(
                "note: removed {pages} of an earlier text from {directory}"
            ));
        }
        Ok(())
    }

    /// Whether it is a file that [`write`](Self::write) wrote.
    fn is_own(&self, path: &Path) -> io::Result<bool> {
        if !path.symlink_metadata()?.is_file() {
            return Ok(false);
        }
        let mut begin = Vec::new();
        let length = (HEAD + self.mark.len()) as u64;
        File::open(path)?.take(length).read_to_end(&mut begin)?;
        Ok(begin.get(HEAD..) == Some(&self.mark))
    }
}

/// The chunk by which pages that glyph wrote are known: its length, its name and what it holds, and the checksum of both.
fn mark() -> Vec<u8> {
    const NAMED: &[u8] = b"tEXtSoftware\0Glyph Runtime";
    let length = NAMED.len() as u32 - 4;
    let checksum = crc32fast::hash(NAMED);
    [&length.to_be_bytes(), NAMED, &checksum.to_be_bytes()].concat()
}

fn page_name(number: usize) -> String {
    format!("page_{number:04}.png")
}

/// Whether a file has the name of a page that is not yet complete.
fn is_partial(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX)
}

/// The number of a page by the name of its file; `None` for any other name.
fn page_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix("page_")?.strip_suffix(".png")?;
    let number = number.parse().ok()?;
    (page_name(number) == name).then_some(number)
}
