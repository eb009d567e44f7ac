//! What was measured, as it is printed and as the reference's script prints it.

use serde::{Deserialize, Serialize};

use super::timing::Seconds;
use crate::plan_values::PageSize;

/// The object that `glyph bench model --json` prints.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// This runtime.
    #[serde(flatten)]
    pub glyph: Report,
    /// transformers, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transformers: Option<Report>,
    /// This runtime's speed over that of transformers, and its memory over theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratios: Option<Ratios>,
}

/// One engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Its name and version.
    pub engine: String,
    /// Shape or directory.
    pub model: String,
    /// Parameters.
    pub parameters: u64,
    /// The device, with its own name where it has one.
    pub device: String,
    /// Type of weights, activations, keys and values.
    pub dtype: String,
    /// Type of the weights where it is another.
    pub quantize: Option<String>,
    /// Type of keys and values where it is another.
    pub kv_cache: Option<String>,
    /// Time to make random weights or to load them.
    pub load: Option<Load>,
    /// The vision tower over one page.
    pub vision: Option<Vision>,
    /// The decoder over the prompt.
    pub prefill: Option<Prefill>,
    /// The decoder over an answer.
    pub decode: Option<Decode>,
    /// The decoder's products with weights, each kind by itself; of this runtime alone.
    #[serde(default)]
    pub products: Vec<Product>,
    /// Memory.
    pub memory: Memory,
    /// What the device reached by itself.
    pub ceilings: Ceilings,
    /// What could not be measured, and why.
    pub problems: Vec<String>,
}

/// Weights that were made or read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Load {
    /// Whether they are random, else read from files.
    pub is_random: bool,
    /// Time it took.
    pub seconds: f64,
    /// Bytes of weights in a second.
    #[serde(default)]
    pub bytes_per_s: Option<f64>,
}

/// The vision tower over one page, from its pixels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vision {
    /// Width and height of the page in px.
    pub page_px: PageSize,
    /// Patches that pass the tower.
    pub patches: usize,
    /// Tokens that it makes of them.
    pub tokens: usize,
    /// Time of a page.
    pub seconds: Seconds,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// Operations that a page takes.
    pub flops: f64,
    /// Operations a second.
    pub flops_per_s: f64,
    /// Those over the device's rate of matrix products.
    pub share_of_matmul: Option<f64>,
}

/// The decoder over the prompt, up to the first token of the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prefill {
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Positions that pass at once.
    pub chunk_tokens: usize,
    /// Time of the prompt.
    pub seconds: Seconds,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// Operations that the prompt takes.
    pub flops: f64,
    /// Operations a second.
    pub flops_per_s: f64,
    /// Those over the device's rate of matrix products.
    pub share_of_matmul: Option<f64>,
}

/// The decoder over an answer, each token chosen as the server chooses: on a CPU by its scores, elsewhere on the device,
/// from which its id is read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decode {
    /// Tokens of the answer.
    pub tokens: usize,
    /// Positions that the middle one of them sees.
    pub context_tokens: usize,
    /// Time of one token.
    pub seconds: Seconds,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// Bytes that a token has to read: weights, and keys and values of the context.
    pub bytes: f64,
    /// Bytes a second.
    pub bytes_per_s: f64,
    /// Those over the device's rate of copying.
    pub share_of_copy: Option<f64>,
}

/// Products with the weights of one kind of layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Product {
    /// Name of the layer.
    pub name: String,
    /// Rows that are multiplied at once.
    pub rows: usize,
    /// Length of a row.
    pub d_in: usize,
    /// Length of a row of the result.
    pub d_out: usize,
    /// Time of one product.
    pub seconds: Seconds,
    /// Bytes of weights that are read a second.
    pub weight_bytes_per_s: f64,
    /// Operations a second.
    pub flops_per_s: f64,
    /// Those bytes over the device's rate of copying.
    pub share_of_copy: Option<f64>,
    /// Those operations over the device's rate of matrix products.
    pub share_of_matmul: Option<f64>,
}

