//! Standard output, where a closed pipe is no error, and notes on standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::error::CliError;

/// Writes bytes and flushes, so that a reader sees them at once.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Output(error),
        })
}

/// Writes a line.
pub fn line(text: &str) -> Result<(), CliError> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes one JSON object and a newline.
pub fn json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Output(io::Error::other(error)))?;
    line(&text)
}

/// Writes text that a model made.
pub fn model_text(text: &str) -> Result<(), CliError> {
    if io::stdout().is_terminal() {
        bytes(tame(text).as_bytes())
    } else {
        bytes(text.as_bytes())
    }
}

/// Text for a terminal, without control characters besides newline and tab: pages may hold
/// anything, and a model may repeat it.
fn tame(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{FFFD}'
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// Writes a line to standard error. Nobody can be told when that fails.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
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
