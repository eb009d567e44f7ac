//! Progress on standard error, drawn only where a person watches; one line at a time.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::output;

/// Exit code of an interrupted process: 128 and the number of SIGINT.
pub const INTERRUPTED: i32 = 130;

const TICK: Duration = Duration::from_millis(120);

/// The line that is on the screen.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Whether an unfinished line of the answer is on the screen.
static IN_LINE: AtomicBool = AtomicBool::new(false);

/// Shows a bar of `len` steps.
pub fn bar(len: usize, message: impl Into<String>) -> ProgressBar {
    show(
        ProgressBar::new(len as u64),
        "{msg} {wide_bar} {pos}/{len} {eta}",
        message,
    )
}

/// Shows a bar of `len` bytes; their number may change, or turn out to be unknown.
pub fn bytes_bar(len: usize, message: impl Into<String>) -> ProgressBar {
    show(
        ProgressBar::new(len as u64),
        "{msg} {wide_bar} {bytes}{of_total}",
        message,
    )
}

/// Shows that something of unknown length goes on.
pub fn spinner(message: impl Into<String>) -> ProgressBar {
    let spinner = show(
        ProgressBar::new_spinner(),
        "{spinner} {msg} {elapsed}",
        message,
    );
    spinner.enable_steady_tick(TICK);
    spinner
}

fn show(bar: ProgressBar, template: &str, message: impl Into<String>) -> ProgressBar {
    clear();
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("of_total", of_total));
    }
    bar.set_message(output::tame(&message.into()));
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    bar
}

/// What follows a number of bytes: how many there will be and how long they take, if that is known.
fn of_total(state: &ProgressState, out: &mut dyn fmt::Write) {
    if let Some(n_total) = state.len() {
        let eta = HumanDuration(state.eta());
        // A bar that cannot be drawn is not missed.
        let _ = out.write_str(&format!("/{} {eta:#}", HumanBytes(n_total)));
    }
}

/// Removes whatever is shown.
pub fn clear() {
    if let Some(bar) = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bar.finish_and_clear();
    }
}

/// Remembers whether the text written last ended its line.
pub fn wrote_answer(text: &str) {
    if let Some(last) = text.chars().next_back() {
        IN_LINE.store(last != '\n', Ordering::Relaxed);
    }
}

/// Leaves a clean terminal on Ctrl-C: no half-drawn bar, the shell's prompt on a line of its own.
pub fn clear_on_interrupt() {
    let handler = || {
        clear();
        if io::stdout().is_terminal() && IN_LINE.load(Ordering::Relaxed) {
            drop(writeln!(io::stderr()));
        }
        process::exit(INTERRUPTED);
    };
    // Without a handler Ctrl-C still ends the process; only the last line would stay.
    drop(ctrlc::set_handler(handler));
}
