//! What keeps a matrix from being packed, or shows that it is not what was packed.

use burn::tensor::DType;
use half::f16;

use super::block::reach;
use super::{BLOCK, Bits};
use crate::error::ModelError;

/// Why a matrix cannot be packed, or is not what was packed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PackError {
    /// Values of a type that is not quantised.
    #[error("its type is {dtype:?}; F32, F16 and BF16 are quantised")]
    Type {
        /// The type.
        dtype: DType,
    },
    /// Rows of no whole number of blocks, or more or fewer bytes than the shape has.
    #[error(
        "{n_bytes} bytes are no matrix {shape:?} in whole blocks of {} values",
        BLOCK
    )]
    Layout {
        /// `[d_out, d_in]`.
        shape: [usize; 2],
        /// Bytes that are there.
        n_bytes: usize,
    },
    /// A value that is not finite.
    #[error(
        "it holds {value} in row {row}: the weights are damaged. Download the checkpoint again"
    )]
    NotFinite {
        /// The first such value of its block.
        value: f32,
        /// Its row, from 0.
        row: usize,
    },
    /// A value that no scale reaches.
    #[error(
        "it holds {value:e} in row {row}, and the largest value that can be kept in {} bits is {largest}. Take the \
         weights as they are, without quantising them",
        .bits.count()
    )]
    TooLarge {
        /// The value of its block that is farthest from 0.
        value: f32,
        /// Its row, from 0.
        row: usize,
        /// Bits that it was to have.
        bits: Bits,
        /// The largest value of these.
        largest: f32,
    },
    /// A scale of a packed matrix that is not finite.
    #[error(
        "a scale of its row {row} is {scale}: the weights are damaged. Download them again, or quantise the original \
         again"
    )]
    Scale {
        /// The scale.
        scale: f16,
        /// The row, from 0.
        row: usize,
    },
}

impl PackError {
    /// Why the values of a block, which is in `row`, have no scale.
    pub(super) fn of_values(values: &[f32; BLOCK], row: usize, bits: Bits) -> Self {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Self::NotFinite { value: *value, row };
        }
        let farthest = |far: f32, value: &f32| {
            if value.abs() > far.abs() { *value } else { far }
        };
        Self::TooLarge {
            value: values.iter().fold(0.0, farthest),
            row,
            bits,
            largest: reach(bits),
        }
    }

    /// The same of a tensor that has a name.
    pub(crate) fn of(self, tensor: &str) -> ModelError {
        ModelError::Pack {
            tensor: tensor.to_owned(),
            source: self,
        }
    }
}
