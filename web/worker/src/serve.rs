//! The loop of a worker: requests in, each handled on its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::MessageEvent;

use crate::{ErrorCode, Reply, Unfinished, WorkerError, field, scope};

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

thread_local! {
    /// Requests that are being handled, and whether the page has taken them back.
    static OPEN: RefCell<BTreeMap<u32, bool>> = const { RefCell::new(BTreeMap::new()) };
}

/// Whether the page has taken a request back.
pub(crate) fn is_cancelled(request: u32) -> bool {
    OPEN.with_borrow(|open| open.get(&request).copied().unwrap_or(false))
}

/// Handles every request of the page from now on, several at a time where they wait, and tells the
/// page that the worker listens. An error, and a message that cannot be read, are answered with their
/// words, and a request that was taken back with just that; a panic, and an error after which nothing works,
/// are told to the page, which ends the worker.
pub fn serve<S, T, E, H>(state: S, handle: H)
where
    S: 'static,
    T: DeserializeOwned + 'static,
    E: Into<Unfinished> + 'static,
    H: AsyncFn(&S, Request<T>) -> Result<(), E> + 'static,
{
    std::panic::set_hook(Box::new(|panic| {
        let message = format!("the worker has crashed: {panic}");
        Reply::crashed(&WorkerError::uncommon(message));
    }));
    let shared = Rc::new((state, handle));
    let on_message = move |event: MessageEvent| {
        let message = event.data();
        let number = |key: &str| field(&message, key).as_f64().unwrap_or_default() as u32;
        if field(&message, "type").as_string().as_deref() == Some("cancel") {
            let request = number("request");
            OPEN.with_borrow_mut(|open| {
                open.entry(request)
                    .and_modify(|cancelled| *cancelled = true);
            });
            return;
        }
        let reply = Reply::to(number("id"));
        let body = match serde_wasm_bindgen::from_value(message.clone()) {
            Ok(body) => body,
            Err(error) => {
                let reason = error.to_string();
                let message = format!("an option cannot be used: {reason}");
                reply.error(&WorkerError::new(ErrorCode::Argument, reason, message));
                return;
            }
        };
        let request = Request {
            body,
            message,
            reply,
        };
        OPEN.with_borrow_mut(|open| open.insert(reply.id(), false));
        let shared = Rc::clone(&shared);
        spawn_local(async move {
            let (state, handle) = &*shared;
            let outcome: Result<(), Unfinished> = handle(state, request).await.map_err(Into::into);
            match outcome {
                Ok(()) => {}
                Err(Unfinished::Cancelled) => reply.cancelled(),
                Err(Unfinished::Failed(error)) => reply.error(&error),
                Err(Unfinished::Broken(error)) => Reply::crashed(&error),
            }
            OPEN.with_borrow_mut(|open| open.remove(&reply.id()));
        });
    };
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(on_message);
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // It lives as long as the worker.
    on_message.forget();
    Reply::to(0).send("ready", &());
}
