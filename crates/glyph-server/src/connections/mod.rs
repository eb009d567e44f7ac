//! Connections: how many there are, and how long one may keep the server waiting.
//!
//! They speak HTTP/1, in which a client that takes nothing of an answer is seen: what is sent to it no longer goes out.
//! One of HTTP/2 can hold back every answer and still read its connection.
//!
//! A connection is idle while no request of it is being answered, which includes the time in which a head trickles in.
//! Idle ones are closed after a time, and at once when their places are needed. One whose client does not take what is
//! sent is closed after a time too. Bodies have bounds of their own (`body`).

mod activity;
mod counted_body;
mod io;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::{ServiceExt, service_fn};

use activity::Activity;
use counted_body::CountedBody;
use io::ObservedStream;

/// Largest head of a request, in bytes and in fields.
const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_HEADERS: usize = 100;

/// How long the system is left alone after it gave no connection, as when all its files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often somebody idle is looked for while all places are taken.
const EVICT_EVERY: Duration = Duration::from_millis(250);

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
                        activity: open.enter(),
                        open: Arc::clone(&open),
                        limits,
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

/// All connections.
struct Open {
    places: Arc<Semaphore>,
    all: Mutex<HashMap<u64, Arc<Activity>>>,
}

impl Open {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            all: Mutex::default(),
        })
    }

    /// A place for a new connection, if need be that of the one that has been idle the longest.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).try_acquire_owned();
            if let Ok(place) = place {
                return Some(place);
            }
            self.evict();
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = tokio::time::timeout(EVICT_EVERY, place).await {
                return place.ok();
            }
        }
    }

    fn evict(&self) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = all.values().filter_map(|activity| {
            let since = activity.idle_since()?;
            Some((since, activity))
        });
        if let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) {
            longest.evict();
        }
    }

    fn enter(&self) -> Arc<Activity> {
        let activity = Arc::new(Activity::new());
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(activity.id(), Arc::clone(&activity));
        activity
    }

    fn leave(&self, activity: &Activity) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&activity.id());
    }
}

/// One of them.
struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    activity: Arc<Activity>,
    open: Arc<Open>,
    limits: ConnectionLimits,
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
            mut closing,
            _place,
        } = self;
        let of_requests = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let answering = of_requests.answering();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            let response = app.clone().oneshot(request);
            async move {
                let response = response.await?;
                Ok::<_, std::convert::Infallible>(
                    response.map(|body| CountedBody::new(body, answering)),
                )
            }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_timeout)
            .max_buf_size(MOST_HEAD_BYTES)
            .max_headers(MOST_HEADERS);
        let io = TokioIo::new(ObservedStream::new(stream, Arc::clone(&activity)));
        let serving = builder.serve_connection(io, TowerToHyperService::new(service));
        let mut serving = std::pin::pin!(serving);
        let mut overdue = std::pin::pin!(activity.overdue(limits));
        let mut is_closing = false;
        loop {
            tokio::select! {
                // How a connection ends is the client's affair.
                _ = serving.as_mut() => break,
                () = overdue.as_mut() => break,
                _ = closing.wait_for(|closes| *closes), if !is_closing => {
                    is_closing = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
        open.leave(&activity);
    }
}
