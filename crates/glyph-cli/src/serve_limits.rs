//! Values with which `glyph serve` could serve nothing.

use crate::error::CliError;
use crate::serve_args::ServeOptions;

/// Refuses limits of nothing and models without a name, wherever they were given.
pub fn check(options: &ServeOptions) -> Result<(), CliError> {
    let counts = [
        ("--max-batch", options.max_batch),
        ("--max-pages", options.max_pages),
        ("--max-context", options.max_context),
        ("--max-connections", options.max_connections),
    ];
    if let Some((option, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
        return Err(refused(
            option,
            "0",
            "it must be at least 1. Leave the option out for its default",
        ));
    }
    if options.body_limit.is_some_and(|size| size.as_u64() == 0) {
        return Err(refused(
            "--body-limit",
            "0",
            "it must be more than 0, such as 64MiB. Leave the option out for its default",
        ));
    }
    let names = &options.served_model_name;
    if names.iter().any(String::is_empty) {
        return Err(refused(
            "--served-model-name",
            &format!("{:?}", names.join(",")),
            "a name is empty. Leave the option out for the directory's name",
        ));
    }
    Ok(())
}

fn refused(option: &str, value: &str, reason: &str) -> CliError {
    CliError::Parameter {
        option: option.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}
