//! `glyph serve`: the model for many callers, over HTTP.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use glyph_device::dtype_name;
use glyph_engine::{Engine, EngineOptions, EngineState, Footprint, Limits, default_headroom_bytes};
use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::PatchGrid;
use glyph_model::quantize::Quantization;
use glyph_model::text::{KvPrecision, KvTensorBytes};
use glyph_model::weights::LoadAs;
use glyph_model::{Checkpoint, ModelError};
use glyph_server::{
    DEFAULT_BODY_LIMIT_BYTES, DEFAULT_DRAIN_TIMEOUT, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_PAGES,
    DeviceInfo, Metrics, RemoteImageLimits, ServerConfig,
};
use tokio::net::TcpListener;

use crate::device::Target;
use crate::document::patch_grid;
use crate::error::CliError;
use crate::model::{self, LoadPlan, Model, ModelFiles};
use crate::serve_args::{ServeArgs, ServeOptions};
use crate::{info, output, progress, serve_limits, serve_logs, style};

const DEFAULT_HOST: &str = "0.0.0.0";
const DEFAULT_PORT: u16 = 8080;
const DEFAULT_MAX_BATCH: usize = 16;
const DEFAULT_QUEUE: usize = 256;

/// Sizes of the largest page that memory is kept free for where it has no room for the largest that the model takes, the
/// most generous first.
const LARGEST_PAGES_PX: [[usize; 2]; 4] = [[2048, 2048], [1536, 1536], [1024, 1024], [768, 1024]];

/// Runs the command.
pub fn run(args: &ServeArgs) -> Result<(), CliError> {
    let options = args.options()?;
    serve_limits::check(&options)?;
    let config = config(&options)?;
    let _logs = serve_logs::begin(&options)?;
    let target = Target::open_untold(
        options.device.unwrap_or_default(),
        options.dtype.unwrap_or_default(),
    )?;
    if let Some(reason) = &target.device.reason {
        tracing::info!("{reason}");
    }
    let files = ModelFiles::find(options.model.as_deref())?;
    let is_lazy = options.lazy.unwrap_or(false);
    let kv_precision = options.kv_cache.unwrap_or(KvPrecision::FOR_ANSWERS);
    let kinds = (options.quantize, kv_precision);
    let loading = Loading::new(&files, target, kinds, is_lazy)?;
    let limits = limits(&options, &loading)?;
    let config = ServerConfig {
        max_pages: limits.max_pages,
        model_renderer: style::of_model(&files)?,
        device: Some(loading.device_info()),
        ..config
    };
    let config = match request_bytes(&loading.target, limits.headroom_bytes) {
        Some(n_bytes) => config.with_request_memory(n_bytes),
        None => config,
    };
    // Connections take little time, and the model wants the cores: with few threads one waking serves many answers.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(4))
        .enable_all()
        .build();
    let runtime = runtime.map_err(CliError::Serve)?;
    let serving = Serving {
        files,
        loading,
        config,
        engine: EngineOptions {
            limits,
            queue: options.queue.unwrap_or(DEFAULT_QUEUE),
            warm_up: !is_lazy,
        },
        host: options.host.unwrap_or_else(|| DEFAULT_HOST.to_owned()),
        port: options.port.unwrap_or(DEFAULT_PORT),
    };
    let outcome = runtime.block_on(serving.run());
    // A thread that still computes must not hold up the end.
    runtime.shutdown_background();
    outcome
}

