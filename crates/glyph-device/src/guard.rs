//! Work on a device. Backends panic where an allocation or a kernel fails: on the thread that asked for it, or on one of
//! their own, and then whoever reads the result finds that it was never written.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

/// Panics that are kept: hundreds of the same may follow the first.
const MOST_KEPT: usize = 16;

/// What panics while work is guarded, on any thread.
#[derive(Debug)]
struct Watch {
    n_guarded: usize,
    panics: Vec<Panic>,
}

#[derive(Debug)]
struct Panic {
    message: String,
    /// The message and where it is from.
    report: String,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    n_guarded: 0,
    panics: Vec::new(),
});

/// What shows the report of a panic; standard error where it is not set.
static SHOWN_BY: OnceLock<fn(&str)> = OnceLock::new();

/// Has panics in work that is done all the same shown by a function, as for a log that is read line by line. The first
/// one that is given stays.
pub fn show_panics_by(show: fn(&str)) {
    let _ = SHOWN_BY.set(show);
}

/// Does a piece of work on a device. A panic in it, on whatever thread, is not shown but is why the work failed:
/// `broke_off` makes an error of the first one's message. Where the work is done all the same it is shown.
///
/// # Errors
/// That of the work; where something panicked in it that of `broke_off`.
pub fn guarded<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    broke_off: impl FnOnce(String) -> E,
) -> Result<T, E> {
    keep_panics();
    watch().n_guarded += 1;
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let panics = panics_of(matches!(outcome, Ok(Ok(_))));
    match outcome {
        Ok(Ok(value)) => {
            show(&panics);
            Ok(value)
        }
        Ok(Err(error)) => Err(first_message(panics).map_or(error, broke_off)),
        Err(payload) => {
            // One that was passed on from another thread is kept as it was there.
            let message = first_message(panics).unwrap_or_else(|| text_of(payload.as_ref()));
            Err(broke_off(message))
        }
    }
}

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a piece of work; returns what panicked meanwhile, unless it is left to work that still goes on.
fn panics_of(is_done: bool) -> Vec<Panic> {
    let mut watch = watch();
    watch.n_guarded -= 1;
    if is_done && watch.n_guarded > 0 {
        return Vec::new();
    }
    std::mem::take(&mut watch.panics)
}

/// From the first use on, what panics while work is guarded is kept; all else is shown as before.
fn keep_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let shown_before = take_hook();
        set_hook(Box::new(move |info| {
            if !is_kept(info) {
                shown_before(info);
            }
        }));
    });
}

fn is_kept(info: &PanicHookInfo<'_>) -> bool {
    let mut watch = watch();
    if watch.n_guarded == 0 {
        return false;
    }
    if watch.panics.len() < MOST_KEPT {
        watch.panics.push(Panic {
            message: text_of(info.payload()),
            report: info.to_string(),
        });
    }
    true
}

fn first_message(panics: Vec<Panic>) -> Option<String> {
    panics.into_iter().next().map(|panic| panic.message)
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason was given").to_owned()
}

/// Nobody can be told when standard error is closed.
fn show(panics: &[Panic]) {
    for panic in panics {
        match SHOWN_BY.get() {
            Some(show) => show(&panic.report),
            None => drop(writeln!(io::stderr(), "{}", panic.report)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::{Panic, guarded, show, show_panics_by};

    #[test]
    fn a_panic_is_shown_by_what_was_set() {
        static SHOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        show_panics_by(|report| SHOWN.lock().unwrap().push(report.to_owned()));
        let report = "shown in one piece";
        show(&[Panic {
            message: "in one piece".to_owned(),
            report: report.to_owned(),
        }]);
        // What another test's work shows is among them.
        let shown = SHOWN.lock().unwrap();
        assert!(shown.iter().any(|shown| shown == report), "{shown:?}");
    }

    fn run_out() {
        panic!("wgpu error: Out of Memory");
    }

    #[test]
    fn what_panicked_first_is_why_work_failed() {
        let said =
            |work: fn() -> Result<u8, String>| guarded(work, |reason| format!("broke: {reason}"));
        assert_eq!(said(|| Ok(7)), Ok(7));
        assert_eq!(
            said(|| Err("said so".to_owned())),
            Err("said so".to_owned())
        );
        let here = said(|| panic!("no room for {} bytes", 9));
        assert_eq!(here, Err("broke: no room for 9 bytes".to_owned()));
        let passed_on = said(|| std::panic::resume_unwind(Box::new("passed on".to_owned())));
        assert_eq!(passed_on, Err("broke: passed on".to_owned()));
        // As on a backend's own thread: the work finds only that something is missing.
        let elsewhere = said(|| {
            let thread = std::thread::spawn(run_out).join();
            thread.map_or(Err("a buffer was never written".to_owned()), |()| Ok(7))
        });
        assert_eq!(
            elsewhere,
            Err("broke: wgpu error: Out of Memory".to_owned())
        );
        // The next piece of work has nothing to do with it.
        assert_eq!(
            said(|| Err("said so".to_owned())),
            Err("said so".to_owned())
        );
        let done = said(|| {
            drop(std::thread::spawn(run_out).join());
            Ok(7)
        });
        assert_eq!(done, Ok(7));
    }
}
