//! The decoder's products with weights, one kind after the other: which of them keep it from what the device can do.

use burn::tensor::{DType, Device, Tensor};
use glyph_model::Glm4v;
use glyph_model::layers::Linear;

use super::report::Product;
use super::steps::read_one;
use super::timing::measure;

/// A kind of linear layer: its name, and where it is in each layer of the decoder.
type Kind = (&'static str, fn(&Glm4v) -> Vec<&Linear>);

const KINDS: [Kind; 5] = [
    ("q_proj", |glm| {
        let layers = glm.model.language_model.layers.iter();
        layers.map(|layer| &layer.self_attn.q_proj).collect()
    }),
    ("o_proj", |glm| {
        let layers = glm.model.language_model.layers.iter();
        layers.map(|layer| &layer.self_attn.o_proj).collect()
    }),
    ("gate_up_proj", |glm| {
        let layers = glm.model.language_model.layers.iter();
        layers.map(|layer| &layer.mlp.gate_up_proj).collect()
    }),
    ("down_proj", |glm| {
        let layers = glm.model.language_model.layers.iter();
        layers.map(|layer| &layer.mlp.down_proj).collect()
    }),
    ("lm_head", |glm| glm.lm_head.iter().collect()),
];

/// Each kind of product over one row, as for a token of an answer, and over `n_rows`, as for a chunk of a prompt; the
/// output head has one row in both. A run goes through the weights of all layers, so that none is in a cache.
pub fn products(
    glm: &Glm4v,
    n_rows: usize,
    dtype: DType,
    device: &Device,
    repeat: usize,
) -> Result<Vec<Product>, String> {
    let mut products = Vec::new();
    for (name, of) in KINDS {
        let layers = of(glm);
        let Some([d_out, d_in]) = layers.first().map(|linear| linear.shape()) else {
            continue;
        };
        for rows in [1, n_rows] {
            if name == "lm_head" && rows > 1 {
                continue;
            }
            let x = Tensor::<2>::full([rows, d_in], 0.01, (device, dtype));
            let seconds = measure(device, repeat, || {
                let mut last = None;
                for linear in &layers {
                    last = Some(linear.forward(x.clone()));
                    device.flush().map_err(|error| error.to_string())?;
                }
                last.map_or(Ok(()), read_one)
            })?
            .per(layers.len());
            let weight_bytes: u64 = layers
                .iter()
                .map(|linear| weight_bytes(linear, dtype))
                .sum();
            let weight_bytes = weight_bytes / layers.len() as u64;
            let flops = 2.0 * rows as f64 * d_in as f64 * d_out as f64;
            products.push(Product {
                name: name.to_owned(),
                rows,
                d_in,
                d_out,
                seconds,
                weight_bytes_per_s: weight_bytes as f64 / seconds.median,
                flops_per_s: flops / seconds.median,
                share_of_copy: None,
                share_of_matmul: None,
            });
        }
    }
    Ok(products)
}

fn weight_bytes(linear: &Linear, dtype: DType) -> u64 {
    let n = linear.shape().iter().map(|n| *n as u64).product();
    match linear.quantized() {
        Some(weight) => weight.bits().matrix_bytes(n),
        None => n * dtype.size() as u64,
    }
}
