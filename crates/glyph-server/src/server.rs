//! From a listener to a stopped server.

use std::io;
use std::time::Duration;

use glyph_engine::{Engine, EngineState};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::ServerConfig;
use crate::connections::{self, ConnectionLimits};
use crate::metrics::Metrics;
use crate::routes;
use crate::state::AppState;

/// How often samples are moved into their buckets.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// How long connections may take to send what is ready, after the last answer has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until `shutdown` comes. Then nothing new is taken, `/ready` says so, and what runs may go on for the
/// configured time.
///
/// # Errors
/// When the server's own work ends before its time.
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    engine: Engine,
    metrics: Metrics,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let drain_timeout = config.drain_timeout;
    let limits = ConnectionLimits {
        most: config.max_connections,
        idle_timeout: config.idle_timeout,
        write_timeout: config.write_timeout,
    };
    let state = AppState::new(config, engine.clone(), metrics.clone());
    let (close, closing) = watch::channel(false);
    let serving = connections::serve(listener, routes::app(&state), limits, closing);
    let mut serving = tokio::spawn(serving);
    let tidying = tokio::spawn(async move {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            metrics.tidy();
        }
    });
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = shutdown => None,
    };
    let outcome = match ended {
        Some(ended) => ended.map_err(io::Error::other),
        None => {
            drain(&engine, drain_timeout).await;
            // The server may have ended by itself.
            let _ = close.send(true);
            match tokio::time::timeout(CLOSE_TIMEOUT, &mut serving).await {
                Ok(ended) => ended.map_err(io::Error::other),
                Err(_) => {
                    serving.abort();
                    Ok(())
                }
            }
        }
    };
    tidying.abort();
    outcome
}

/// Lets what runs come to its end, for a time.
async fn drain(engine: &Engine, timeout: Duration) {
    tracing::info!("stopping: no new requests are taken, those that run are finished");
    let serves = engine.state() == EngineState::Ready;
    engine.drain();
    if serves
        && tokio::time::timeout(timeout, engine.stopped())
            .await
            .is_err()
    {
        let running = engine.stats().running;
        tracing::warn!(
            running,
            "the time to finish is over; what still runs is ended"
        );
    }
    engine.stop();
    tracing::info!("stopped");
}
