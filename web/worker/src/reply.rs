//! Answers to the page.

use js_sys::{Array, Object, Reflect};
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::JsValue;

use crate::{Cancelled, WorkerError, scope, serve};

/// Where the answers to one request go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    id: u32,
}

impl Reply {
    /// To the request with that id.
    pub fn to(id: u32) -> Self {
        Self { id }
    }

    /// The request's id.
    pub fn id(self) -> u32 {
        self.id
    }

    /// Whether the page has taken the request back.
    pub fn is_cancelled(self) -> bool {
        serve::is_cancelled(self.id)
    }

    /// Ends the work on a request that the page has taken back.
    ///
    /// # Errors
    /// [`Cancelled`], if it has.
    pub fn still_wanted(self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        Ok(())
    }

    /// Sends `{id, type, body}`.
    pub fn send(self, kind: &str, body: &impl Serialize) {
        self.send_value(kind, &as_js(body), &Array::new());
    }

    /// [`send`](Self::send) with a body of JavaScript and what goes over to the page with it.
    pub fn send_value(self, kind: &str, body: &JsValue, transfer: &Array) {
        let message = Object::new();
        for (key, value) in [
            ("id", JsValue::from(self.id)),
            ("type", kind.into()),
            ("body", body.clone()),
        ] {
            // Setting a property of a plain object cannot fail.
            let _ = Reflect::set(&message, &key.into(), &value);
        }
        // Fails only for what cannot be cloned, which no message holds.
        let _ = scope().post_message_with_transfer(&message, transfer);
    }

    /// The request failed.
    pub(crate) fn error(self, error: &WorkerError) {
        self.send("error", error);
    }

    /// The request was cancelled.
    pub(crate) fn cancelled(self) {
        self.send("cancelled", &());
    }

    /// The worker cannot go on.
    pub(crate) fn crashed(error: &WorkerError) {
        Self::to(0).send("crashed", error);
    }
}

/// A value as JavaScript writes it: objects, not maps.
pub fn as_js(value: &impl Serialize) -> JsValue {
    // What is sent is strings, numbers and lists of them.
    value
        .serialize(&Serializer::json_compatible())
        .unwrap_or(JsValue::NULL)
}
