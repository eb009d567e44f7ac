//! From a listener to a stopped server.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

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

/// How long connections may take to send what is ready, though the time to finish is over or the model has failed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until `shutdown` comes. Then nothing new is taken, `/ready` says so, and what runs may go on for the
/// configured time. A model that can be run no longer ends the server sooner, and `shutdown` ends it at once then.
///
/// # Errors
/// When the server's own work ends before its time, and when a model that has answered can be run no longer.
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
    let app = routes::app(&state);
    let serving = connections::serve(listener, app, limits, metrics.clone(), closing);
    let mut serving = tokio::spawn(serving);
    let tidying = tokio::spawn(async move {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            metrics.tidy();
        }
    });
    let telling = tokio::spawn(tell_batch(engine.clone()));
    let mut shutdown = pin!(shutdown);
    let mut failed = None;
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = shutdown.as_mut() => None,
        reason = failure(&engine) => {
            tracing::error!(reason, "the model answers no longer");
            failed = Some(reason);
            None
        }
    };
    let outcome = match ended {
        Some(ended) => ended.map_err(io::Error::other),
        None => {
            let start = Instant::now();
            drain(&engine, drain_timeout).await;
            // The server may have ended by itself.
            let _ = close.send(true);
            let left = match failed {
                // Whoever starts the server again waits for its end.
                Some(_) => CLOSE_TIMEOUT,
                // Pages are drawn, and answers are sent, while the model has nothing more to do.
                None => drain_timeout
                    .saturating_sub(start.elapsed())
                    .max(CLOSE_TIMEOUT),
            };
            let ended = tokio::select! {
                ended = &mut serving => Some(ended),
                () = tokio::time::sleep(left) => None,
                () = shutdown.as_mut(), if failed.is_some() => None,
            };
            match ended {
                Some(ended) => ended.map_err(io::Error::other),
                None => {
                    serving.abort();
                    Ok(())
                }
            }
        }
    };
    tidying.abort();
    telling.abort();
    match failed {
        Some(reason) => Err(io::Error::other(reason)),
        None => outcome,
    }
}

/// Says so when memory has no room for as many requests at once as were asked for.
async fn tell_batch(engine: Engine) {
    engine.settled().await;
    let Some(plan) = engine.plan() else { return };
    let (asked, max_batch) = (plan.limits.max_batch, plan.max_batch);
    if max_batch < asked {
        tracing::warn!(
            asked,
            max_batch,
            context_tokens = plan.context_tokens,
            "memory has room for fewer requests at once than --max-batch asks for"
        );
    }
}

/// Why an engine that was ready serves no longer, when it does not. It may have been ready for less time than it takes
/// to see that, so what it has loaded is what counts.
async fn failure(engine: &Engine) -> String {
    engine.stopped().await;
    match engine.state() {
        EngineState::Failed { reason } if engine.settings().is_some() => reason,
        _ => std::future::pending().await,
    }
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