fn config(options: &ServeOptions) -> Result<ServerConfig, CliError> {
    let model_names = match options.served_model_name.as_slice() {
        [] => vec![default_name(options.model.as_deref())],
        names => names.to_vec(),
    };
    if let Some(web) = options.web.as_deref().filter(|web| !web.is_dir()) {
        return Err(CliError::Parameter {
            option: "--web".to_owned(),
            value: web.display().to_string(),
            reason: "it must be a directory with the page's built files".to_owned(),
        });
    }
    let body_limit = options.body_limit.map(|size| size.as_u64());
    let body_limit_bytes = body_limit.map_or(DEFAULT_BODY_LIMIT_BYTES, |bytes| {
        usize::try_from(bytes).unwrap_or(usize::MAX)
    });
    let drain_timeout = options.drain_timeout.map(Duration::from_secs);
    Ok(ServerConfig {
        model_names,
        api_keys: options.api_keys()?,
        cors_origins: options.cors_origins()?,
        remote_images: options
            .allow_remote_images
            .unwrap_or(false)
            .then(RemoteImageLimits::default),
        max_connections: options.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
        body_limit_bytes,
        drain_timeout: drain_timeout.unwrap_or(DEFAULT_DRAIN_TIMEOUT),
        web_directory: options.web.clone(),
        ..ServerConfig::new("")
    })
}

/// The last part of the directory's path.
fn default_name(model: Option<&Path>) -> String {
    let Some(path) = model else {
        return ModelFiles::Bundled.name();
    };
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match whole.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.display().to_string(),
    }
}

/// What the memory plan is made from.
fn limits(options: &ServeOptions, loading: &Loading) -> Result<Limits, CliError> {
    let free_bytes = options
        .device_memory
        .map(|size| size.as_u64())
        .or_else(|| loading.target.free_bytes());
    let device = &loading.target.device;
    let Some(device_bytes) = free_bytes else {
        return Err(CliError::Usage(format!(
            "nothing says how much memory of {} ({}) is free. Give --device-memory",
            device.name, device.description
        )));
    };
    let headroom_bytes = match options.memory_headroom {
        Some(size) => size.as_u64(),
        None => default_headroom_bytes(device.is_cpu(), device_bytes),
    };
    let footprint = &loading.footprint;
    let left_bytes = device_bytes
        .saturating_sub(headroom_bytes)
        .saturating_sub(footprint.weight_bytes);
    let preprocessor = &loading.model.settings.preprocessor;
    let buffer_tokens = device.most_buffer_bytes.map(|most_bytes| {
        let text_config = &loading.model.settings.config.text_config;
        KvTensorBytes::most_tokens(text_config, loading.load_as.dtype.size(), most_bytes)
    });
    Ok(Limits {
        max_batch: options.max_batch.unwrap_or(DEFAULT_MAX_BATCH),
        max_pages: options.max_pages.unwrap_or(DEFAULT_MAX_PAGES),
        max_context: options.max_context,
        buffer_tokens,
        device_bytes,
        headroom_bytes,
        largest_page_patches: largest_page_patches(preprocessor, footprint, left_bytes)?,
    })
}

/// Memory of this machine that requests may take for bodies and pages: on a CPU it is what the plan leaves untouched,
/// beside a GPU, which has its own, as much as would be left on a CPU. `None` where nothing says how much there is.
fn request_bytes(target: &Target, headroom_bytes: u64) -> Option<u64> {
    if target.device.is_cpu() {
        return Some(headroom_bytes);
    }
    let free_bytes = glyph_device::free_host_bytes()?;
    Some(default_headroom_bytes(true, free_bytes))
}

/// Patches of the largest page that memory is kept free for: the largest that the model takes, or else one whose pass
/// through the tower takes no more than a quarter of what weights and headroom leave.
fn largest_page_patches(
    preprocessor: &PreprocessorConfig,
    footprint: &Footprint,
    left_bytes: u64,
) -> Result<usize, CliError> {
    let grids =
        LARGEST_PAGES_PX.map(|size_px| patch_grid("the largest page", size_px, preprocessor));
    let mut patches = vec![preprocessor.most_patches()];
    for grid in grids {
        patches.push(grid.map(PatchGrid::n_patches)?);
    }
    let least = patches.last().copied().unwrap_or_default();
    let mut patches = patches.into_iter();
    let fitting = patches.find(|n_patches| footprint.vision_bytes(*n_patches) <= left_bytes / 4);
    Ok(fitting.unwrap_or(least))
}

