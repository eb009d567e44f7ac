//! The file that log lines are written to: a new one every day, and before it grows too large.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::log_lines::LogLines;

/// Name of the file that is being written. Those before it are `glyph.log.1`, `glyph.log.2`…, the newest first.
const NAME: &str = "glyph.log";

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// When a file is full, and how many are kept beside the one that is written.
#[derive(Debug, Clone, Copy)]
pub struct LogFileLimits {
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Files beside it.
    pub most_old_files: usize,
}

impl Default for LogFileLimits {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            most_old_files: 14,
        }
    }
}

/// Writes whole lines.
#[derive(Debug)]
pub struct LogFile {
    directory: PathBuf,
    limits: LogFileLimits,
    /// Days since 1970, by the machine's clock.
    today: fn() -> u64,
    /// `None` only when a new file could not be opened; it is tried again with the next line.
    lines: Option<LogLines<File>>,
    /// The day of what is in it.
    day: u64,
}

impl LogFile {
    /// Goes on with the file in `directory`, if there is one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(directory: &Path, limits: LogFileLimits) -> io::Result<Self> {
        Self::with_clock(directory, limits, || day(SystemTime::now()))
    }

    fn with_clock(directory: &Path, limits: LogFileLimits, today: fn() -> u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut log = Self {
            directory: directory.to_owned(),
            limits,
            today,
            lines: None,
            day: today(),
        };
        let lines = log.open_lines()?;
        if lines.n_bytes > 0
            && let Ok(time) = lines.out.metadata()?.modified()
        {
            log.day = log.day.min(day(time));
        }
        log.lines = Some(lines);
        Ok(log)
    }

    /// The file that is written, with what it holds already.
    fn open_lines(&self) -> io::Result<LogLines<File>> {
        let path = self.path(0);
        let out = OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(LogLines {
            n_bytes: out.metadata()?.len(),
            is_cut: is_cut(&path),
            out,
        })
    }

    /// The file of that age, 0 being the one that is written.
    fn path(&self, age: usize) -> PathBuf {
        let name = match age {
            0 => NAME.to_owned(),
            age => format!("{NAME}.{age}"),
        };
        self.directory.join(name)
    }

    fn is_full(&self, n_new: usize) -> bool {
        let n_bytes = self.lines.as_ref().map_or(0, |lines| lines.n_bytes);
        let grown = n_bytes.saturating_add(n_new as u64);
        n_bytes > 0 && (grown > self.limits.file_bytes || self.day != (self.today)())
    }

    /// Makes each file one older; the oldest goes. Where a file cannot be renamed the lines go on into the one that is
    /// there: what the day brings is worth more than order.
    fn rotate(&mut self) {
        self.lines = None;
        let oldest = self.limits.most_old_files;
        // It may not be there yet.
        let _ = fs::remove_file(self.path(oldest));
        for age in (0..oldest).rev() {
            let _ = fs::rename(self.path(age), self.path(age + 1));
        }
    }
}

/// Whether a file ends within a line, as a full disk leaves it, or a machine that stopped. One that cannot be looked at
/// counts as whole.
fn is_cut(path: &Path) -> bool {
    let last_byte = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(last[0])
    };
    last_byte().is_ok_and(|byte| byte != b'\n')
}

/// Days from 1970 to a time.
fn day(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / SECONDS_PER_DAY)
}

impl Write for LogFile {
    /// Takes a line as a whole or fails, so that no file begins within one.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_full(line.len()) {
            self.rotate();
        }
        if self.lines.is_none() {
            // What could not be renamed is not counted: no line would find room behind it.
            let lines = LogLines {
                n_bytes: 0,
                ..self.open_lines()?
            };
            (self.lines, self.day) = (Some(lines), (self.today)());
        }
        let Some(lines) = &mut self.lines else {
            return Ok(0);
        };
        lines.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        let lines = self.lines.as_mut();
        lines.map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{LogFile, LogFileLimits};

    fn limits(file_bytes: u64) -> LogFileLimits {
        LogFileLimits {
            file_bytes,
            most_old_files: 2,
        }
    }

    fn read(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = directory
            .read_dir()
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                let name = file.file_name().into_string().unwrap();
                (name, fs::read_to_string(file.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        files.iter().map(own).collect()
    }

    #[test]
    fn a_full_file_makes_room_for_a_new_one_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&folder.path().join("logs"), limits(8)).unwrap();
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "four\n",
            "a longer line\n",
            "five\n",
        ] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let expected = named(&[
            ("glyph.log", "five\n"),
            ("glyph.log.1", "a longer line\n"),
            ("glyph.log.2", "four\n"),
        ]);
        assert_eq!(read(&folder.path().join("logs")), expected);
        // The next process goes on where this one ended.
        drop(log);
        let mut log = LogFile::open(&folder.path().join("logs"), limits(8)).unwrap();
        log.write_all(b"6\n").unwrap();
        log.write_all(b"seven\n").unwrap();
        let expected = named(&[
            ("glyph.log", "seven\n"),
            ("glyph.log.1", "five\n6\n"),
            ("glyph.log.2", "a longer line\n"),
        ]);
        assert_eq!(read(&folder.path().join("logs")), expected);
    }

    #[test]
    fn a_new_day_begins_a_new_file() {
        static TODAY: AtomicU64 = AtomicU64::new(20_000);
        let folder = tempfile::tempdir().unwrap();
        let today = || TODAY.load(Ordering::Relaxed);
        let mut log = LogFile::with_clock(folder.path(), limits(1000), today).unwrap();
        log.write_all(b"a\n").unwrap();
        log.write_all(b"b\n").unwrap();
        TODAY.fetch_add(1, Ordering::Relaxed);
        log.write_all(b"c\n").unwrap();
        let expected = named(&[("glyph.log", "c\n"), ("glyph.log.1", "a\nb\n")]);
        assert_eq!(read(folder.path()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn where_nothing_can_be_renamed_lines_are_kept_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(folder.path(), limits(4)).unwrap();
        log.write_all(b"one\n").unwrap();
        // A folder that holds something stands in the way.
        fs::create_dir_all(folder.path().join("glyph.log.1/x")).unwrap();
        fs::create_dir_all(folder.path().join("glyph.log.2/x")).unwrap();
        log.write_all(b"two\n").unwrap();
        let text = fs::read_to_string(folder.path().join("glyph.log")).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_file_that_ends_within_a_line_goes_on_with_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("glyph.log"), "one\ntw").unwrap();
        let mut log = LogFile::open(folder.path(), limits(16)).unwrap();
        for line in ["three\n", "4\n", "five\n"] {
            assert_eq!(log.write(line.as_bytes()).unwrap(), line.len());
        }
        let expected = named(&[
            ("glyph.log", "five\n"),
            ("glyph.log.1", "one\ntw\nthree\n4\n"),
        ]);
        assert_eq!(read(folder.path()), expected);
    }
}
