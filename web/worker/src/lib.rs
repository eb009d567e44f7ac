//! What both workers of the page have in common: messages, time, pauses.

mod fetch;
mod reply;

pub use fetch::{fetch, fetch_bytes};
pub use reply::{Reply, described};

use js_sys::{Function, Promise, Reflect};
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen::{JsCast, JsError};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// The worker's global object.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// A message from the page.
#[derive(Debug)]
pub struct Request<T> {
    /// Its typed part.
    pub body: T,
    /// The whole message, for blobs and buffers.
    pub message: JsValue,
    /// Where answers go.
    pub reply: Reply,
}

/// Hands every message to `handle` and tells the page that the worker listens. A message that cannot
/// be read is answered with an error; a panic is told to the page, which starts another worker.
pub fn listen<T: DeserializeOwned + 'static>(handle: impl Fn(Request<T>) + 'static) {
    std::panic::set_hook(Box::new(|panic| Reply::crashed(&panic.to_string())));
    let on_message = move |event: MessageEvent| {
        let message = event.data();
        let id = Reflect::get(&message, &"id".into()).ok();
        let id = id.and_then(|id| id.as_f64()).unwrap_or_default() as u32;
        let reply = Reply::to(id);
        match serde_wasm_bindgen::from_value(message.clone()) {
            Ok(body) => handle(Request {
                body,
                message,
                reply,
            }),
            Err(error) => reply.error(&format!("the message cannot be read: {error}")),
        }
    };
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(on_message);
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // It lives as long as the worker.
    on_message.forget();
    Reply::to(0).send("ready", &());
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

/// An error for JavaScript from one of Rust.
pub fn js_error(error: &dyn std::fmt::Display) -> JsValue {
    JsError::new(&error.to_string()).into()
}
