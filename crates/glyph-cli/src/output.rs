//! Standard output, where a closed pipe is no error, and notes on standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::error::CliError;

/// Writes bytes and flushes, so that a reader sees them at once.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(failed)
}

/// Why standard output failed.
pub fn failed(error: io::Error) -> CliError {
    match error.kind() {
        ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Output(error),
    }
}

/// Writes text as it is into a file or a pipe, and tamed to a terminal.
pub fn text(text: &str) -> Result<(), CliError> {
    if io::stdout().is_terminal() {
        bytes(tame(text).as_bytes())
    } else {
        bytes(text.as_bytes())
    }
}

/// Writes a line.
pub fn line(line: &str) -> Result<(), CliError> {
    text(&format!("{line}\n"))
}

/// Writes one JSON object and a newline.
pub fn json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Output(io::Error::other(error)))?;
    line(&text)
}

/// Text for a terminal, without control characters besides newline and tab: pages may hold
/// anything, and a model may repeat it; so may the names in a checkpoint.
pub fn tame(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{FFFD}'
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// Writes a line to standard error, tamed: it is for people. Nobody can be told when that fails.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "{}", tame(text)));
}

/// Writes a line to standard error if a person reads it there.
pub fn note_to_person(text: &str) {
    if io::stderr().is_terminal() {
        note(text);
    }
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn a_terminal_gets_no_commands_from_a_page() {
        assert_eq!(
            tame("a\u{1b}[2Jb\r\n\t页\u{9b}"),
            "a\u{FFFD}[2Jb\u{FFFD}\n\t页\u{FFFD}"
        );
    }
}
