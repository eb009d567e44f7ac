//! Bytes that a model takes for each of the things that it does.

use burn::tensor::Device;
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::quantize::{Quantization, TensorLayout};
use glyph_model::text::{KvCache, KvPrecision};
use glyph_model::weights::tensor_specs;
use serde::Serialize;

use super::activations::{DecoderShape, F32_BYTES, Scores, TowerShape};

/// Bytes that a model takes for each of the things that it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Footprint {
    /// Parameters.
    pub n_parameters: u64,
    /// Bytes of one activation, key or value, and of a weight that is not quantised.
    pub bytes_per_value: u64,
    /// How linear layers are quantised.
    pub quantization: Option<Quantization>,
    /// In how many bits keys and values are kept.
    pub kv_precision: KvPrecision,
    /// Bytes of all weights, as they lie on the device.
    pub weight_bytes: u64,
    /// Keys and values of one token.
    pub kv_bytes_per_token: u64,
    /// What the vision tower made of one token of a page; a request holds it until it ends.
    pub feature_bytes_per_token: u64,
    /// Tokens that the positions reach.
    pub context_tokens: usize,
    #[serde(skip)]
    weights: WeightBytes,
    #[serde(skip)]
    merge_area: usize,
    #[serde(skip)]
    scores: Scores,
    #[serde(skip)]
    tower: TowerShape,
    #[serde(skip)]
    decoder: DecoderShape,
}

/// Bytes of all weights by where they lie.
#[derive(Debug, Clone, Copy, PartialEq)]
struct WeightBytes {
    on_cpu: u64,
    on_gpu: u64,
}

impl WeightBytes {
    fn new(
        specs: &[(String, Vec<usize>)],
        (quantization, table_bytes): (Option<Quantization>, Option<u64>),
        bytes_per_value: u64,
    ) -> Self {
        let of = |layout: TensorLayout| {
            let layout = match table_bytes {
                Some(value_bytes) => layout.with_table(value_bytes),
                None => layout,
            };
            layout.model_bytes(specs, quantization, bytes_per_value)
        };
        Self {
            on_cpu: of(TensorLayout::HOST),
            on_gpu: of(TensorLayout::gpu(bytes_per_value)),
        }
    }
}

/// Name and shape of every parameter of a model.
fn specs(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    tensor_specs(&Glm4v::new(config, &Device::flex()))
}

impl Footprint {
    /// Of a model on a CPU whose values take `bytes_per_value`.
    pub fn new(config: &ModelConfig, bytes_per_value: u64) -> Self {
        let specs = specs(config);
        let n_parameters = specs
            .iter()
            .map(|(_, shape)| shape.iter().map(|n| *n as u64).product::<u64>())
            .fold(0, u64::saturating_add);
        let weights = WeightBytes::new(&specs, (None, None), bytes_per_value);
        let (text, vision) = (&config.text_config, &config.vision_config);
        Self {
            n_parameters,
            bytes_per_value,
            quantization: None,
            kv_precision: KvPrecision::Full,
            weight_bytes: weights.on_cpu,
            kv_bytes_per_token: KvCache::bytes_per_token(text, 1) as u64 * bytes_per_value,
            feature_bytes_per_token: vision.out_hidden_size as u64 * bytes_per_value,
            context_tokens: text.max_position_embeddings,
            weights,
            merge_area: vision.merge_area().max(1),
            scores: Scores::Tiled,
            tower: TowerShape::new(vision),
            decoder: DecoderShape::new(text),
        }
    }

    /// The same on a CPU or on a GPU, as `is_cpu` says. Weights on a GPU are counted as [`TensorLayout::gpu`] has them,
    /// which is what the widest layout of any takes.
    pub fn on(self, is_cpu: bool) -> Self {
        let (scores, weight_bytes) = if is_cpu {
            (Scores::Tiled, self.weights.on_cpu)
        } else {
            (Scores::InParts, self.weights.on_gpu)
        };
        Self {
            scores,
            weight_bytes,
            ..self
        }
    }

    /// The same with the linear layers of `config` quantised. A token table that is apart from the output head then has
    /// values of `table_bytes`, as [`table_dtype`](glyph_model::weights::table_dtype) has them; where nobody knows yet
    /// what it is stored as, it is counted as wide as all else.
    ///
    /// What a product unpacks on its way is not counted: on a CPU 4 MiB at a time, on a GPU by the tile; the headroom is
    /// for that.
    pub fn quantized(
        mut self,
        config: &ModelConfig,
        quantization: Option<Quantization>,
        table_bytes: Option<u64>,
    ) -> Self {
        self.quantization = quantization;
        let kept_as = (quantization, table_bytes);
        self.weights = WeightBytes::new(&specs(config), kept_as, self.bytes_per_value);
        let is_cpu = self.scores == Scores::Tiled;
        self.on(is_cpu)
    }

    /// The same with keys and values of `config` kept in another precision, as it is had where the model is computed.
    pub fn with_kv_precision(mut self, config: &ModelConfig, precision: KvPrecision) -> Self {
        let precision = precision.on(self.is_computed_here());
        self.kv_precision = precision;
        let bytes_per_value = usize::try_from(self.bytes_per_value).unwrap_or(usize::MAX);
        self.kv_bytes_per_token =
            precision.bytes_per_token(&config.text_config, bytes_per_value) as u64;
        self
    }

    /// Activations of the vision tower over a page of `n_patches`, its pixels included: the tensors that are alive
    /// together at its widest stage, with the copies that backends make. Attention holds tiles of its scores, not
    /// their matrix.
    pub fn vision_bytes(&self, n_patches: usize) -> u64 {
        self.tower
            .bytes(n_patches, self.bytes_per_value, self.scores)
    }

    /// Tokens that the tower makes of a page of `n_patches`.
    pub fn vision_tokens(&self, n_patches: usize) -> usize {
        n_patches / self.merge_area
    }

    /// Activations of the decoder over a chunk of a prompt of `context_tokens`, and over a token each of `batch`
    /// answers: the tensors of its widest layer, one layer's keys and values repeated for each query head, and the
    /// scores of the vocabulary.
    pub fn decoder_bytes(&self, batch: usize, context_tokens: usize) -> u64 {
        // A CPU's own kernels read 8 bits as they are.
        let is_unpacked = self.kv_precision == KvPrecision::Q8 && !self.is_computed_here();
        self.decoder.bytes(
            (batch, context_tokens),
            self.bytes_per_value,
            self.scores,
            is_unpacked,
        )
    }

    /// Whether a CPU's own kernels compute it, which are for f32.
    fn is_computed_here(&self) -> bool {
        self.scores == Scores::Tiled && self.bytes_per_value == F32_BYTES
    }

    /// Features of pages of `n_tokens`, as the cache and the running requests keep them.
    pub fn feature_bytes(&self, n_tokens: usize) -> u64 {
        (n_tokens as u64).saturating_mul(self.feature_bytes_per_token)
    }

    /// Keys and values of `n_tokens`.
    pub fn kv_bytes(&self, n_tokens: usize) -> u64 {
        (n_tokens as u64).saturating_mul(self.kv_bytes_per_token)
    }

    /// What a request of `n_tokens` holds until it ends, when all of them are of pages.
    pub fn request_bytes(&self, n_tokens: usize) -> u64 {
        self.kv_bytes(n_tokens)
            .saturating_add(self.feature_bytes(n_tokens))
    }
}
