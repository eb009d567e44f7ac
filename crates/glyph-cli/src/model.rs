//! The model of a command: its small files at once, its weights when they are needed.

use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::DType;
use glyph_engine::Footprint;
use glyph_model::Checkpoint;
use glyph_model::checkpoint::{CheckpointDir, CheckpointFiles, CheckpointSettings};
use glyph_model::config::ModelConfig;
use glyph_model::quantize::{Quantization, TensorLayout};
use glyph_model::text::KvPrecision;
use glyph_model::weights::{LoadAs, WeightFiles, table_dtype, tensor_specs};
use glyph_model::{Glm4v, ModelError};

use crate::args::ModelArgs;
use crate::bundled::{self, Bundled};
use crate::device::{self, Target};
use crate::error::CliError;
use crate::request_memory::{RequestMemory, RequestSize};
use crate::{info, output, progress};

/// Ends of the names of weight files.
const WEIGHT_FILES: [&str; 2] = [".safetensors", ".safetensors.index.json"];

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

    /// What to say where texts have characters that the built-in model was not trained on, and it is the one that reads.
    pub fn unread_note(&self, texts: &[&str]) -> Option<String> {
        // Another model's text may be long, and is not counted.
        let Self::Bundled = self else { return None };
        let n_unread: usize = texts.iter().map(|text| bundled::count_unread(text)).sum();
        let (characters, are) = match n_unread {
            1 => ("character", "is"),
            _ => ("characters", "are"),
        };
        (n_unread > 0).then(|| {
            format!(
                "note: {} was trained on English alone, and {n_unread} {characters} of this {are} no ASCII: it may misread \
                 what stands around them. For other languages, give a larger checkpoint with --model",
                self.name()
            )
        })
    }

    /// What to say where there are more pages than the built-in model was ever asked about, and it is the one that reads.
    pub fn many_pages_note(&self, n_pages: usize) -> Option<String> {
        let Self::Bundled = self else { return None };
        (n_pages > bundled::MOST_PAGES).then(|| {
            format!(
                "note: {} was trained on up to {} pages at once, and these are {n_pages}: its answer may well be wrong. Ask \
                 about a part of the text, or give a larger checkpoint with --model",
                self.name(),
                bundled::MOST_PAGES
            )
        })
    }

    /// Opens the weight files; reads their headers alone.
    pub fn weights(&self) -> Result<WeightFiles, ModelError> {
        match self {
            Self::Bundled => bundled::weights(),
            Self::Directory(path) => {
                check_weight_files(path)?;
                WeightFiles::open(path)
            }
        }
    }

    /// An error of this model.
    pub fn error(&self, source: ModelError) -> CliError {
        CliError::Model {
            name: self.name(),
            source,
        }
    }

    /// An error in making a prompt of a question that was checked: what is wrong with the number
    /// of image tokens is then the template's fault.
    pub fn prompt_error(&self, error: ModelError) -> CliError {
        self.error(match error {
            ModelError::ImageTokenMismatch {
                placeholders,
                images,
                ..
            } => ModelError::Template {
                reason: format!(
                    "a question about {images} images comes out with {placeholders} image tokens"
                ),
            },
            other => other,
        })
    }
}

impl CheckpointFiles for ModelFiles {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        match self {
            Self::Bundled => Bundled.read(name),
            Self::Directory(path) => {
                check_regular(&path.join(name))?;
                CheckpointDir(path).read(name)
            }
        }
    }
}

/// Refuses what is there and no file: a pipe would be waited for without end.
fn check_regular(path: &Path) -> Result<(), ModelError> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => Err(ModelError::Io {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"),
        }),
        // What cannot be looked at is told by whoever reads it.
        _ => Ok(()),
    }
}

/// Whether a file of this name holds weights, or says which files do.
pub fn is_weight_file(name: &str) -> bool {
    WEIGHT_FILES.iter().any(|end| name.ends_with(end))
}

fn check_weight_files(directory: &Path) -> Result<(), ModelError> {
    let io_error = |source| ModelError::Io {
        path: directory.to_owned(),
        source,
    };
    for entry in directory.read_dir().map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_weight_file(&name) {
            check_regular(&entry.path())?;
        }
    }
    Ok(())
}

/// The configuration that weights are loaded by: an output head that they hold counts, whatever
/// the file says of tying.
pub fn config_for(config: ModelConfig, weights: &WeightFiles) -> ModelConfig {
    if weights.has_output_head() {
        config.with_output_head()
    } else {
        config
    }
}

