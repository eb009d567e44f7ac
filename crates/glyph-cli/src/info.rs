//! `glyph info`: what a model is made of, and whether its checkpoint is complete.

use std::collections::{BTreeMap, HashSet};

use burn::tensor::DType;
use glyph_model::ModelError;
use glyph_model::checkpoint::{CheckpointSettings, read_config};
use glyph_model::config::ModelConfig;
use glyph_model::quantize::{Quantization, TensorLayout};
use glyph_model::text::KvCache;
use glyph_model::weights::{WeightFiles, table_dtype};
use serde::Serialize;

use crate::args::InfoArgs;
use crate::device;
use crate::error::CliError;
use crate::info_table;
use crate::model::{self, ModelFiles};
use crate::{output, style};

/// The object that `glyph info --json` prints.
#[derive(Debug, Serialize)]
pub struct ModelInfo {
    /// Name or directory.
    pub model: String,
    /// Shape of the network.
    pub architecture: Architecture,
    /// What the configuration asks for.
    pub parameters: Parameters,
    /// What the weight files hold; null when they cannot be opened.
    pub stored: Option<Stored>,
    /// What running takes.
    pub memory: Memory,
    /// Whether everything needed is there.
    pub is_complete: bool,
    /// Tensors that the configuration asks for and the files lack.
    pub missing_tensors: Vec<String>,
    /// Tensors of another shape than the configuration asks for.
    pub wrong_shapes: Vec<WrongShape>,
    /// Tensors that the configuration asks for and that are of a type which is not read.
    pub wrong_types: Vec<WrongType>,
    /// Tensors that the model has no use for; they do no harm.
    pub unexpected_tensors: Vec<String>,
    /// Files that are missing or cannot be used.
    pub file_problems: Vec<String>,
}

/// Shape of the network.
#[derive(Debug, Serialize)]
pub struct Architecture {
    pub name: &'static str,
    pub context_tokens: usize,
    pub vocabulary: usize,
    pub decoder_layers: usize,
    pub decoder_width: usize,
    pub query_heads: usize,
    pub key_value_heads: usize,
    pub vision_blocks: usize,
    pub vision_width: usize,
    pub patch_px: usize,
    pub patches_per_token: usize,
    pub tied_embeddings: bool,
}

/// Parameter counts.
#[derive(Debug, Default, Serialize)]
pub struct Parameters {
    pub total: usize,
    pub vision: usize,
    pub decoder: usize,
    pub embeddings: usize,
    pub output_head: usize,
}

/// What the weight files hold.
#[derive(Debug, Serialize)]
pub struct Stored {
    pub tensors: usize,
    pub bytes: usize,
    /// How the decoder's matrices are quantised; null where they are not.
    pub quantization: Option<Quantization>,
    /// Whether what is not quantised was published in 32 bits.
    #[serde(skip)]
    pub is_f32: bool,
    /// By stored type.
    pub dtypes: BTreeMap<String, StoredType>,
}

/// Tensors of one stored type.
#[derive(Debug, Default, Serialize)]
pub struct StoredType {
    pub tensors: usize,
    pub bytes: usize,
}

/// What running takes, in bytes. Rows that a GPU makes longer are not counted; `glyph plan` counts them.
#[derive(Debug, Serialize)]
pub struct Memory {
    #[serde(flatten)]
    pub weights: WeightBytes,
    /// With `--quantize`, where the files leave it open.
    pub quantized: Vec<QuantizedWeights>,
    pub kv_f32_bytes_per_token: usize,
    pub kv_f16_bytes_per_token: usize,
    pub kv_f32_bytes_full_context: usize,
}

/// Bytes of all weights by the type of those that are not quantised.
#[derive(Debug, Serialize)]
pub struct WeightBytes {
    pub weights_f32_bytes: u64,
    /// As f16 or bf16.
    pub weights_f16_bytes: u64,
}

/// Weights whose matrices in the decoder are quantised while they are loaded.
#[derive(Debug, Serialize)]
pub struct QuantizedWeights {
    pub quantize: Quantization,
    #[serde(flatten)]
    pub weights: WeightBytes,
}

/// A tensor of another shape than the configuration asks for.
#[derive(Debug, Serialize)]
pub struct WrongShape {
    pub tensor: String,
    pub expected: Vec<usize>,
    pub found: Vec<usize>,
}

/// A tensor of a type that is not read.
#[derive(Debug, Serialize)]
pub struct WrongType {
    pub tensor: String,
    pub found: String,
}

