//! Weights that cannot be quantised, and quantised ones that are not what they should be.

use burn::tensor::DType;
use glyph_model::quantize::{Bits, PackedMatrix, Quantization};
use glyph_model::weights::{LoadAs, WeightFiles, tensor_specs, write_quantized};
use glyph_model::{Checkpoint, ModelError};
use half::f16;
use safetensors::Dtype;

use super::weights::with_weights;
use super::{assert_refused, refused};
use crate::common::{Stored, device, open_dir};

const Q: &str = "model.language_model.layers.0.self_attn.q_proj.weight";

const TABLE: &str = "model.language_model.embed_tokens.weight";

const HEAD: &str = "lm_head.weight";

/// Overwrites a tensor from a byte on.
fn overwrite(tensors: &mut [Stored], name: &str, from: usize, bytes: &[u8]) {
    let tensor = tensors.iter_mut().find(|tensor| tensor.name == name);
    tensor.unwrap().data[from..from + bytes.len()].copy_from_slice(bytes);
}

/// A matrix of f32 in fewer bits, and its scales.
fn packed(matrix: Stored, bits: Bits) -> [Stored; 2] {
    let [d_out, d_in] = matrix.shape[..] else {
        panic!("{} is no matrix", matrix.name);
    };
    let packed = PackedMatrix::quantize(&matrix.data, DType::F32, [d_out, d_in], bits).unwrap();
    let (dtype, d_stored) = match bits {
        Bits::Four => (Dtype::U8, d_in / 2),
        Bits::Eight => (Dtype::I8, d_in),
    };
    let scales = Stored {
        name: format!("{}_scale", matrix.name),
        dtype: Dtype::F16,
        shape: vec![d_out, d_in / 32],
        data: packed.scale_bytes(),
    };
    let values = Stored {
        dtype,
        shape: vec![d_out, d_stored],
        data: packed.value_bytes().to_vec(),
        ..matrix
    };
    [values, scales]
}

/// Packs the matrices that a scheme packs, each in the bits that its name is given.
fn pack(tensors: &mut Vec<Stored>, bits_of: impl Fn(&str) -> Option<Bits>) {
    for tensor in std::mem::take(tensors) {
        let of_scheme = Quantization::Q8.bits_of(&tensor.name, &tensor.shape);
        match of_scheme.and_then(|_| bits_of(&tensor.name)) {
            Some(bits) => tensors.extend(packed(tensor, bits)),
            None => tensors.push(tensor),
        }
    }
}

#[test]
fn a_weight_that_cannot_be_quantised() {
    for (value, named) in [
        (f32::NAN, "holds NaN in row 1"),
        (f32::INFINITY, "holds inf in row 1"),
        (f32::NEG_INFINITY, "holds -inf in row 1"),
        (1e20, "holds 1e20 in row 1"),
    ] {
        // Rows have 64 values.
        let copy = with_weights(|tensors| overwrite(tensors, Q, 4 * 100, &value.to_le_bytes()));
        // As f32 it is found when the model is used.
        let specs = tensor_specs(&open_dir(copy.path(), DType::F32).unwrap().model);
        for quantization in Quantization::ALL {
            let load_as = LoadAs {
                dtype: DType::F32,
                quantization: Some(quantization),
            };
            let loaded = Checkpoint::open(copy.path(), &device(), load_as, |_| {});
            assert_refused!(
                loaded.map(|_| ()).unwrap_err(),
                ModelError::Pack { .. },
                Q,
                named
            );

            let files = WeightFiles::open(copy.path()).unwrap();
            let out = tempfile::tempdir().unwrap();
            let place = (out.path(), usize::MAX);
            let written = write_quantized(&files, &specs, quantization, place, |_| {});
            assert_refused!(
                written.map(|_| ()).unwrap_err(),
                ModelError::Pack { .. },
                Q,
                named
            );
            assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_scale_that_is_not_finite() {
    for quantization in Quantization::ALL {
        let bits_of = |name: &str| quantization.bits_of(name, &[64, 64]);
        let whole = with_weights(|tensors| pack(tensors, bits_of));
        let whole = open_dir(whole.path(), DType::F32).unwrap();
        assert_eq!(whole.quantization, Some(quantization));
        for (scale, named) in [(f16::INFINITY, "is inf"), (f16::NAN, "is NaN")] {
            let copy = with_weights(|tensors| {
                pack(tensors, bits_of);
                // Two blocks make a row.
                let scales = format!("{Q}_scale");
                overwrite(tensors, &scales, 2 * 7, &scale.to_le_bytes());
            });
            assert_refused!(
                refused(copy.path()),
                ModelError::Pack { .. },
                Q,
                "row 3",
                named
            );
        }
    }
    // Of a table, which is dequantised when it is loaded.
    let copy = with_weights(|tensors| {
        let place = tensors.iter().position(|tensor| tensor.name == TABLE);
        let table = tensors.remove(place.unwrap());
        tensors.extend(packed(table, Bits::Eight));
        let scales = format!("{TABLE}_scale");
        overwrite(tensors, &scales, 0, &f16::INFINITY.to_le_bytes());
    });
    assert_refused!(
        refused(copy.path()),
        ModelError::Pack { .. },
        TABLE,
        "row 0",
        "is inf"
    );
}

/// In how many bits a matrix of this name is stored, where it is quantised.
type BitsOf = fn(&str) -> Option<Bits>;

#[test]
fn matrices_that_are_quantised_in_more_than_one_way() {
    let of_q = |bits: &str| format!("{Q} {bits}");
    let of_head = |bits: &str| format!("{HEAD} {bits}");
    let not = "not quantised";
    let cases: [(BitsOf, [String; 2]); 4] = [
        (
            |name| (name == Q).then_some(Bits::Four),
            [of_q("in 4 bits"), of_head(not)],
        ),
        (
            |name| Some(if name == Q { Bits::Four } else { Bits::Eight }),
            [of_q("in 4 bits"), of_head("in 8 bits")],
        ),
        (
            |name| (name != HEAD).then_some(Bits::Eight),
            ["in 8 bits".to_owned(), of_head(not)],
        ),
        // The head never has fewer than 8.
        (
            |_| Some(Bits::Four),
            ["in 4 bits".to_owned(), of_head("in 4 bits")],
        ),
    ];
    for (bits_of, named) in cases {
        let copy = with_weights(|tensors| pack(tensors, bits_of));
        let [first, second] = &named;
        assert_refused!(
            refused(copy.path()),
            ModelError::MixedQuantization { .. },
            first,
            second
        );
    }
}