/// A model whose small files are read and whose weights are to come.
struct Loading {
    model: Model,
    target: Target,
    load_as: LoadAs,
    footprint: Footprint,
    /// Leaves the vision tower in its files until a page comes.
    is_lazy: bool,
}

impl Loading {
    fn new(
        files: &ModelFiles,
        target: Target,
        kinds: (Option<Quantization>, KvPrecision),
        is_lazy: bool,
    ) -> Result<Self, CliError> {
        let read = || {
            let model = Model::of(files.clone())?;
            let weights = files.weights().map_err(|error| files.error(error))?;
            let LoadPlan {
                load_as, footprint, ..
            } = LoadPlan::new(&model.settings, &weights, &target, kinds)?;
            Ok(Self {
                model,
                target,
                load_as,
                footprint,
                is_lazy,
            })
        };
        read().map_err(|error: CliError| match error {
            of_device @ (CliError::Device { .. } | CliError::Dtype { .. }) => of_device,
            of_model => info::unusable(files, of_model),
        })
    }

    /// What the server says of where the model runs.
    fn device_info(&self) -> DeviceInfo {
        let (device, needs) = (&self.target.device, &self.footprint);
        DeviceInfo {
            name: device.name.clone(),
            description: device.description.clone(),
            driver: device.driver.clone(),
            dtype: dtype_name(self.load_as.dtype),
            quantization: needs
                .quantization
                .map(|quantization| quantization.to_string()),
            kv_cache: needs.kv_precision.name(),
        }
    }

    fn load(self, on_share: &mut dyn FnMut(f64)) -> Result<Checkpoint, ModelError> {
        let weights = self.model.files.weights()?;
        let n_bytes = self.footprint.weight_bytes.max(1);
        let on_bytes = |done: usize| on_share(done as f64 / n_bytes as f64);
        let (settings, device) = (self.model.settings, &self.target.device.device);
        let mut checkpoint = if self.is_lazy {
            settings.load_text_only(weights, device, self.load_as, on_bytes)
        } else {
            settings.load(&weights, device, self.load_as, on_bytes)
        }?;
        if let Some(note) = model::unused_note(&checkpoint.report.unexpected) {
            tracing::warn!("{note}");
        }
        checkpoint.kv_precision = self.footprint.kv_precision;
        Ok(checkpoint)
    }
}

/// All that a server is made of.
struct Serving {
    files: ModelFiles,
    loading: Loading,
    config: ServerConfig,
    engine: EngineOptions,
    host: String,
    port: u16,
}

impl Serving {
    async fn run(self) -> Result<(), CliError> {
        let listener = glyph_server::bind(&self.host, self.port).await;
        let listener = listener.map_err(|error| CliError::Port(error.to_string()))?;
        let url = url(&self.host, &listener).map_err(CliError::Serve)?;
        let metrics = Metrics::new().map_err(|error| CliError::Serve(io::Error::other(error)))?;
        let loading = self.loading;
        let load = move |on_share: &mut dyn FnMut(f64)| loading.load(on_share);
        let engine = Engine::start(self.engine, load, metrics.clone()).map_err(CliError::Serve)?;
        let signal = signal().map_err(CliError::Serve)?;
        progress::spinner(format!(
            "loading {}; {url} says how far it is",
            self.files.name()
        ));
        let name = self.config.model_names.first().cloned().unwrap_or_default();
        let serving = glyph_server::serve(listener, self.config, engine.clone(), metrics, signal);
        tokio::select! {
            served = serving => served.map_err(CliError::Serve),
            reason = failure(&engine, &name, &url) => {
                let error = CliError::Unusable {
                    name: self.files.name(),
                    problems: vec![reason],
                };
                Err(info::unusable(&self.files, error))
            }
        }
    }
}

/// Says when the model is ready; returns only when it could not be loaded.
async fn failure(engine: &Engine, name: &str, url: &str) -> String {
    let state = engine.settled().await;
    progress::clear();
    match state {
        EngineState::Failed { reason } => reason,
        EngineState::Ready => {
            // A server whose output nobody reads serves all the same.
            drop(output::line(&format!("{name} is ready at {url}")));
            std::future::pending().await
        }
        _ => std::future::pending().await,
    }
}