impl WrongType {
    /// In a line.
    pub fn line(&self) -> String {
        let Self { tensor, found } = self;
        format!("{tensor} is {found}; F32, F16 and BF16 are read")
    }
}

/// Runs the command.
pub fn run(args: &InfoArgs) -> Result<(), CliError> {
    let files = ModelFiles::find(args.model.as_deref())?;
    let info = ModelInfo::read(&files).map_err(|problems| CliError::Unusable {
        name: files.name(),
        problems,
    })?;
    if args.json {
        output::json(&info)?;
    } else {
        output::text(&info_table::table(&info))?;
    }
    if info.is_complete {
        return Ok(());
    }
    let (problems, verb) = match info.n_problems() {
        1 => ("1 problem".to_owned(), "is"),
        n => (format!("{n} problems"), "are"),
    };
    let place = if args.json { "in the object" } else { "listed" };
    Err(CliError::Incomplete {
        name: info.model,
        problems: format!("{problems} {verb} {place} above"),
    })
}

/// What keeps a model from running, each in a line.
pub fn problems(files: &ModelFiles) -> Vec<String> {
    let info = match ModelInfo::read(files) {
        Ok(info) => info,
        Err(problems) => return problems,
    };
    let missing = info.missing_tensors.iter();
    let missing = missing.map(|tensor| format!("{tensor} is missing from the weights"));
    let wrong = info.wrong_shapes.iter().map(|wrong| {
        let (expected, found) = (&wrong.expected, &wrong.found);
        format!(
            "{} has the shape {found:?}; config.json asks for {expected:?}",
            wrong.tensor
        )
    });
    info.file_problems
        .iter()
        .cloned()
        .chain(missing)
        .chain(wrong)
        .chain(info.wrong_types.iter().map(WrongType::line))
        .collect()
}

/// `error`, which keeps a model from being loaded, with all else that does, a line each.
pub fn unusable(files: &ModelFiles, error: CliError) -> CliError {
    let problems = problems(files);
    if problems.is_empty() {
        return error;
    }
    CliError::Unusable {
        name: files.name(),
        problems,
    }
}

/// Files that are missing or cannot be used, the weights that are opened among them, a line each.
fn file_problems(files: &ModelFiles, weights: Option<&ModelError>) -> Vec<String> {
    let settings = CheckpointSettings::problems(files);
    let mut problems: Vec<String> = settings.iter().map(ToString::to_string).collect();
    // What a text of this model would be drawn with.
    if let Err(error) = style::check(files) {
        problems.push(match error {
            // The list says whose they are.
            CliError::Model { source, .. } => source.to_string(),
            other => other.to_string(),
        });
    }
    problems.extend(weights.map(ToString::to_string));
    problems
}

impl ModelInfo {
    /// Reads everything but the weights' values. Only a configuration that cannot be used is an
    /// error, with all that is wrong with the files; all else is reported.
    fn read(files: &ModelFiles) -> Result<Self, Vec<String>> {
        let weights = files.weights();
        let file_problems = file_problems(files, weights.as_ref().err());
        // Why it cannot be used is among the problems of the files.
        let Ok(config) = read_config(files) else {
            return Err(file_problems);
        };
        let config = match &weights {
            Ok(weights) => model::config_for(config, weights),
            Err(_) => config,
        };
        let specs = model::specs(&config);
        let parameters = Parameters::new(&specs);
        let mut info = Self {
            model: files.name(),
            architecture: Architecture::new(&config),
            memory: Memory::new(&config, &specs, weights.as_ref().ok()),
            parameters,
            stored: None,
            is_complete: false,
            missing_tensors: Vec::new(),
            wrong_shapes: Vec::new(),
            wrong_types: Vec::new(),
            unexpected_tensors: Vec::new(),
            file_problems,
        };
        match weights {
            Ok(weights) => info.compare(&specs, &weights),
            Err(ModelError::MissingShards { tensors, .. }) => info.missing_tensors = tensors,
            Err(_) => {}
        }
        info.is_complete = info.n_problems() == 0;
        Ok(info)
    }

    /// Sets what the files hold beside what the configuration asks for.
    fn compare(&mut self, specs: &[(String, Vec<usize>)], weights: &WeightFiles) {
        for (name, shape) in specs {
            match weights.info(name) {
                None => match weights.unreadable(name) {
                    None => self.missing_tensors.push(name.clone()),
                    Some(found) => self.wrong_types.push(WrongType {
                        tensor: name.clone(),
                        found: format!("{found:?}"),
                    }),
                },
                Some(found) if found.shape != *shape => self.wrong_shapes.push(WrongShape {
                    tensor: name.clone(),
                    expected: shape.clone(),
                    found: found.shape.clone(),
                }),
                Some(_) => {}
            }
        }
        let expected: HashSet<String> = specs.iter().map(|(name, _)| name.clone()).collect();
        self.unexpected_tensors = weights.others(&expected);
        self.unexpected_tensors.sort();
        self.stored = Some(Stored::new(weights));
    }

