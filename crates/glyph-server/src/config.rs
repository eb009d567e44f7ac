//! How a server is set up.

use std::path::PathBuf;
use std::time::Duration;

use glyph_render::Renderer;
use serde::Serialize;
use utoipa::ToSchema;

use crate::images::pixels_within;
use crate::remote::RemoteImageLimits;

/// Largest body of a request unless told otherwise.
pub const DEFAULT_BODY_LIMIT_BYTES: usize = 64 << 20;

/// How long requests may go on after the signal to stop unless told otherwise.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of one request unless told otherwise.
pub const DEFAULT_MAX_PAGES: usize = 64;

/// Connections that are open at once unless told otherwise: what systems give a process of files, which is 1,024 on
/// most, less those that the server itself has open.
pub const DEFAULT_MAX_CONNECTIONS: usize = 960;

/// How long a client may take to send a body.
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// What requests may take of memory unless told otherwise.
const DEFAULT_REQUEST_BYTES: u64 = 4 << 30;

/// Of that, the parts for pages and for bodies.
const PIXELS_SHARE: u64 = 2;
const BODIES_SHARE: u64 = 4;

/// Bodies that are received or waited on at once, together, however much memory there is.
const MOST_BODIES_BYTES: usize = 256 << 20;

/// How long a connection may be idle, and a head may take.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take nothing of its answer.
const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a model runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceInfo {
    /// Name as `--device` takes it.
    #[schema(example = "cuda:0")]
    pub name: String,
    /// The part, as its driver names it.
    #[schema(example = "NVIDIA GeForce RTX 4090")]
    pub description: String,
    /// Driver and version; null on a CPU.
    #[schema(example = "570.86.15 (CUDA 12.8)")]
    pub driver: Option<String>,
    /// Type of weights and activations.
    #[schema(example = "bf16")]
    pub dtype: &'static str,
    /// Bits of the decoder's weights, `q8` or `q4`; null where they are of that type.
    #[schema(example = "q4")]
    pub quantization: Option<String>,
    /// Bits of keys and values: `full`, those of that type, `f16` or `q8`.
    #[schema(example = "full")]
    pub kv_cache: &'static str,
}

/// What the person who starts a server chooses.
#[derive(Clone)]
pub struct ServerConfig {
    /// Names that the model is asked for by; the first is the one that answers carry.
    pub model_names: Vec<String>,
    /// Keys of which each request must carry one; none let everybody in.
    pub api_keys: Vec<String>,
    /// Origins whose pages may call from a browser; `*` for all.
    pub cors_origins: Vec<String>,
    /// Fetches images by http(s) URL.
    pub remote_images: Option<RemoteImageLimits>,
    /// Connections that are open at once; the one that has been idle the longest makes room for the next.
    pub max_connections: usize,
    /// How long a connection may be idle, and the head of a request may take.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub write_timeout: Duration,
    /// Largest body of a request.
    pub body_limit_bytes: usize,
    /// What the bodies of all requests may take together until they have been read; the largest body at least.
    pub bodies_limit_bytes: usize,
    /// Pixels that the pages of all requests may have together while they are decoded, drawn or sent, at 15 bytes each.
    /// Those that wait for the model take 3.
    pub held_pixels_limit: u64,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long requests may go on after the signal to stop.
    pub drain_timeout: Duration,
    /// Pages of one request, at most.
    pub max_pages: usize,
    /// Where the model runs, for those who ask how the server stands.
    pub device: Option<DeviceInfo>,
    /// Draws documents that bring no style, where the model has a style of its own.
    pub model_renderer: Option<Renderer>,
    /// Built files of the web page.
    pub web_directory: Option<PathBuf>,
}

impl ServerConfig {
    /// The defaults for a model of that name.
    pub fn new(model_name: impl Into<String>) -> Self {
        Self {
            model_names: vec![model_name.into()],
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            remote_images: None,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            body_limit_bytes: DEFAULT_BODY_LIMIT_BYTES,
            bodies_limit_bytes: bodies_within(DEFAULT_REQUEST_BYTES),
            held_pixels_limit: pixels_within(DEFAULT_REQUEST_BYTES / PIXELS_SHARE),
            body_timeout: DEFAULT_BODY_TIMEOUT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            max_pages: DEFAULT_MAX_PAGES,
            device: None,
            model_renderer: None,
            web_directory: None,
        }
    }

    /// The same with limits of bodies and pages that let requests take so many bytes of this machine's memory together.
    pub fn with_request_memory(self, n_bytes: u64) -> Self {
        Self {
            bodies_limit_bytes: bodies_within(n_bytes),
            held_pixels_limit: pixels_within(n_bytes / PIXELS_SHARE),
            ..self
        }
    }
}

fn bodies_within(n_bytes: u64) -> usize {
    let share_bytes = usize::try_from(n_bytes / BODIES_SHARE).unwrap_or(usize::MAX);
    share_bytes.min(MOST_BODIES_BYTES)
}

#[cfg(test)]
mod tests {
    use super::ServerConfig;

    #[test]
    fn requests_get_by_with_the_memory_that_there_is_for_them() {
        let limits = |n_bytes: u64| {
            let config = ServerConfig::new("a").with_request_memory(n_bytes);
            (config.bodies_limit_bytes as u64, config.held_pixels_limit)
        };
        let default = ServerConfig::new("a");
        let of_default = (default.bodies_limit_bytes as u64, default.held_pixels_limit);
        assert_eq!(limits(4 << 30), of_default);
        for gib in 1..=4 {
            let n_bytes = gib << 30;
            let (bodies, pixels) = limits(n_bytes);
            assert_eq!(bodies, 256 << 20);
            let taken = bodies + 15 * pixels;
            assert!(taken <= n_bytes / 4 * 3, "{taken} of {n_bytes}");
            assert!(taken > n_bytes / 2, "{taken} of {n_bytes}");
        }
        // Little memory bounds both, down to one picture of some size.
        assert_eq!(limits(512 << 20), (128 << 20, (256 << 20) / 15));
        assert_eq!(limits(0), (0, 1 << 24));
    }
}
