//! The log of `glyph serve`. From its begin until the server ends nothing else is written to standard error, so that whoever
//! reads it finds one line for each event.

use glyph_server::logging::{self, LogError, LogFormat, LogGuard};

use crate::error::CliError;
use crate::serve_args::{self, ServeOptions};

const DEFAULT_LEVEL: &str = "info";

/// Begins it; before a device is opened, which may have something to tell.
pub fn begin(options: &ServeOptions) -> Result<LogGuard, CliError> {
    let format = match options.log_format {
        None | Some(serve_args::LogFormat::Text) => LogFormat::Text,
        Some(serve_args::LogFormat::Json) => LogFormat::Json,
    };
    let level = options.log_level.as_deref().unwrap_or(DEFAULT_LEVEL);
    let begun = logging::init(format, level, options.log_file.as_deref());
    let guard = begun.map_err(|error| match error {
        LogError::Level { level, reason } => CliError::Parameter {
            option: "--log-level".to_owned(),
            value: level,
            reason,
        },
        other => CliError::Usage(other.to_string()),
    })?;
    glyph_device::show_panics_by(|reason| {
        tracing::warn!(
            reason,
            "a thread of the device panicked, and what was asked of it is done"
        );
    });
    Ok(guard)
}
