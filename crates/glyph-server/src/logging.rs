//! Where log lines go.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::thread;

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log_file::{LogFile, LogFileLimits};
use crate::log_lines::LogLines;

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("the log level {level:?} is not one: {reason}")]
    Level {
        /// The level as given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory cannot be written.
    #[error("cannot write log files in {}: {reason}. Check the directory and its permissions", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The operating system's answer.
        reason: String,
    },
    /// Something else in this process logs already.
    #[error("logging has begun already: {0}")]
    Begun(String),
}

/// Writes what is left when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct LogGuard(#[expect(dead_code, reason = "held until the end")] WorkerGuard);

/// Begins logging: to standard error, or to `glyph.log` in `directory`, which makes room for a new one every day and
/// when it is full. Lines are written by a thread of their own; those that a full disk or a reader that has stalled
/// would hold up are lost, and nothing waits. What panics from then on is a line like all others, and nothing else is
/// written of it.
///
/// # Errors
/// [`LogError`].
pub fn init(
    format: LogFormat,
    level: &str,
    directory: Option<&Path>,
) -> Result<LogGuard, LogError> {
    let filter = filter(level)?;
    let (writer, guard) = writer(directory)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    begun.map_err(|error| LogError::Begun(error.to_string()))?;
    panic::set_hook(Box::new(log_panic));
    Ok(LogGuard(guard))
}

/// What is written. A word that is no level would name a part of the program, of which there is none, and all others
/// would fall silent.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let failed = |reason: String| LogError::Level {
        level: level.to_owned(),
        reason: format!("{reason}. Choose error, warn, info, debug or trace"),
    };
    // With a space before it a level would be taken for a name too.
    let words: Vec<&str> = level.split(',').map(str::trim).collect();
    if let Some(word) = words.iter().find(|word| !has_level(word)) {
        return Err(failed(format!("{word:?} is no level and has none")));
    }
    EnvFilter::try_new(words.join(",")).map_err(|error| failed(error.to_string()))
}

/// Whether a directive is a level, or says one of a part of the program. Which levels there are is not looked at behind
/// the sign, nor anything where spans are named.
fn has_level(directive: &str) -> bool {
    match directive.rsplit_once('=') {
        Some((_, level)) => !level.trim().is_empty(),
        None => directive.contains('[') || directive.parse::<LevelFilter>().is_ok(),
    }
}

/// One event in place of the lines that Rust writes to standard error; the backtrace where `RUST_BACKTRACE` asks for it.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let thread = thread::current();
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    tracing::error!(
        reason = text.unwrap_or("no reason was given"),
        place = info.location().map(display),
        thread = thread.name(),
        backtrace = is_captured.then(|| display(&backtrace)),
        "a thread panicked"
    );
}

fn writer(directory: Option<&Path>) -> Result<(NonBlocking, WorkerGuard), LogError> {
    let Some(directory) = directory else {
        return Ok(tracing_appender::non_blocking(LogLines::new(io::stderr())));
    };
    let failed = |reason: String| LogError::Directory {
        directory: directory.to_owned(),
        reason,
    };
    let file = LogFile::open(directory, LogFileLimits::default());
    let file = file.map_err(|error| failed(error.to_string()))?;
    Ok(tracing_appender::non_blocking(file))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_word_that_is_no_level_is_refused_and_the_levels_are_named() {
        for level in [
            "warning",
            "inf",
            "zzz",
            "nope=",
            "glyph_server",
            "info,verbos",
            "glyph_server=loud",
            "a=b=c",
        ] {
            let message = filter(level).unwrap_err().to_string();
            for part in [level, "error, warn, info, debug or trace"] {
                assert!(message.contains(part), "no {part:?} in {message}");
            }
        }
        for level in [
            "",
            "warn",
            "INFO",
            "off",
            "glyph_server=debug",
            "warn,glyph_server=debug",
            "info, glyph_engine=trace",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
        let spaced = filter("info, glyph_engine=trace").unwrap().to_string();
        let parts: Vec<&str> = spaced.split(',').collect();
        assert!(parts.contains(&"info"), "{spaced}");
        assert!(parts.contains(&"glyph_engine=trace"), "{spaced}");
    }
}
