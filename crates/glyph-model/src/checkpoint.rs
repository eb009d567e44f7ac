//! A checkpoint in the Hugging Face layout, opened.

#[cfg(not(target_family = "wasm"))]
use std::io::Read;
#[cfg(not(target_family = "wasm"))]
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use serde_json::Value;

use crate::config::{GenerationConfig, ModelConfig, PreprocessorConfig, config_error, parse_json};
use crate::error::{ModelError, Result};
use crate::model::Glm4v;
use crate::preprocess::{ImagePatches, PatchGrid, RgbImage, image_patches};
use crate::prompt::{ChatTemplate, Message, PromptEncoder, TextTokenizer};
use crate::quantize::Quantization;
use crate::text::KvPrecision;
use crate::weights::{LoadAs, LoadReport, WeightFiles, load_model, table_dtype};

/// The small files of a checkpoint by name; the weights are opened apart.
pub trait CheckpointFiles {
    /// Content of a file, or `None` when the checkpoint does not have it.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it is there and cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;
}

/// A directory of files.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone, Copy)]
pub struct CheckpointDir<'a>(pub &'a Path);

#[cfg(not(target_family = "wasm"))]
impl CheckpointFiles for CheckpointDir<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match read_small(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ModelError::Io { path, source }),
        }
    }
}

/// Longest of the small files: several times the longest vocabulary that is published.
#[cfg(not(target_family = "wasm"))]
const MOST_SMALL_BYTES: u64 = 256 << 20;

