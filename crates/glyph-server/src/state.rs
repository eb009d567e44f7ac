//! What every handler sees.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use glyph_engine::Engine;
use glyph_model::checkpoint::CheckpointSettings;
use tokio::sync::Semaphore;

use crate::auth::Keys;
use crate::byte_pool::BytePool;
use crate::config::ServerConfig;
use crate::error::{ApiError, Code};
use crate::images::PixelPool;
use crate::metrics::Metrics;
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
    preparing: Arc<Semaphore>,
    pixels: PixelPool,
    bodies: BytePool,
    started_s: u64,
}

impl AppState {
    /// For one server.
    pub fn new(config: ServerConfig, engine: Engine, metrics: Metrics) -> Self {
        let bodies_bytes = config.bodies_limit_bytes.max(config.body_limit_bytes);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner {
            keys: Keys::new(&config.api_keys),
            renderers: Renderers::new(config.model_renderer.clone()),
            remote_images: config.remote_images.map(RemoteImages::new),
            pixels: PixelPool::new(config.held_pixels_limit),
            config,
            engine,
            metrics,
            preparing: Arc::new(Semaphore::new(cores)),
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

    /// Runs work that keeps a processor busy on a thread of its own, as many at once as there are cores.
    ///
    /// # Errors
    /// Those of the work; [`Code::InternalError`] when it panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.0.preparing).acquire_owned().await;
        let permit = permit.map_err(|error| ApiError::internal(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
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
