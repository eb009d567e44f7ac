//! Weights of 8 and 4 bits: what reading a token costs is mostly reading the decoder's matrices.
//!
//! Every [`BLOCK`] values of a row share a scale: `w ≈ scale · q`, with `q` of 8 or 4 bits and the scale in f16. The
//! decoder's linear layers are quantised, and the output head, which never takes fewer than 8 bits. Embedding, norms,
//! biases and the vision tower stay as they are: a table is read by the row, norms and biases are small, and the tower
//! is bound by arithmetic.
//!
//! On a GPU a quantised weight is a tensor of burn's, unpacked inside the product's kernel. On the CPU burn would make
//! all of it f32 again for every token; there the packed values are kept as they are and multiplied by
//! kernels of our own, `product`.

mod block;
mod memory;
// It waits for the device, which a browser cannot.
#[cfg(not(target_family = "wasm"))]
mod model;
mod pack_error;
mod packed;
mod product;
mod weight;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use memory::TensorLayout;
#[cfg(not(target_family = "wasm"))]
pub use model::quantize_model;
pub use pack_error::PackError;
pub use packed::PackedMatrix;
pub use weight::QuantizedWeight;

/// Values that share a scale. The GPU's kernels read up to 32 values of 4 bits at once and multiply them by one scale,
/// so a smaller block would be read wrong.
pub const BLOCK: usize = 32;

/// Bytes of a block's scale, an f16.
const SCALE_BYTES: usize = 2;

/// Bits of a quantised weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bits {
    /// From −8 to 7, two in a byte, the lower half first.
    Four,
    /// From −127 to 127.
    Eight,
}

impl Bits {
    /// How many they are.
    pub fn count(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Bytes of `n` values; whole ones where `n` is a multiple of [`BLOCK`].
    fn value_bytes(self, n: usize) -> usize {
        n * self.count() / 8
    }

    /// Bytes of a matrix of so many values with its scales, as it is saved and kept in the host's memory.
    pub fn matrix_bytes(self, n_values: u64) -> u64 {
        let block_bytes = self.value_bytes(BLOCK) + SCALE_BYTES;
        (n_values / BLOCK as u64).saturating_mul(block_bytes as u64)
    }
}

/// How a model's weights are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// All in 8 bits: 8.5 bits a value with the scales.
    Q8,
    /// The decoder's layers in 4 bits, the output head in 8: 4.5 and 8.5 bits a value with the scales.
    Q4,
}

/// What a quantised matrix is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A linear layer of the decoder.
    Decoder,
    /// The output head.
    OutputHead,
}

impl Role {
    /// The role of the matrix of this name; `None` for a tensor that stays as it is.
    pub fn of(name: &str) -> Option<Self> {
        const PROJECTIONS: [&str; 6] = [
            ".q_proj.weight",
            ".k_proj.weight",
            ".v_proj.weight",
            ".o_proj.weight",
            ".gate_up_proj.weight",
            ".down_proj.weight",
        ];
        if name == "lm_head.weight" {
            return Some(Self::OutputHead);
        }
        let is_projection = name.starts_with("model.language_model.layers.")
            && PROJECTIONS.iter().any(|end| name.ends_with(end));
        is_projection.then_some(Self::Decoder)
    }
}

impl Quantization {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Q8, Self::Q4];

    /// Name as it is typed and saved.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Bits of a matrix of a role and of rows of `d_in` values; `None` where no whole number of blocks makes a row,
    /// and the matrix stays as it is.
    pub fn bits(self, role: Role, d_in: usize) -> Option<Bits> {
        let bits = match (self, role) {
            (Self::Q4, Role::Decoder) => Bits::Four,
            (Self::Q8, _) | (Self::Q4, Role::OutputHead) => Bits::Eight,
        };
        (d_in > 0 && d_in.is_multiple_of(BLOCK)).then_some(bits)
    }

    /// Bits of the tensor of this name and shape; `None` for one that stays as it is.
    pub fn bits_of(self, name: &str, shape: &[usize]) -> Option<Bits> {
        match shape {
            [_, d_in] => self.bits(Role::of(name)?, *d_in),
            _ => None,
        }
    }
}

/// Name of the token table.
pub(crate) const TOKEN_TABLE: &str = "model.language_model.embed_tokens.weight";

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quantization {
    type Err = &'static str;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|quantization| quantization.name() == value)
            .ok_or("it must be q8 or q4")
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Quantization, Role};

    #[test]
    fn linear_layers_of_the_decoder_and_the_head_are_quantised() {
        let layer = |name: &str| format!("model.language_model.layers.39.{name}.weight");
        for name in ["self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"] {
            assert_eq!(Role::of(&layer(name)), Some(Role::Decoder), "{name}");
        }
        assert_eq!(Role::of("lm_head.weight"), Some(Role::OutputHead));
        for name in [
            "model.language_model.embed_tokens.weight",
            "model.language_model.layers.0.self_attn.q_proj.bias",
            "model.language_model.layers.0.input_layernorm.weight",
            "model.visual.blocks.0.mlp.down_proj.weight",
            "model.visual.merger.gate_proj.weight",
        ] {
            assert_eq!(Role::of(name), None, "{name}");
        }
    }

    #[test]
    fn rows_of_no_whole_blocks_stay_as_they_are() {
        for (d_in, bits) in [
            (13_696, Some(Bits::Four)),
            (96, Some(Bits::Four)),
            (40, None),
            (24, None),
            (0, None),
        ] {
            assert_eq!(Quantization::Q4.bits(Role::Decoder, d_in), bits, "{d_in}");
        }
        assert_eq!(
            Quantization::Q4.bits(Role::OutputHead, 64),
            Some(Bits::Eight)
        );
        assert_eq!(Bits::Four.matrix_bytes(64), 32 + 4);
        assert_eq!(Bits::Eight.matrix_bytes(64), 64 + 4);
    }

    #[test]
    fn names_are_read_back() {
        for quantization in Quantization::ALL {
            assert_eq!(quantization.name().parse(), Ok(quantization));
        }
        assert!("q5".parse::<Quantization>().is_err());
    }
}