/// A file whole, if it is as small as one of these can be meant to be.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn read_small(path: &Path) -> std::io::Result<Vec<u8>> {
    let too_long = || {
        let reason = format!(
            "it is longer than {} MiB, which no such file is",
            MOST_SMALL_BYTES >> 20
        );
        std::io::Error::new(std::io::ErrorKind::FileTooLarge, reason)
    };
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > MOST_SMALL_BYTES {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // Some files tell no length.
    file.take(MOST_SMALL_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_SMALL_BYTES {
        return Err(too_long());
    }
    Ok(bytes)
}

/// Model, prompts and settings, ready to run.
#[derive(Debug)]
pub struct Checkpoint {
    /// All but the weights; shared with whoever makes prompts while the model runs elsewhere.
    pub settings: Arc<CheckpointSettings>,
    /// The network, its weights loaded.
    pub model: Glm4v,
    /// Where it runs.
    pub device: Device,
    /// Type of activations, and of all weights that are not quantised.
    pub dtype: DType,
    /// How the linear layers are quantised.
    pub quantization: Option<Quantization>,
    /// Type of the token table, where the model is quantised and has an output head of its own.
    pub table_dtype: DType,
    /// In how many bits keys and values are kept; full unless it is changed after loading.
    pub kv_precision: KvPrecision,
    /// What loading found.
    pub report: LoadReport,
    /// The files that the vision tower is still to be loaded from.
    without_vision: Option<WeightFiles>,
}

/// Start of the names of the vision tower's tensors.
const VISION: &str = "model.visual.";

/// All of a checkpoint but its weights: what a prompt needs, at hand in milliseconds.
#[derive(Debug)]
pub struct CheckpointSettings {
    /// `config.json`.
    pub config: ModelConfig,
    /// `generation_config.json`; defaults where there is none, and the ids that end an answer from `config.json`.
    pub generation: GenerationConfig,
    /// `preprocessor_config.json`; the family's values where there is none.
    pub preprocessor: PreprocessorConfig,
    /// Tokenizer and chat template.
    pub encoder: PromptEncoder,
}

impl CheckpointSettings {
    /// Reads the small files.
    ///
    /// # Errors
    /// The first thing wrong with them, by name; see [`ModelError`].
    pub fn read(files: &impl CheckpointFiles) -> Result<Self> {
        let mut problems = Vec::new();
        let settings = Self::read_into(files, &mut problems);
        match problems.into_iter().next() {
            Some(first) => Err(first),
            // Settings with which nothing is wrong are there.
            None => settings.ok_or_else(|| missing("config.json")),
        }
    }

    /// All that is wrong with the small files, each by name.
    pub fn problems(files: &impl CheckpointFiles) -> Vec<ModelError> {
        let mut problems = Vec::new();
        Self::read_into(files, &mut problems);
        problems
    }

    /// Reads them all whatever is wrong with one; `None` where `problems` got what keeps them from being used.
    fn read_into(files: &impl CheckpointFiles, problems: &mut Vec<ModelError>) -> Option<Self> {
        let config = kept(read_config(files), problems);
        let preprocessor = kept(preprocessor(files), problems);
        if let (Some(config), Some(preprocessor)) = (&config, &preprocessor) {
            kept(check_geometry(config, preprocessor), problems);
        }
        let generation = kept(generation(files), problems);
        let tokenizer = kept(tokenizer(files), problems);
        let template = kept(chat_template(files).and_then(ChatTemplate::new), problems);
        let config = config?;
        let with_stop_ids = |generation: GenerationConfig| generation.with_stop_ids_of(&config);
        let generation = generation.and_then(|file| kept(with_stop_ids(file), problems));
        let encoder = kept(encoder(&config, tokenizer?, template?), problems);
        Some(Self {
            generation: generation?,
            config,
            preprocessor: preprocessor?,
            encoder: encoder?,
        })
    }

    /// Loads the weights that belong to them.
    ///
    /// # Errors
    /// [`ModelError::Weights`] listing every missing and every wrong-shaped tensor.
    pub fn load(
        self,
        weights: &WeightFiles,
        device: &Device,
        load_as: impl Into<LoadAs>,
        on_bytes: impl FnMut(usize),
    ) -> Result<Checkpoint> {
        self.load_named(weights, device, load_as.into(), |_| true, on_bytes)
    }

    /// [`load`](Self::load) without the vision tower, whose weights are checked and left in the files until
    /// [`Checkpoint::load_vision`] asks for them.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_text_only(
        self,
        weights: WeightFiles,
        device: &Device,
        load_as: impl Into<LoadAs>,
        on_bytes: impl FnMut(usize),
    ) -> Result<Checkpoint> {
        let is_text = |name: &str| !name.starts_with(VISION);
        let load_as = load_as.into();
        let mut checkpoint = self.load_named(&weights, device, load_as, is_text, on_bytes)?;
        checkpoint.without_vision = Some(weights.unmapped());
        Ok(checkpoint)
    }

    fn load_named(
        self,
        weights: &WeightFiles,
        device: &Device,
        load_as: LoadAs,
        is_wanted: impl Fn(&str) -> bool,
        on_bytes: impl FnMut(usize),
    ) -> Result<Checkpoint> {
        let mut settings = self;
        if weights.has_output_head() {
            settings.config = settings.config.with_output_head();
        }
        let model = Glm4v::new(&settings.config, device);
        let (mut model, report) = load_model(model, weights, device, load_as, is_wanted, on_bytes)?;
        model.pack();
        Ok(Checkpoint {
            settings: Arc::new(settings),
            model,
            device: device.clone(),
            dtype: load_as.dtype,
            quantization: load_as.quantization.or(weights.quantization()),
            table_dtype: table_dtype(weights, load_as.dtype, device),
            kv_precision: KvPrecision::default(),
            report,
            without_vision: None,
        })
    }

    /// Images as the vision tower takes them.
    ///
    /// # Errors
    /// [`ModelError::Image`] naming the image.
    pub fn preprocess(&self, images: &[RgbImage]) -> Result<Vec<ImagePatches>> {
        images
            .iter()
            .enumerate()
            .map(|(index, image)| {
                image_patches(image, &self.preprocessor)
                    .map_err(|reason| ModelError::Image { index, reason })
            })
            .collect()
    }
}