    /// What keeps the model from running.
    fn n_problems(&self) -> usize {
        self.missing_tensors.len()
            + self.wrong_shapes.len()
            + self.wrong_types.len()
            + self.file_problems.len()
    }
}

impl Architecture {
    fn new(config: &ModelConfig) -> Self {
        let (text, vision) = (&config.text_config, &config.vision_config);
        Self {
            name: "Glm4vForConditionalGeneration",
            context_tokens: text.max_position_embeddings,
            vocabulary: text.vocab_size,
            decoder_layers: text.num_hidden_layers,
            decoder_width: text.hidden_size,
            query_heads: text.num_attention_heads,
            key_value_heads: text.num_key_value_heads(),
            vision_blocks: vision.depth,
            vision_width: vision.hidden_size,
            patch_px: vision.patch_size,
            patches_per_token: vision.merge_area(),
            tied_embeddings: config.tied_embeddings(),
        }
    }
}

impl Parameters {
    fn new(specs: &[(String, Vec<usize>)]) -> Self {
        let mut parameters = Self::default();
        for (name, shape) in specs {
            let n: usize = shape.iter().product();
            parameters.total += n;
            *match name.as_str() {
                name if name.starts_with("model.visual.") => &mut parameters.vision,
                name if name.contains(".embed_tokens.") => &mut parameters.embeddings,
                name if name.starts_with("lm_head.") => &mut parameters.output_head,
                _ => &mut parameters.decoder,
            } += n;
        }
        parameters
    }
}

impl Stored {
    fn new(weights: &WeightFiles) -> Self {
        let mut dtypes: BTreeMap<String, StoredType> = BTreeMap::new();
        let mut n_tensors = 0;
        for (_, tensor) in weights.tensors() {
            let name = match tensor.bits {
                None => format!("{:?}", tensor.dtype).to_lowercase(),
                Some(bits) => format!("{} bits", bits.count()),
            };
            let entry = dtypes.entry(name).or_default();
            entry.tensors += 1;
            entry.bytes += tensor.stored_bytes();
            n_tensors += 1;
        }
        Self {
            tensors: n_tensors,
            bytes: weights.stored_bytes(),
            quantization: weights.quantization(),
            is_f32: device::published_type(weights) == glyph_device::StoredType::F32,
            dtypes,
        }
    }
}

impl Memory {
    fn new(
        config: &ModelConfig,
        specs: &[(String, Vec<usize>)],
        files: Option<&WeightFiles>,
    ) -> Self {
        let text = &config.text_config;
        let weights = |quantization| WeightBytes::new(specs, files, quantization);
        let stored = files.and_then(WeightFiles::quantization);
        let is_possible = |quantization: &Quantization| {
            let mut bits = specs
                .iter()
                .map(|(name, shape)| quantization.bits_of(name, shape));
            stored.is_none() && bits.any(|bits| bits.is_some())
        };
        let possible = Quantization::ALL.into_iter().filter(is_possible);
        let kv_bytes_per_token = |dtype: DType| KvCache::bytes_per_token(text, dtype.size());
        let kv_f32_bytes_per_token = kv_bytes_per_token(DType::F32);
        Self {
            weights: weights(stored),
            quantized: possible
                .map(|quantize| QuantizedWeights {
                    quantize,
                    weights: weights(Some(quantize)),
                })
                .collect(),
            kv_f32_bytes_per_token,
            kv_f16_bytes_per_token: kv_bytes_per_token(DType::F16),
            kv_f32_bytes_full_context: kv_f32_bytes_per_token * text.max_position_embeddings,
        }
    }
}

impl WeightBytes {
    fn new(
        specs: &[(String, Vec<usize>)],
        files: Option<&WeightFiles>,
        quantization: Option<Quantization>,
    ) -> Self {
        let bytes = |dtype: DType| {
            let table = files.map_or(dtype, |files| table_dtype(files, dtype, &device::host()));
            let layout = TensorLayout::HOST.with_table(table.size() as u64);
            layout.model_bytes(specs, quantization, dtype.size() as u64)
        };
        Self {
            weights_f32_bytes: bytes(DType::F32),
            weights_f16_bytes: bytes(DType::F16),
        }
    }
}
