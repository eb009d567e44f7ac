//! The caller's end of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::request::Event;

/// The events of one request. Dropping it cancels the request: its place is free within one token.
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: UnboundedReceiver<Event>,
    pub(crate) cancelled: Arc<AtomicBool>,
}

impl Events {
    /// The next event; `None` behind the last.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// The same for a stream.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}