impl Checkpoint {
    /// Whether the vision tower is loaded.
    pub fn has_vision(&self) -> bool {
        self.without_vision.is_none()
    }

    /// Loads the vision tower if it is not loaded yet; what runs the tower calls it first.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] where a file has been shortened meanwhile; the tower can then be asked for again.
    pub fn load_vision(&mut self) -> Result<()> {
        let Some(files) = &self.without_vision else {
            return Ok(());
        };
        let whole = Glm4v::new(&self.settings.config, &self.device);
        let is_vision = |name: &str| name.starts_with(VISION);
        let (mut whole, _) = load_model(whole, files, &self.device, self.dtype, is_vision, |_| {})?;
        whole.pack();
        self.model.model.visual = whole.model.visual;
        self.without_vision = None;
        Ok(())
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// The first thing wrong with the directory, by name; see [`ModelError`].
    #[cfg(not(target_family = "wasm"))]
    pub fn open(
        dir: &Path,
        device: &Device,
        load_as: impl Into<LoadAs>,
        on_bytes: impl FnMut(usize),
    ) -> Result<Self> {
        let io_error = |source| ModelError::Io {
            path: dir.to_owned(),
            source,
        };
        if !std::fs::metadata(dir).map_err(io_error)?.is_dir() {
            return Err(io_error(std::io::ErrorKind::NotADirectory.into()));
        }
        // Configuration errors come before weight errors: they are cheaper to find and to mend.
        let files = CheckpointDir(dir);
        read_config(&files)?;
        let weights = WeightFiles::open(dir)?;
        Self::from_parts(&files, &weights, device, load_as, on_bytes)
    }

    /// Opens a checkpoint from its files, wherever they are.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn from_parts(
        files: &impl CheckpointFiles,
        weights: &WeightFiles,
        device: &Device,
        load_as: impl Into<LoadAs>,
        on_bytes: impl FnMut(usize),
    ) -> Result<Self> {
        CheckpointSettings::read(files)?.load(weights, device, load_as, on_bytes)
    }
}

/// What the shapes of all tensors follow from: `config.json`, and how pages are cut into patches. Of the other files
/// none is needed.
///
/// # Errors
/// The first thing wrong with these, by name; see [`ModelError`].
pub fn read_geometry(files: &impl CheckpointFiles) -> Result<(ModelConfig, PreprocessorConfig)> {
    let config = read_config(files)?;
    let preprocessor = preprocessor(files)?;
    check_geometry(&config, &preprocessor)?;
    Ok((config, preprocessor))
}

fn check_geometry(config: &ModelConfig, preprocessor: &PreprocessorConfig) -> Result<()> {
    let vision = &config.vision_config;
    for (key, given, needed) in [
        ("patch_size", preprocessor.patch_size, vision.patch_size),
        (
            "temporal_patch_size",
            preprocessor.temporal_patch_size,
            vision.temporal_patch_size,
        ),
        (
            "merge_size",
            preprocessor.merge_size,
            vision.spatial_merge_size,
        ),
    ] {
        if given != needed {
            return Err(config_error(
                "preprocessor_config.json or processor_config.json",
                key,
                given,
                format!("config.json says {needed}"),
            ));
        }
    }
    Ok(())
}

fn text(files: &impl CheckpointFiles, name: &str) -> Result<Option<String>> {
    let Some(bytes) = files.read(name)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| ModelError::Json {
            file: name.to_owned(),
            reason: format!("it is not UTF-8: {error}"),
        })
}

fn missing(name: &str) -> ModelError {
    ModelError::MissingFile {
        file: name.to_owned(),
    }
}

/// What was read; what is wrong with it is put with the other problems.
fn kept<T>(result: Result<T>, problems: &mut Vec<ModelError>) -> Option<T> {
    result.map_err(|error| problems.push(error)).ok()
}

