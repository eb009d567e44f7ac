//! A checkpoint in the Hugging Face layout, opened.

mod files;
mod read;

#[cfg(not(target_family = "wasm"))]
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};

#[cfg(not(target_family = "wasm"))]
pub use files::CheckpointDir;
pub use files::CheckpointFiles;
#[cfg(not(target_family = "wasm"))]
pub(crate) use files::read_small;
pub use read::{config_json, read_config, read_geometry};

use crate::config::{GenerationConfig, ModelConfig, PreprocessorConfig};
use crate::error::{ModelError, Result};
use crate::model::Glm4v;
use crate::preprocess::{ImagePatches, RgbImage, image_patches};
use crate::prompt::{ChatTemplate, PromptEncoder};
use crate::quantize::Quantization;
use crate::text::KvPrecision;
use crate::weights::{LoadAs, LoadReport, WeightFiles, load_model, table_dtype};
use read::{
    chat_template, check_geometry, encoder, generation, kept, missing, preprocessor, tokenizer,
};

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
