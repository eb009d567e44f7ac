//! What an answer leaves unread of a request's body.
//!
//! A system resets a connection that is closed over bytes that nobody has read, and a client that is still sending then
//! reports a broken connection and not the answer. So those bytes are read away. The answer does not wait for it, the
//! connection counts as idle meanwhile, and none of them are kept.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use http_body::{Body as _, Frame, SizeHint};
use tokio::runtime::Handle;

/// So much is read away. A body that is refused for its size is larger than the largest that is taken.
const MOST_BYTES: usize = 512 << 20;
/// And for so long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sees to it that what is left of a request's body is read away when whoever answers has done with it.
pub async fn read_away(request: Request) -> Request {
    let is_held_back = is_held_back(request.headers());
    request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        Body::new(RequestBody { body, is_held_back })
    })
}

/// Whether a client sends its body only when it is asked to.
fn is_held_back(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|what| what.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The body of a request; what is left of it when it is dropped is read away.
struct RequestBody {
    /// Empty when all of it has been read, or no more comes.
    body: Body,
    /// Reading would ask for what the client has not begun to send.
    is_held_back: bool,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_held_back = false;
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.body = Body::empty();
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_held_back || self.body.is_end_stream() {
            return;
        }
        // There is none any more when the process ends.
        if let Ok(runtime) = Handle::try_current() {
            let body = std::mem::take(&mut self.body);
            runtime.spawn(discard(body, MOST_BYTES, TIMEOUT));
        }
    }
}

/// Reads a body to its end, or to one of the bounds.
async fn discard(body: Body, most_bytes: usize, timeout: Duration) {
    let mut chunks = body.into_data_stream();
    let all = async {
        let mut n_bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            n_bytes += chunk.len();
            if n_bytes > most_bytes {
                return;
            }
        }
    };
    // Whether all of it came makes no difference to the answer.
    let _ = tokio::time::timeout(timeout, all).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::body::{Body, Bytes};
    use axum::extract::Request;
    use axum::http::header;
    use tokio::sync::mpsc::{Receiver, channel};

    use super::{discard, read_away};

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(3600);

    /// A body of the chunks that are sent.
    fn body(chunks: Receiver<Bytes>) -> Body {
        Body::from_stream(futures::stream::unfold(chunks, |mut chunks| async move {
            let chunk = chunks.recv().await?;
            Some((Ok::<Bytes, Infallible>(chunk), chunks))
        }))
    }

    #[tokio::test]
    async fn an_endless_body_is_given_up() {
        let (sender, chunks) = channel(1);
        let discarding = tokio::spawn(discard(body(chunks), 10_000, LONG));
        let mut n_sent = 0;
        while sender.send(Bytes::from_static(&[0; 1000])).await.is_ok() {
            n_sent += 1;
        }
        discarding.await.unwrap();
        // The one beyond the bound, and one that nobody takes any more.
        assert!((11..=12).contains(&n_sent), "{n_sent}");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let (sender, chunks) = channel(1);
        discard(body(chunks), usize::MAX, Duration::from_millis(1)).await;
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn what_nobody_reads_is_read_away_unless_the_client_waits_to_be_asked() {
        let (sender, chunks) = channel(1);
        drop(read_away(Request::new(body(chunks))).await);
        for _ in 0..8 {
            sender.send(Bytes::from_static(b"more")).await.unwrap();
        }

        let (sender, chunks) = channel::<Bytes>(1);
        let mut request = Request::new(body(chunks));
        let value = "100-Continue".parse().unwrap();
        request.headers_mut().insert(header::EXPECT, value);
        drop(read_away(request).await);
        assert!(sender.is_closed());
    }
}
