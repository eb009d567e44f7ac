//! Log lines behind each other.

use std::io::{self, Write};

/// Lines in what may take only a part of one, as a disk that is full. Each write is a line, which is taken as a whole or
/// lost from where there was no more room.
#[derive(Debug)]
pub struct LogLines<W> {
    /// Where they go.
    pub out: W,
    /// Bytes in it.
    pub n_bytes: u64,
    /// Whether it ends within a line whose rest is lost.
    pub is_cut: bool,
}

impl<W: Write> LogLines<W> {
    /// In what holds nothing yet.
    pub fn new(out: W) -> Self {
        Self {
            out,
            n_bytes: 0,
            is_cut: false,
        }
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n_written) => {
                    let (written, rest) = bytes.split_at(n_written);
                    self.n_bytes += n_written as u64;
                    self.is_cut = !written.ends_with(b"\n");
                    bytes = rest;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for LogLines<W> {
    /// Ends the line before where its rest was lost, so that this one stands alone.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_cut {
            self.append(b"\n")?;
        }
        self.append(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::LogLines;

    /// Takes a few bytes at once, as long as there is room.
    struct SmallDisk {
        text: Vec<u8>,
        free_bytes: usize,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = &bytes[..bytes.len().min(self.free_bytes).min(3)];
            if taken.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.extend_from_slice(taken);
            self.free_bytes -= taken.len();
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_full_disk_cuts_off_spoils_no_other() {
        let mut lines = LogLines::new(SmallDisk {
            text: Vec::new(),
            free_bytes: 0,
        });
        let mut text = String::new();
        for (line, free_bytes, written) in [
            ("first\n", 10, "first\n"),
            // With the four bytes that are left of the ten.
            ("second\n", 0, "seco"),
            ("third\n", 0, ""),
            // Room for the end of the line that is cut off.
            ("fourth\n", 1, "\n"),
            ("fifth\n", 0, ""),
            ("sixth\n", 6, "sixth\n"),
            ("seventh\n", 7, "seventh"),
            ("eighth\n", 100, "\neighth\n"),
        ] {
            lines.out.free_bytes += free_bytes;
            let is_whole = lines.write_all(line.as_bytes()).is_ok();
            assert_eq!(is_whole, written.ends_with(line), "{line}");
            text.push_str(written);
            assert_eq!(String::from_utf8_lossy(&lines.out.text), text, "{line}");
            assert_eq!(lines.n_bytes, text.len() as u64);
        }
    }
}
