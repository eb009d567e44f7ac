//! What both workers of the page have in common: messages, time, pauses.

mod error;
mod fetch;
mod message;
mod reply;
mod serve;

pub use error::{Cancelled, ErrorCode, Unfinished, WorkerError};
pub use fetch::{FetchError, fetch_bytes, fetch_fresh};
pub use message::{MessageError, array, field, name_of, read_blob, text};
pub use reply::{Reply, as_js};
pub use serve::{Request, serve};

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::DedicatedWorkerGlobalScope;

/// The worker's global object.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Milliseconds since the worker began.
pub fn now_ms() -> f64 {
    scope().performance().map_or(0.0, |clock| clock.now())
}

/// Lets the browser deliver messages.
pub async fn pause() {
    let timer = |resolve: Function, _: Function| {
        let set = Reflect::get(&scope(), &"setTimeout".into());
        let set = set.ok().and_then(|set| set.dyn_into::<Function>().ok());
        // Without timers there is nothing to wait for.
        let waiting = set.and_then(|set| set.call2(&scope(), &resolve, &0.into()).ok());
        if waiting.is_none() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    };
    let _ = JsFuture::from(Promise::new(&mut { timer })).await;
}

/// A JavaScript error's words.
pub fn js_message(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok();
    let message = message.and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{error:?}"))
}
