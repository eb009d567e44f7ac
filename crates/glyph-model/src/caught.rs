//! Work in libraries that panic: on files they were not written for, and where a device fails.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What work comes to. Nothing that it has changed may be used after a panic.
///
/// # Errors
/// What it said when it panicked.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason was given").to_owned()
}