/// Where a person reaches the server.
fn url(host: &str, listener: &TcpListener) -> io::Result<String> {
    let address = listener.local_addr()?;
    Ok(match address {
        _ if address.ip().is_unspecified() => format!("http://localhost:{}", address.port()),
        SocketAddr::V4(_) | SocketAddr::V6(_) if host.contains(':') => format!("http://{address}"),
        _ => format!("http://{host}:{}", address.port()),
    })
}

/// Resolves when the process is told to stop. Told again, it ends at once.
#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(progress::INTERRUPTED);
        });
    })
}

/// Resolves when the process is told to stop.
#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        // Without a handler the server goes on until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;
    use glyph_device::{DeviceChoice, DtypeChoice};
    use glyph_engine::Footprint;
    use glyph_model::checkpoint::CheckpointFiles;
    use glyph_model::config::{ModelConfig, PreprocessorConfig};
    use glyph_model::text::KvPrecision;

    use super::{Loading, ServeOptions, Target, largest_page_patches, limits};
    use crate::bundled::Bundled;
    use crate::document::patch_grid;
    use crate::model::ModelFiles;

    fn bundled(file: &str) -> String {
        String::from_utf8(Bundled.read(file).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn memory_is_kept_free_for_every_picture_that_the_model_takes() {
        let config = ModelConfig::from_json(&bundled("config.json")).unwrap();
        let footprint = Footprint::new(&config, 4);
        let of_mini = PreprocessorConfig::from_json(&bundled("preprocessor_config.json")).unwrap();
        for preprocessor in [of_mini, PreprocessorConfig::default()] {
            let patches = |size_px| patch_grid("a picture", size_px, &preprocessor).unwrap();
            let largest =
                |left_bytes| largest_page_patches(&preprocessor, &footprint, left_bytes).unwrap();
            let roomy = largest(u64::MAX);
            // A camera's, an A4 page at 300 dpi, and the largest that are drawn.
            for size_px in [[4000, 3000], [2480, 3508], [2100, 2100], [6000, 6000]] {
                let n_patches = patches(size_px).n_patches();
                assert!(n_patches <= roomy, "{size_px:?}: {n_patches} of {roomy}");
            }
            // No more than a quarter of what is left.
            let page_bytes = footprint.vision_bytes(roomy);
            assert_eq!(largest(4 * page_bytes), roomy);
            let next = largest(4 * page_bytes - 1);
            assert_eq!(next, patches([2048, 2048]).n_patches());
            assert_eq!(largest(0), patches([768, 1024]).n_patches());
        }
    }

    #[test]
    fn buffers_are_no_context_that_was_asked_for() {
        let target = Target::open(DeviceChoice::Cpu, DtypeChoice::default()).unwrap();
        let kinds = (None, KvPrecision::Full);
        let mut loading = Loading::new(&ModelFiles::Bundled, target, kinds, true).unwrap();
        let text_config = &loading.model.settings.config.text_config;
        // Keys of a token, one for each query head.
        let n_values = text_config.num_attention_heads * text_config.head_dim();
        let of_a_token = n_values * loading.load_as.dtype.size();
        for (asked, buffer_tokens) in [
            (None, None),
            (None, Some(1024)),
            (Some(4096), None),
            (Some(4096), Some(1024)),
        ] {
            let n_bytes = buffer_tokens.map(|n_tokens| (n_tokens * of_a_token) as u64);
            loading.target.device.most_buffer_bytes = n_bytes;
            let options = ServeOptions {
                max_context: asked,
                device_memory: Some(ByteSize::gib(2)),
                ..ServeOptions::default()
            };
            let limits = limits(&options, &loading).unwrap();
            assert_eq!(
                (limits.max_context, limits.buffer_tokens),
                (asked, buffer_tokens)
            );
        }
    }
}
