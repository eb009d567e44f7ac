//! Work in libraries that panic: on files they were not written for, and where a device fails.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(panic = "unwind")]
use std::panic::{set_hook, take_hook};
#[cfg(panic = "unwind")]
use std::sync::Once;

thread_local! {
    /// How many pieces of work, one in the other, this thread does whose panics are not shown.
    static N_UNSEEN: Cell<usize> = const { Cell::new(0) };
}

/// What work comes to. Nothing that it has changed may be used after a panic.
///
/// # Errors
/// What it said when it panicked.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(panic.as_ref()))
}

/// [`caught`] for work on a file: a panic is not shown, because the file is wrong and not the program.
///
/// # Errors
/// What it said when it panicked.
pub(crate) fn caught_unseen<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    hide_unseen();
    N_UNSEEN.set(N_UNSEEN.get() + 1);
    let outcome = caught(work);
    N_UNSEEN.set(N_UNSEEN.get() - 1);
    outcome
}

/// From the first use on, panics of such work are not shown; all else is shown as before.
#[cfg(panic = "unwind")]
fn hide_unseen() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let shown_before = take_hook();
        set_hook(Box::new(move |info| {
            if N_UNSEEN.get() == 0 {
                shown_before(info);
            }
        }));
    });
}

/// Nothing is caught where a panic ends the process, and what it says must be seen.
#[cfg(not(panic = "unwind"))]
fn hide_unseen() {}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason was given").to_owned()
}