/// Memory of the model.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// Weights.
    pub weight_bytes: u64,
    /// Keys and values of one token.
    pub kv_bytes_per_token: u64,
    /// Those of prompt and answer.
    pub kv_bytes: u64,
    /// The most that the allocator had from the device; on a CPU, the process from the machine.
    pub peak_bytes: Option<u64>,
    /// The most that tensors used of it, looked at between two pieces of work; not on a CPU.
    pub in_use_bytes: Option<u64>,
}

/// What the device reached by itself.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Ceilings {
    /// A copy of a large tensor.
    pub copy: Option<CopyRate>,
    /// A product of large matrices.
    pub matmul: Option<MatmulRate>,
}

/// A copy of a large tensor.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CopyRate {
    /// Its size.
    pub bytes: u64,
    /// Time of a copy.
    pub seconds: Seconds,
    /// Bytes read and bytes written, a second, in the best run.
    pub bytes_per_s: f64,
}

/// A product of large matrices.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MatmulRate {
    /// Side of the square matrices.
    pub side: usize,
    /// Time of a product.
    pub seconds: Seconds,
    /// Operations a second, in the best run.
    pub flops_per_s: f64,
}

/// This runtime over transformers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ratios {
    /// Speed of the vision tower.
    pub vision: Option<f64>,
    /// Speed over the prompt.
    pub prefill: Option<f64>,
    /// Speed over the answer.
    pub decode: Option<f64>,
    /// Memory at its peak.
    pub peak_bytes: Option<f64>,
}

impl Report {
    /// Sets the shares of what the device can do: the higher of the rates that were seen on it.
    fn set_shares(&mut self, copy_bytes_per_s: Option<f64>, matmul_flops_per_s: Option<f64>) {
        let share = |rate: f64, ceiling: Option<f64>| ceiling.map(|ceiling| rate / ceiling);
        if let Some(vision) = &mut self.vision {
            vision.share_of_matmul = share(vision.flops_per_s, matmul_flops_per_s);
        }
        if let Some(prefill) = &mut self.prefill {
            prefill.share_of_matmul = share(prefill.flops_per_s, matmul_flops_per_s);
        }
        for product in &mut self.products {
            product.share_of_copy = share(product.weight_bytes_per_s, copy_bytes_per_s);
            product.share_of_matmul = share(product.flops_per_s, matmul_flops_per_s);
        }
        if let Some(decode) = &mut self.decode {
            decode.share_of_copy = share(decode.bytes_per_s, copy_bytes_per_s);
        }
    }
}

impl Comparison {
    /// Of this runtime and, where it was measured, transformers on the same device.
    pub fn new(mut glyph: Report, mut transformers: Option<Report>) -> Self {
        let seen = || [Some(&glyph), transformers.as_ref()].into_iter().flatten();
        let highest = |rate: fn(&Ceilings) -> Option<f64>| {
            let rates = seen().filter_map(|report| rate(&report.ceilings));
            rates.reduce(f64::max)
        };
        let copy = highest(|ceilings| Some(ceilings.copy?.bytes_per_s));
        let matmul = highest(|ceilings| Some(ceilings.matmul?.flops_per_s));
        glyph.set_shares(copy, matmul);
        if let Some(transformers) = &mut transformers {
            transformers.set_shares(copy, matmul);
        }
        let ratios = transformers
            .as_ref()
            .map(|transformers| Ratios::new(&glyph, transformers));
        Self {
            glyph,
            transformers,
            ratios,
        }
    }

    /// What could not be measured.
    pub fn problems(&self) -> Vec<String> {
        let theirs = self.transformers.iter().flat_map(|report| &report.problems);
        let theirs = theirs.map(|problem| format!("transformers: {problem}"));
        self.glyph.problems.iter().cloned().chain(theirs).collect()
    }
}

impl Ratios {
    fn new(ours: &Report, theirs: &Report) -> Self {
        let ratio = |value: fn(&Report) -> Option<f64>| Some(value(ours)? / value(theirs)?);
        Self {
            vision: ratio(|report| Some(report.vision.as_ref()?.tokens_per_s)),
            prefill: ratio(|report| Some(report.prefill.as_ref()?.tokens_per_s)),
            decode: ratio(|report| Some(report.decode.as_ref()?.tokens_per_s)),
            peak_bytes: ratio(|report| report.memory.peak_bytes.map(|n| n as f64)),
        }
    }
}
