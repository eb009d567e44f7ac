//! What every handler sees.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use glyph_engine::Engine;
use glyph_model::checkpoint::CheckpointSettings;

use crate::auth::Keys;
use crate::byte_pool::BytePool;
use crate::config::ServerConfig;
use crate::error::{ApiError, Code};
use crate::images::PixelPool;
use crate::metrics::Metrics;
use crate::preparation::PreparationLine;
use crate::remote::RemoteImages;
use crate::renderers::Renderers;

/// Shared by all handlers; clones share it.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

struct Inner {
    config: ServerConfig,
    engine: Engine,
    metrics: Metrics,
    keys: Keys,
    renderers: Renderers,
    remote_images: Option<RemoteImages>,
    preparation: PreparationLine,
    pixels: PixelPool,
    bodies: BytePool,
    started_s: u64,
}

impl AppState {
    /// For one server.
    pub fn new(config: ServerConfig, engine: Engine, metrics: Metrics) -> Self {
        let bodies_bytes = config.bodies_limit_bytes.max(config.body_limit_bytes);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // A burst that the batch has room for must get through, however short the queue is.
        let options = engine.options();
        let most_waiting = options.queue.saturating_add(options.limits.max_batch);
        Self(Arc::new(Inner {
            keys: Keys::new(&config.api_keys),
            renderers: Renderers::new(config.model_renderer.clone()),
            remote_images: config.remote_images.map(RemoteImages::new),
            pixels: PixelPool::new(config.held_pixels_limit),
            preparation: PreparationLine::new(cores, most_waiting),
            config,
            engine,
            metrics,
            bodies: BytePool::new(bodies_bytes),
            started_s: now_s(),
        }))
    }

    /// What was chosen at the start.
    pub fn config(&self) -> &ServerConfig {
        &self.0.config
    }

    /// The model.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Who may call.
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Draws documents.
    pub fn renderers(&self) -> &Renderers {
        &self.0.renderers
    }

    /// Fetches images, where that is allowed.
    pub fn remote_images(&self) -> Option<&RemoteImages> {
        self.0.remote_images.as_ref()
    }

    /// Where requests wait for [`Self::blocking`].
    pub fn preparation(&self) -> &PreparationLine {
        &self.0.preparation
    }

    /// What pages may take.
    pub fn pixels(&self) -> &PixelPool {
        &self.0.pixels
    }

    /// What bodies and fetched images may take.
    pub fn bodies(&self) -> &BytePool {
        &self.0.bodies
    }

    /// Seconds since 1970 when the server started.
    pub fn started_s(&self) -> u64 {
        self.0.started_s
    }

    /// Prompts and preprocessing of the model.
    ///
    /// # Errors
    /// [`Code::ModelLoading`] and its like when the model does not answer now.
    pub fn settings(&self) -> Result<Arc<CheckpointSettings>, ApiError> {
        let engine = self.engine();
        let state = engine.state();
        match engine.settings() {
            Some(settings) if state == glyph_engine::EngineState::Ready => Ok(settings),
            _ => Err(ApiError::not_ready(&state)),
        }
    }

    /// The name of the model that a request is for.
    ///
    /// # Errors
    /// [`Code::ModelNotFound`].
    pub fn model_name(&self, asked: Option<&str>) -> Result<&str, ApiError> {
        let names = &self.config().model_names;
        let name = match asked {
            None | Some("") => names.first(),
            Some(asked) => names.iter().find(|name| *name == asked),
        };
        name.map(String::as_str).ok_or_else(|| {
            let message = format!(
                "the model {:?} is not served here; ask for {}, or leave `model` out",
                asked
                    .unwrap_or_default()
                    .chars()
                    .take(80)
                    .collect::<String>(),
                names.join(" or ")
            );
            ApiError::of(Code::ModelNotFound, "model", message)
        })
    }

    /// Runs a caller's work that keeps a processor busy on a thread of its own, as many at once as there are cores.
    /// Others wait in a line that is shared fairly between callers.
    ///
    /// # Errors
    /// Those of the work; [`Code::QueueFull`] when too many wait already; [`Code::InternalError`] when the work panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        caller: &str,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self.preparation().place(caller).await?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|error| ApiError::internal(&error))?
    }
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use axum::body::to_bytes;
    use axum::extract::State;
    use futures::poll;
    use glyph_engine::{EngineOptions, Limits};
    use glyph_model::ModelError;

    use super::{AppState, Engine, Metrics, ServerConfig};
    use crate::health;

    /// Of a server whose model cannot be loaded.
    fn state(queue: usize) -> AppState {
        let options = EngineOptions {
            limits: Limits {
                max_batch: 1,
                max_pages: 1,
                max_context: None,
                buffer_tokens: None,
                device_bytes: 0,
                headroom_bytes: 0,
                largest_page_patches: 4,
            },
            queue,
            warm_up: false,
        };
        let load = |_: &mut dyn FnMut(f64)| {
            Err(ModelError::MissingFile {
                file: "config.json".to_owned(),
            })
        };
        let engine = Engine::start(options, load, ()).unwrap();
        AppState::new(ServerConfig::new("none"), engine, Metrics::new().unwrap())
    }

    async fn queue_length(state: &AppState) -> f64 {
        let answer = health::metrics(State(state.clone())).await.unwrap();
        let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("glyph_queue_length "));
        value.unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn as_many_wait_to_be_prepared_as_in_the_queue_and_in_the_batch() {
        let state = state(1);
        let line = state.preparation();
        let (mut places, mut waits) = (Vec::new(), Vec::new());
        while waits.len() < 2 {
            let mut next = Box::pin(line.place("a"));
            match poll!(&mut next) {
                Poll::Ready(place) => places.push(place.ok().unwrap()),
                Poll::Pending => waits.push(next),
            }
        }
        assert_eq!(queue_length(&state).await, 2.0);
        let refused = state.blocking("a", || Ok(())).await.unwrap_err();
        assert_eq!(refused.code(), super::Code::QueueFull);
        drop(waits);
        assert_eq!(queue_length(&state).await, 0.0);
        drop(places);
        state.blocking("a", || Ok(())).await.unwrap();
    }
}
