//! A stream whose writing is seen, and whose end is.

use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::activity::Activity;

/// How often the end is looked for behind bytes that are not read.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Returns when the client has closed its half of a connection, or all of it, though bytes before that are not read.
pub async fn client_closed(writing: &OwnedWriteHalf) {
    while let Ok(ready) = writing.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // Such bytes keep it ready.
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A connection that notes when its client takes what is sent, and when it does not.
pub struct ObservedStream {
    reading: OwnedReadHalf,
    /// Shared with whoever looks for the client's end.
    writing: Arc<OwnedWriteHalf>,
    activity: Arc<Activity>,
}

impl ObservedStream {
    /// Notes in `activity`.
    pub fn new(
        reading: OwnedReadHalf,
        writing: Arc<OwnedWriteHalf>,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            reading,
            writing,
            activity,
        }
    }

    fn poll_write_by(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let written = poll_until_taken(&self.writing, context, write);
        match written {
            Poll::Ready(_) => self.activity.wrote(),
            Poll::Pending => self.activity.is_blocked(),
        }
        written
    }
}

fn poll_until_taken(
    writing: &OwnedWriteHalf,
    context: &mut Context<'_>,
    write: impl Fn(&OwnedWriteHalf) -> Result<usize>,
) -> Poll<Result<usize>> {
    let stream: &TcpStream = writing.as_ref();
    loop {
        ready!(stream.poll_write_ready(context))?;
        match write(writing) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}

impl AsyncRead for ObservedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.reading).poll_read(context, buffer)
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.poll_write_by(context, |writing| writing.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.poll_write_by(context, |writing| writing.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.writing.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // What is written to a socket is on its way.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        // The half for writing is shut down when it is dropped, which comes next.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::client_closed;

    #[tokio::test]
    async fn a_clients_end_is_seen_behind_what_nobody_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (_reading, writing) = stream.into_split();
        client.write_all(b"more").await.unwrap();
        assert!(client_closed(&writing).now_or_never().is_none());
        client.shutdown().await.unwrap();
        client_closed(&writing).await;
    }
}
