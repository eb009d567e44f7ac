//! The model of a command: its small files at once, its weights when they are needed.

use std::path::{Path, PathBuf};

use glyph_model::Checkpoint;
use glyph_model::checkpoint::{CheckpointDir, CheckpointFiles, CheckpointSettings};
use glyph_model::weights::{WeightFiles, tensor_specs};
use glyph_model::{Glm4v, ModelError};

use crate::bundled::{self, Bundled};
use crate::device::{DTYPE, NamedDevice};
use crate::error::CliError;
use crate::{memory, progress};

/// Bytes of one weight in memory.
const WEIGHT_BYTES: u64 = size_of::<f32>() as u64;

const BYTES_PER_GB: f64 = 1e9;

/// Where a model's files are.
#[derive(Debug, Clone)]
pub enum ModelFiles {
    /// Inside this binary.
    Bundled,
    /// In a directory.
    Directory(PathBuf),
}

impl ModelFiles {
    /// The directory, checked to be one, or the built-in model.
    pub fn find(directory: Option<&Path>) -> Result<Self, CliError> {
        match directory {
            None => Ok(Self::Bundled),
            Some(path) if path.is_dir() => Ok(Self::Directory(path.to_owned())),
            Some(path) => Err(CliError::NoModelDirectory(path.to_owned())),
        }
    }

    /// Name in reports: the directory as given, or the built-in model's.
    pub fn name(&self) -> String {
        match self {
            Self::Bundled => bundled::NAME.to_owned(),
            Self::Directory(path) => path.display().to_string(),
        }
    }

    /// Opens the weight files; reads their headers alone.
    pub fn weights(&self) -> Result<WeightFiles, ModelError> {
        match self {
            Self::Bundled => bundled::weights(),
            Self::Directory(path) => WeightFiles::open(path),
        }
    }

    /// An error of this model.
    pub fn error(&self, source: ModelError) -> CliError {
        CliError::Model {
            name: self.name(),
            source,
        }
    }
}

impl CheckpointFiles for ModelFiles {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        match self {
            Self::Bundled => Bundled.read(name),
            Self::Directory(path) => CheckpointDir(path).read(name),
        }
    }
}

/// A model whose weights are not read yet.
#[derive(Debug)]
pub struct Model {
    /// Where it is.
    pub files: ModelFiles,
    /// Everything but the weights.
    pub settings: CheckpointSettings,
}

impl Model {
    /// Reads the small files of a directory or of the built-in model.
    pub fn open(directory: Option<&Path>) -> Result<Self, CliError> {
        let files = ModelFiles::find(directory)?;
        let settings = CheckpointSettings::read(&files).map_err(|error| files.error(error))?;
        Ok(Self { files, settings })
    }

    /// Tokens of prompt and answer together that the model can hold.
    pub fn context_tokens(&self) -> usize {
        self.settings.config.text_config.max_position_embeddings
    }

    /// Tokens of a text by the model's tokenizer.
    pub fn text_tokens(&self, text: &str) -> Result<usize, CliError> {
        let ids = self.settings.encoder.tokenizer.encode(text);
        Ok(ids.map_err(|error| self.files.error(error))?.len())
    }

    /// An error in making a prompt: the request's fault or the model's.
    pub fn prompt_error(&self, error: ModelError) -> CliError {
        match error {
            ModelError::ImageTokenMismatch { .. } => CliError::Prompt(error),
            other => self.files.error(other),
        }
    }

    /// What one token of text is. A tokenizer of single bytes makes any ratio of text tokens to
    /// vision tokens look larger than one of words does, so the reports say which it is.
    pub fn text_token_unit(&self) -> Result<&'static str, CliError> {
        const WORDS: &str = "the quick brown fox and the lazy dog";
        Ok(if self.text_tokens(WORDS)? == WORDS.len() {
            "byte"
        } else {
            "subword"
        })
    }

    /// Loads the weights, showing how far it is.
    pub fn load(self, device: &NamedDevice) -> Result<Checkpoint, CliError> {
        let Self { files, settings } = self;
        let model_error = |error| files.error(error);
        let weights = files.weights().map_err(model_error)?;
        let specs = tensor_specs(&Glm4v::new(&settings.config, &device.device));
        let n_parameters: usize = specs
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        let n_bytes = n_parameters as u64 * WEIGHT_BYTES;
        if let Some(free) = memory::free_bytes()
            && n_bytes > free
        {
            return Err(CliError::Memory {
                name: files.name(),
                needed_gb: n_bytes as f64 / BYTES_PER_GB,
                free_gb: free as f64 / BYTES_PER_GB,
            });
        }
        let bar = progress::bytes_bar(n_bytes as usize, format!("loading {}", files.name()));
        let on_bytes = |n_bytes: usize| bar.set_position(n_bytes as u64);
        let checkpoint = settings.load(&weights, &device.device, DTYPE, on_bytes);
        progress::clear();
        checkpoint.map_err(model_error)
    }
}