/// The text of `config.json`.
///
/// # Errors
/// It is missing, cannot be read, or is not UTF-8.
pub fn config_json(files: &impl CheckpointFiles) -> Result<String> {
    const NAME: &str = "config.json";
    text(files, NAME)?.ok_or_else(|| missing(NAME))
}

/// The configuration.
///
/// # Errors
/// As of [`config_json`] and [`ModelConfig::from_json`].
pub fn read_config(files: &impl CheckpointFiles) -> Result<ModelConfig> {
    ModelConfig::from_json(&config_json(files)?)
}

fn generation(files: &impl CheckpointFiles) -> Result<GenerationConfig> {
    match text(files, "generation_config.json")? {
        Some(json) => GenerationConfig::from_json(&json),
        None => Ok(GenerationConfig::default()),
    }
}

fn tokenizer(files: &impl CheckpointFiles) -> Result<TextTokenizer> {
    const NAME: &str = "tokenizer.json";
    let json = files.read(NAME)?.ok_or_else(|| missing(NAME))?;
    TextTokenizer::from_json(&json)
}

/// Tokenizer and template, if they belong to the configuration and to each other.
fn encoder(
    config: &ModelConfig,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
) -> Result<PromptEncoder> {
    let reason = |reason: String| Err(ModelError::Tokenizer { reason });
    let image_token_id = config.image_token_id;
    if tokenizer.token(image_token_id).is_none() {
        return reason(format!(
            "it has no token {image_token_id}, image_token_id of config.json"
        ));
    }
    let vocab_size = config.text_config.vocab_size;
    let highest = tokenizer.highest_id();
    if let Some(id) = highest.filter(|id| *id as usize >= vocab_size) {
        return reason(format!(
            "it has a token {id}; vocab_size of config.json is {vocab_size}"
        ));
    }
    let encoder = PromptEncoder {
        tokenizer,
        template,
        image_token_id,
        merge_size: config.vision_config.spatial_merge_size,
    };
    check_template(&encoder)?;
    Ok(encoder)
}

/// A template that leaves out images, or writes them otherwise than the tokenizer knows them, is found before the
/// first request.
fn check_template(encoder: &PromptEncoder) -> Result<()> {
    let side = encoder.merge_size;
    let grid = PatchGrid {
        rows: side,
        columns: side,
    };
    match encoder.encode(&[Message::pages_and_question(1, "?")], &[grid]) {
        Err(ModelError::ImageTokenMismatch { placeholders, .. }) => Err(ModelError::Template {
            reason: format!(
                "a question about one image comes out with {placeholders} image tokens (id {})",
                encoder.image_token_id
            ),
        }),
        other => other.map(|_| ()),
    }
}

/// The image processor's settings from `processor_config.json`, into which newer releases of the reference save them,
/// or else from their own file: the reference looks in this order.
fn preprocessor(files: &impl CheckpointFiles) -> Result<PreprocessorConfig> {
    if let Some(json) = text(files, "processor_config.json")?
        && let Some(nested) = PreprocessorConfig::from_processor_json(&json)?
    {
        return Ok(nested);
    }
    match text(files, "preprocessor_config.json")? {
        Some(json) => PreprocessorConfig::from_json(&json),
        None => Ok(PreprocessorConfig::default()),
    }
}

/// The template from its own file, or from `tokenizer_config.json` or `chat_template.json` as older
/// checkpoints have it.
fn chat_template(files: &impl CheckpointFiles) -> Result<String> {
    if let Some(template) = text(files, "chat_template.jinja")? {
        return Ok(template);
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let Some(json) = text(files, name)? else {
            continue;
        };
        let value: Value = parse_json(name, &json)?;
        if let Some(template) = value.get("chat_template").and_then(Value::as_str) {
            return Ok(template.to_owned());
        }
    }
    Err(ModelError::MissingFile {
        file: "chat_template.jinja (or chat_template in tokenizer_config.json)".to_owned(),
    })
}
