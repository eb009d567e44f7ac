//! Room for the browser between two steps of a generation. Where nothing waits for the device, a worker would never see
//! the message that asks it to stop.

/// Natively, others have threads of their own.
#[cfg(not(target_family = "wasm"))]
pub(crate) async fn pause() {}

/// Lets the browser deliver messages, now and then: a pause costs some milliseconds.
#[cfg(target_family = "wasm")]
pub(crate) async fn pause() {
    use std::cell::Cell;

    use js_sys::{Date, Function, Promise, Reflect, global};
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;

    const BETWEEN_MS: f64 = 50.0;
    thread_local! {
        static LAST_MS: Cell<f64> = const { Cell::new(0.0) };
    }
    if Date::now() - LAST_MS.get() < BETWEEN_MS {
        return;
    }
    let set_timeout = Reflect::get(&global(), &"setTimeout".into()).ok();
    let set_timeout = set_timeout.and_then(|value| value.dyn_into::<Function>().ok());
    if let Some(set_timeout) = set_timeout {
        let waiting = Promise::new(&mut |resolve, _| {
            // Without its timer the promise is dropped with the page that has none.
            let _ = set_timeout.call2(&JsValue::UNDEFINED, &resolve, &JsValue::from(0));
        });
        // It is only ever resolved.
        let _ = JsFuture::from(waiting).await;
    }
    LAST_MS.set(Date::now());
}