/// The tensors that a configuration asks for, with their shapes.
pub fn specs(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    tensor_specs(&Glm4v::new(config, &device::host()))
}

/// Refuses a model with a tensor that the device has no buffer for. Without weight files its weights are random.
pub fn check_tensors(
    target: &Target,
    (specs, weights): (&[(String, Vec<usize>)], Option<&WeightFiles>),
    quantization: Option<Quantization>,
    dtype: DType,
) -> Result<(), CliError> {
    let device = &target.device.device;
    let table = weights.map_or(dtype, |weights| table_dtype(weights, dtype, device));
    let layout = TensorLayout::of(device).with_table(table.size() as u64);
    let tensors = layout.tensor_bytes(specs, quantization, dtype.size() as u64);
    let is_stored_quantized = weights.is_some_and(|weights| weights.quantization().is_some());
    let checked = target.device.check_tensors(tensors, |name| {
        let spec = specs.iter().find(|(known, _)| known == name);
        let shape = spec.map(|(_, shape)| shape.as_slice()).unwrap_or_default();
        let has_narrower = dtype.size() > DType::F16.size() && target.device.dtypes.f16;
        remedies(
            (name, shape),
            quantization,
            is_stored_quantized,
            has_narrower,
        )
    });
    checked.map_err(|source| CliError::Device {
        choice: target.device.name.clone(),
        source: Box::new(source),
    })
}

/// What would make a tensor smaller: fewer bits, where it is quantised at all and the files do not have it so already,
/// or a narrower type, which the device may have.
fn remedies(
    (name, shape): (&str, &[usize]),
    quantization: Option<Quantization>,
    is_stored_quantized: bool,
    has_narrower: bool,
) -> Vec<&'static str> {
    let bits = |quantization: Quantization| quantization.bits_of(name, shape);
    let now = quantization.and_then(bits);
    let mut remedies = Vec::new();
    if has_narrower && now.is_none() {
        remedies.push("a smaller --dtype");
    }
    let is_fewer = |quantization: Quantization| match (bits(quantization), now) {
        (Some(then), Some(now)) => then < now,
        (then, _) => then.is_some(),
    };
    if !is_stored_quantized {
        match Quantization::ALL.into_iter().find(|one| is_fewer(*one)) {
            Some(Quantization::Q8) => remedies.push("--quantize q8"),
            Some(Quantization::Q4) => remedies.push("--quantize q4"),
            None => {}
        }
    }
    remedies
}

/// How a model is loaded, and what it takes then.
#[derive(Debug)]
pub struct LoadPlan {
    /// What its weights become.
    pub load_as: LoadAs,
    /// What it takes.
    pub footprint: Footprint,
    /// Bytes that are counted while it is loaded; on a GPU its weights take somewhat more.
    n_bytes: u64,
}

impl LoadPlan {
    /// From the headers of the weight files. Refuses a model with a tensor that the device has no buffer for.
    pub fn new(
        settings: &CheckpointSettings,
        weights: &WeightFiles,
        target: &Target,
        (quantization, kv_precision): (Option<Quantization>, KvPrecision),
    ) -> Result<Self, CliError> {
        let config = config_for(settings.config.clone(), weights);
        let dtype = target.dtype(weights)?;
        let in_memory = quantization.or(weights.quantization());
        let specs = specs(&config);
        check_tensors(target, (&specs, Some(weights)), in_memory, dtype)?;
        let bytes_per_value = dtype.size() as u64;
        let table_bytes = table_dtype(weights, dtype, &target.device.device).size() as u64;
        let loaded = TensorLayout::HOST.with_table(table_bytes);
        Ok(Self {
            n_bytes: loaded.model_bytes(&specs, in_memory, bytes_per_value),
            load_as: LoadAs {
                dtype,
                quantization,
            },
            footprint: Footprint::new(&config, bytes_per_value)
                .on(target.device.is_cpu())
                .quantized(&config, in_memory, Some(table_bytes))
                .with_kv_precision(&config, kv_precision),
        })
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
        Self::of(ModelFiles::find(directory)?)
    }

    /// Reads the small files.
    pub fn of(files: ModelFiles) -> Result<Self, CliError> {
        let settings = CheckpointSettings::read(&files)
            .map_err(|error| info::unusable(&files, files.error(error)))?;
        Ok(Self { files, settings })
    }

    /// Tokens of prompt and answer together that the model can hold.
    pub fn context_tokens(&self) -> usize {
        self.settings.config.text_config.max_position_embeddings
    }

