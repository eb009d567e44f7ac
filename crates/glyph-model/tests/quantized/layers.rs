//! One layer: what it computes from packed values is what the values that they stand for would give.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use glyph_model::layers::Linear;
use glyph_model::quantize::{Bits, TensorLayout};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::device;

/// Largest difference over the largest value. GPUs may multiply f32 with 10 bits of fraction.
const TOLERANCE: f32 = 2e-3;

/// Rows, inputs, outputs: of one token, of a few, of a prompt; widths of fixtures, of glyph-mini and of the 9B model,
/// and outputs that no tile divides.
const SHAPES: [[usize; 3]; 14] = [
    [1, 32, 1],
    [1, 96, 40],
    [1, 320, 7],
    [1, 1024, 1024],
    [1, 13_696, 64],
    [2, 64, 257],
    [3, 13_696, 33],
    [4, 128, 96],
    [8, 384, 1000],
    [16, 4096, 72],
    [33, 256, 24],
    [49, 1536, 129],
    [64, 512, 512],
    [257, 2048, 320],
];

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

/// Shapes that nobody has chosen: rows of odd, prime and round numbers of blocks, one more or less than tiles have.
fn drawn_shapes() -> impl Iterator<Item = [usize; 3]> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    (0..24).map(move |_| {
        let n = rng.random_range(1..=130);
        let d_in = 32 * rng.random_range(1..=41);
        [n, d_in, rng.random_range(1..=700)]
    })
}

#[test]
fn packed_products_are_those_of_the_dequantised_weight() {
    let device = device();
    for bits in [Bits::Four, Bits::Eight] {
        for shape in SHAPES {
            for has_bias in [false, true] {
                check(bits, shape, has_bias, &device);
            }
        }
        for shape in drawn_shapes() {
            check(bits, shape, false, &device);
        }
    }
}

fn check(bits: Bits, [n, d_in, d_out]: [usize; 3], has_bias: bool, device: &Device) {
    let what = format!("{bits:?}, {n} rows, {d_in} to {d_out}, bias {has_bias}");
    let mut layer = Linear::new(d_in, d_out, has_bias, device);
    let original = layer.weight().unwrap().val();
    if has_bias {
        let bias: Vec<f32> = (0..d_out).map(|i| i as f32 / 8.0 - 1.0).collect();
        let bias = Tensor::from_data(TensorData::new(bias, [d_out]), device);
        layer.bias = layer.bias.map(|param| param.map(|_| bias));
    }
    layer.quantize("layer", bits).unwrap();
    let quantized = layer.quantized().unwrap();
    assert_eq!(
        (quantized.bits(), quantized.shape()),
        (bits, [d_out, d_in]),
        "{what}"
    );
    let foretold = TensorLayout::of(device).matrix_bytes(bits, [d_out, d_in]);
    assert_eq!(quantized.stored_bytes(), foretold, "{what}");

    // Half a step of the largest value of any block, and what f16 takes off the scale.
    let dense = values(quantized.dequantize());
    let most = values(original.clone())
        .iter()
        .fold(0.0_f32, |most, x| most.max(x.abs()));
    let step = most / if bits == Bits::Four { 7.0 } else { 127.0 };
    for (x, y) in values(original).iter().zip(&dense) {
        assert!((x - y).abs() <= 1.2 * step, "{what}: {x} became {y}");
    }
    assert!(layer.weight().is_none(), "{what}");
    assert_eq!(values(layer.published_weight()), dense, "{what}");

    let x = Tensor::<2>::random([n, d_in], Distribution::Normal(0.0, 1.0), device);
    let found = layer.forward(x.clone());
    assert_eq!(found.dims(), [n, d_out], "{what}");
    let found = values(found);
    let cpu = Device::flex();
    let on_cpu = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), &cpu)
    };
    let expected = on_cpu(values(x), [n, d_in]).matmul(on_cpu(dense, [d_out, d_in]).transpose());
    let expected = match &layer.bias {
        Some(bias) => expected + on_cpu(values(bias.val()), [1, d_out]),
        None => expected,
    };
    let expected = values(expected);
    let most = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let off = (found - expected).abs() / most;
        assert!(
            off <= TOLERANCE,
            "{what}: value {i} is {found}, not {expected}"
        );
    }
}

#[test]
fn leading_axes_are_kept() {
    let device = device();
    let mut layer = Linear::new(64, 5, true, &device);
    layer.quantize("layer", Bits::Eight).unwrap();
    let x = Tensor::<3>::random([2, 3, 64], Distribution::Normal(0.0, 1.0), &device);
    let y = layer.forward(x.clone());
    assert_eq!(y.dims(), [2, 3, 5]);
    let flat = layer.forward(x.reshape([6, 64]));
    let (y, flat) = (values(y), values(flat));
    assert!(y.iter().zip(&flat).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_row_of_no_whole_blocks_is_refused() {
    let mut layer = Linear::new(40, 8, false, &device());
    let error = layer.quantize("narrow", Bits::Four).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("narrow") && error.contains("[8, 40]"),
        "{error}"
    );
    assert!(layer.quantized().is_none());
}
