//! How a server is set up.

use std::path::PathBuf;
use std::time::Duration;

use glyph_render::Renderer;

/// Largest body of a request unless told otherwise.
pub const DEFAULT_BODY_LIMIT_BYTES: usize = 64 << 20;

/// How long requests may go on after the signal to stop unless told otherwise.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of one request unless told otherwise.
pub const DEFAULT_MAX_PAGES: usize = 64;

/// How long a client may take to send a request.
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(120);

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
    pub allow_remote_images: bool,
    /// Largest body of a request.
    pub body_limit_bytes: usize,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long requests may go on after the signal to stop.
    pub drain_timeout: Duration,
    /// Pages of one request, at most.
    pub max_pages: usize,
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
            allow_remote_images: false,
            body_limit_bytes: DEFAULT_BODY_LIMIT_BYTES,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            max_pages: DEFAULT_MAX_PAGES,
            model_renderer: None,
            web_directory: None,
        }
    }
}