    /// Tokens of a text by the model's tokenizer, give or take a few where it is long.
    pub fn text_tokens(&self, text: &str) -> Result<usize, CliError> {
        let n_tokens = self.settings.encoder.tokenizer.count(text);
        n_tokens.map_err(|error| self.files.error(error))
    }

    /// Refuses a question that the tokenizer would take for a picture.
    pub fn check_question(&self, asked: &'static str, question: &str) -> Result<(), CliError> {
        let encoder = &self.settings.encoder;
        let ids = encoder.tokenizer.encode(question);
        let ids = ids.map_err(|error| self.files.error(error))?;
        if !ids.contains(&encoder.image_token_id) {
            return Ok(());
        }
        let token = encoder.tokenizer.token(encoder.image_token_id);
        Err(CliError::ImageToken {
            asked,
            token: token.unwrap_or_default(),
        })
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

    /// Loads the weights, showing how far it is, if the device holds them and the request; also returns what further
    /// requests are held against.
    pub fn load(
        self,
        target: &Target,
        args: &ModelArgs,
        request: RequestSize,
    ) -> Result<(Checkpoint, RequestMemory), CliError> {
        let Self { files, settings } = self;
        let model_error = |error| info::unusable(&files, files.error(error));
        let weights = files.weights().map_err(model_error)?;
        let kinds = (args.quantize, args.kv_cache);
        let LoadPlan {
            load_as,
            footprint,
            n_bytes,
        } = LoadPlan::new(&settings, &weights, target, kinds)?;
        let memory = RequestMemory::new(
            (files.name(), settings.config.text_config.clone()),
            (target, load_as.dtype),
            footprint,
            args.memory_headroom,
        );
        memory.check(request)?;
        let bar = progress::bytes_bar(n_bytes as usize, format!("loading {}", files.name()));
        let on_bytes = |n_bytes: usize| bar.set_position(n_bytes as u64);
        let checkpoint = settings.load(&weights, &target.device.device, load_as, on_bytes);
        progress::clear();
        let mut checkpoint = checkpoint.map_err(model_error)?;
        if let Some(note) = unused_note(&checkpoint.report.unexpected) {
            output::note(&note);
        }
        checkpoint.kv_precision = args.kv_cache;
        Ok((checkpoint, memory))
    }
}

/// What is to be told of the tensors of a checkpoint that the model has no use for.
pub fn unused_note(tensors: &[String]) -> Option<String> {
    let names = (!tensors.is_empty()).then(|| some_names(tensors))?;
    Some(format!("{names}: the model has no use for them; left out"))
}

/// How many tensors, and the names of the first.
pub fn some_names(tensors: &[String]) -> String {
    const NAMED: usize = 8;
    let named = tensors[..tensors.len().min(NAMED)].join(", ");
    match tensors.len().saturating_sub(NAMED) {
        0 => format!("{} tensors ({named})", tensors.len()),
        more => format!("{} tensors ({named} and {more} more)", tensors.len()),
    }
}

#[cfg(test)]
mod tests {
    use glyph_model::quantize::Quantization;

    use super::remedies;

    #[test]
    fn only_what_makes_a_tensor_smaller_is_named() {
        const TABLE: &str = "model.language_model.embed_tokens.weight";
        const HEAD: &str = "lm_head.weight";
        const DOWN: &str = "model.language_model.layers.0.mlp.down_proj.weight";
        const DTYPE: &str = "a smaller --dtype";
        const TO_Q8: &str = "--quantize q8";
        let (q8, q4) = (Some(Quantization::Q8), Some(Quantization::Q4));
        for (name, quantization, is_stored_quantized, has_narrower, named) in [
            (TABLE, None, false, true, vec![DTYPE]),
            (TABLE, None, false, false, vec![]),
            (TABLE, q8, false, false, vec![]),
            (HEAD, None, false, true, vec![DTYPE, TO_Q8]),
            (HEAD, None, false, false, vec![TO_Q8]),
            // Never in fewer than 8 bits, whatever the other values are.
            (HEAD, q8, false, true, vec![]),
            (DOWN, q8, false, true, vec!["--quantize q4"]),
            (DOWN, q4, false, true, vec![]),
            (DOWN, q8, true, true, vec![]),
        ] {
            let spec = (name, &[4096, 4096][..]);
            let found = remedies(spec, quantization, is_stored_quantized, has_narrower);
            assert_eq!(found, named, "{name} {quantization:?}");
        }
        // Rows of no whole blocks stay as they are.
        assert!(remedies((HEAD, &[400, 40][..]), None, false, false).is_empty());
    }
}
