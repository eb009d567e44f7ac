//! Connections: how many there are, and how long one may keep the server waiting.
//!
//! They speak HTTP/1, in which a client that takes nothing of an answer is seen: what is sent to it no longer goes out.
//! One of HTTP/2 can hold back every answer and still read its connection.
//!
//! A connection is idle while no request of it is being answered, which includes the time in which a head trickles in.
//! Idle ones are closed after a time, and at once when their places are needed; where none is idle, one whose request
//! has not come whole (`open`). One whose client does not take what is sent is closed after a time too, and one whose
//! client has gone while it waited for its answer, whatever it sent behind its request. Bodies have bounds of their own
//! (`body`).

mod activity;
mod counted_body;
mod io;
mod open;
mod received_body;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tower::{ServiceExt, service_fn};

use crate::metrics::{HEAD_FAULTS, Metrics};

use activity::Activity;
use counted_body::CountedBody;
use io::{ObservedStream, client_closed};
use open::Open;
use received_body::ReceivedBody;

/// Largest head of a request, in bytes and in fields.
const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_HEADERS: usize = 100;

/// How long the system is left alone after it gave no connection, as when all its files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// So many are open at once.
    pub most: usize,
    /// One may be idle so long.
    pub idle_timeout: Duration,
    /// A client may take nothing of what is sent for so long.
    pub write_timeout: Duration,
}

/// Serves connections until `closing` says so; then takes no more and finishes what is being answered. Dropping it
/// closes them all.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: ConnectionLimits,
    metrics: Metrics,
    mut closing: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let open = Open::new(limits.most);
    let of_connections = closing.clone();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let place = open.place().await;
                    let connection = Connection {
                        stream,
                        address,
                        activity: open.enter(address.ip()),
                        open: Arc::clone(&open),
                        limits,
                        metrics: metrics.clone(),
                        closing: of_connections.clone(),
                        _place: place,
                    };
                    connections.spawn(connection.run(app.clone()));
                    while connections.try_join_next().is_some() {}
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    open.evict();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = closing.wait_for(|closes| *closes) => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One of them.
struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    activity: Arc<Activity>,
    open: Arc<Open>,
    limits: ConnectionLimits,
    metrics: Metrics,
    closing: watch::Receiver<bool>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    async fn run(self, app: Router) {
        // Tokens are small and each is waited for.
        let _ = self.stream.set_nodelay(true);
        let Self {
            stream,
            address,
            activity,
            open,
            limits,
            metrics,
            mut closing,
            _place,
        } = self;
        let of_requests = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let (answering, receiving) = of_requests.answering();
            let mut request = request.map(|body| Body::new(ReceivedBody::new(body, receiving)));
            request.extensions_mut().insert(ConnectInfo(address));
            let response = app.clone().oneshot(request);
            async move {
                let response = response.await?;
                Ok::<_, std::convert::Infallible>(
                    response.map(|body| CountedBody::new(body, answering)),
                )
            }
        });
        let (reading, writing) = stream.into_split();
        let writing = Arc::new(writing);
        let io = ObservedStream::new(reading, Arc::clone(&writing), Arc::clone(&activity));
        let serving =
            protocol(limits).serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
        let mut serving = std::pin::pin!(serving);
        let mut overdue = std::pin::pin!(activity.overdue(limits));
        // hyper looks for the client's end too, but not behind bytes that it keeps for the next request.
        let mut gone = std::pin::pin!(async {
            client_closed(&writing).await;
            activity.whole().await;
        });
        let mut is_closing = false;
        loop {
            tokio::select! {
                outcome = serving.as_mut() => {
                    if let Err(error) = outcome {
                        note_refusal(&error, address, &metrics);
                    }
                    break;
                }
                () = overdue.as_mut() => break,
                () = gone.as_mut() => break,
                _ = closing.wait_for(|closes| *closes), if !is_closing => {
                    is_closing = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
        open.leave(&activity);
    }
}

fn protocol(limits: ConnectionLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(MOST_HEAD_BYTES)
        .max_headers(MOST_HEADERS);
    builder
}

/// Heads that hyper refuses are in no other line and in no other count: there was no request. How else a connection
/// ends is the client's affair.
fn note_refusal(error: &hyper::Error, address: SocketAddr, metrics: &Metrics) {
    if !error.is_parse() {
        return;
    }
    let [malformed, too_large, http2] = HEAD_FAULTS;
    let reason = if error.is_parse_too_large() {
        too_large
    } else if error.is_parse_version_h2() {
        http2
    } else {
        malformed
    };
    metrics.head_refused(reason);
    tracing::info!(%address, reason, %error, "the head of a request was refused");
}
