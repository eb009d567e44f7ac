//! A body that says how far it has come.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::activity::Receiving;

/// The body of a request.
pub struct ReceivedBody {
    body: Incoming,
    receiving: Receiving,
}

impl ReceivedBody {
    /// Of the request that is being answered.
    pub fn new(body: Incoming, receiving: Receiving) -> Self {
        if body.is_end_stream() {
            receiving.came_whole();
        }
        Self { body, receiving }
    }
}

impl http_body::Body for ReceivedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => self.receiving.came(),
            Poll::Ready(Some(Ok(_)) | None) => self.receiving.came_whole(),
            Poll::Ready(Some(Err(_))) => self.receiving.breaks_off(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        self.receiving.breaks_off();
    }
}
