//! Random weights, made where they are used, one tensor after the other.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;

/// Deviation of matrices, as the reference initialises them: sums stay small, and nothing overflows in 16 bits.
const STD: f64 = 0.02;

/// A model whose parameters are random and of one type. Each takes memory when it is first used.
pub fn random_model(config: &ModelConfig, dtype: DType, device: &Device) -> Glm4v {
    Glm4v::new(config, device).map(&mut Randomiser {
        dtype,
        is_bias: false,
    })
}

struct Randomiser {
    dtype: DType,
    /// Whether what was entered last is a bias.
    is_bias: bool,
}

impl ModuleMapper for Randomiser {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.is_bias = name == "bias";
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {}

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (shape, device, dtype) = (param.lazy_shape(), param.lazy_device(), self.dtype);
        // Biases and the weights of norms, as an untrained model has them.
        let of_vectors = if self.is_bias { 0.0 } else { 1.0 };
        let drawn = shape.clone();
        let init = move |device: &Device, _: bool| {
            let options = (device, dtype);
            match D {
                1 => Tensor::full(drawn, of_vectors, options),
                _ => Tensor::random(drawn, Distribution::Normal(0.0, STD), options),
            }
        };
        Param::uninitialized(param.id, init, device, false, shape)
    }
}

/// Bytes of weights by the part that reads them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WeightBytes {
    /// Parameters.
    pub n_parameters: u64,
    /// All of them.
    pub total: u64,
    /// The token table, of which a token reads one row, unless it is the output head too.
    pub embeddings: u64,
    /// The vision tower, which no token of an answer reads.
    pub vision: u64,
}

/// Makes every parameter that is not there yet, one after the other, and counts all.
///
/// # Errors
/// The device's message.
pub fn touch(glm: &mut Glm4v, device: &Device) -> Result<WeightBytes, String> {
    let mut visitor = Toucher {
        device,
        path: Vec::new(),
        bytes: WeightBytes::default(),
        outcome: Ok(()),
    };
    glm.visit(&mut visitor);
    let mut bytes = visitor.outcome.map(|()| visitor.bytes)?;
    // Quantised weights are no parameters.
    for (_, linear) in glm.quantizable() {
        if let Some(weight) = linear.quantized() {
            let n = weight.shape().iter().map(|n| *n as u64).product();
            bytes.n_parameters += n;
            bytes.total += weight.bits().matrix_bytes(n);
        }
    }
    Ok(bytes)
}

struct Toucher<'a> {
    device: &'a Device,
    path: Vec<String>,
    bytes: WeightBytes,
    outcome: Result<(), String>,
}

impl ModuleVisitor for Toucher<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.outcome.is_err() {
            return;
        }
        // Weights stay: the allocator keeps them apart from what comes and goes.
        let value = self.device.memory_persistent_allocations(param, Param::val);
        let n = value.shape().num_elements() as u64;
        let n_bytes = n * value.dtype().size() as u64;
        self.bytes.n_parameters += n;
        self.bytes.total += n_bytes;
        match self.path.join(".").as_str() {
            "model.language_model.embed_tokens.weight" => self.bytes.embeddings += n_bytes,
            name if name.starts_with("model.visual.") => self.bytes.vision += n_bytes,
            _ => {}
        }
        self.outcome = self.device.flush().map_err(|error| error.to_string());
    }
}
