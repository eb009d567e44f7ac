//! The four layers that vision tower and decoder are made of, each with its weight named and laid out as in
//! the checkpoint.

use std::ops::RangeInclusive;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Distribution, FloatDType, Int, Shape, Tensor, module};

use crate::quantize::QuantizedWeight;

/// A parameter that takes memory only when it is first used or loaded: a normal distribution of deviation
/// `std` around `mean`.
pub(crate) fn param<const D: usize>(
    shape: [usize; D],
    mean: f64,
    std: f64,
    device: &Device,
) -> Param<Tensor<D>> {
    Param::uninitialized(
        ParamId::new(),
        move |device, require_grad| {
            let tensor = if std == 0.0 {
                Tensor::full(shape, mean, device)
            } else {
                Tensor::random(shape, Distribution::Normal(mean, std), device)
            };
            tensor.set_require_grad(require_grad)
        },
        device.clone(),
        true,
        Shape::from(shape),
    )
}

/// Standard deviation of untrained weights, as the reference implementation initialises them.
pub(crate) const INIT_STD: f64 = 0.02;

/// So few rows a CPU multiplies faster as columns: its product takes six columns at a time and whole
/// vectors of rows, and the rows of weights fill those, where eight requests that are answered together would not.
const ROWS_AS_COLUMNS: RangeInclusive<usize> = 2..=32;

/// `x · Wᵀ + b` with all leading axes folded into rows: a product of two matrices reads the transposed weight
/// where it lies, a batched one copies it first, which at one row a token costs more than the product.
///
/// # Shapes
/// x `[..., d_in]`, weight `[d_out, d_in]`, bias `[d_out]` → `[..., d_out]`.
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let mut shape = x.dims();
    let [d_out, d_in] = weight.dims();
    let n_rows = shape[..D - 1].iter().product();
    shape[D - 1] = d_out;
    let x: Tensor<2> = x.reshape([n_rows, d_in]);
    if ROWS_AS_COLUMNS.contains(&n_rows) && x.device() == Device::flex() {
        let y = weight.matmul(x.transpose()).transpose();
        return match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
        .reshape(shape);
    }
    module::linear(x, weight.transpose(), bias).reshape(shape)
}

/// [`linear`] with a quantised weight.
fn quantized_linear<const D: usize>(
    x: Tensor<D>,
    weight: &QuantizedWeight,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let mut shape = x.dims();
    let [d_out, d_in] = weight.shape();
    let n_rows = shape[..D - 1].iter().product();
    shape[D - 1] = d_out;
    let y = weight.forward(x.reshape([n_rows, d_in]));
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
    .reshape(shape)
}

/// `y = x · Wᵀ + b`, `W` `[d_out, d_in]` row-major as published, so that loading copies nothing around.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_out, d_in]`; `None` once it is quantised.
    weight: Option<Param<Tensor<2>>>,
    /// `[d_out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// What stands in the place of the weight. It is no parameter: nothing trains it, and what walks over parameters
    /// passes it by.
    #[module(skip)]
    quantized: Option<QuantizedWeight>,
    #[module(skip)]
    shape: [usize; 2],
}

impl Linear {
    /// Untrained weights, taking memory when first used.
    pub fn new(d_in: usize, d_out: usize, bias: bool, device: &Device) -> Self {
        Self {
            weight: Some(param([d_out, d_in], 0.0, INIT_STD, device)),
            bias: bias.then(|| param([d_out], 0.0, 0.0, device)),
            quantized: None,
            shape: [d_out, d_in],
        }
    }

    /// `[d_out, d_in]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The weight, unless it is quantised.
    pub fn weight(&self) -> Option<&Param<Tensor<2>>> {
        self.weight.as_ref()
    }

    /// The quantised weight, where it is.
    pub fn quantized(&self) -> Option<&QuantizedWeight> {
        self.quantized.as_ref()
    }

    /// Puts a quantised weight of the same shape in the place of the weight.
    pub(crate) fn set_quantized(&mut self, quantized: QuantizedWeight) {
        self.quantized = Some(quantized);
        self.weight = None;
    }

    /// # Shapes
    /// `[..., d_in]` → `[..., d_out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        match (&self.weight, &self.quantized) {
            (Some(weight), _) => linear(x, weight.val(), bias),
            (None, Some(weight)) => quantized_linear(x, weight, bias),
            // Nothing but `set_quantized` takes the weight away.
            (None, None) => unreachable!("a linear layer without a weight"),
        }
    }
}

/// Root-mean-square norm as `Glm4vRMSNorm` computes it: statistics and normalisation in f32, cast back, then
/// the weight.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn new(d: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: param([d], 1.0, 0.0, device),
            eps,
        }
    }

    /// # Shapes
    /// `[..., d]` → `[..., d]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        let x = x.cast(FloatDType::F32);
        let mean_square = x.clone().square().mean_dim(D - 1);
        let x = x * (mean_square + self.eps).sqrt().recip();
        x.cast(dtype) * self.weight.val().unsqueeze()
    }
}

/// Layer norm with weight and bias (the merger's only).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    /// `[d]`.
    pub bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn new(d: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: param([d], 1.0, 0.0, device),
            bias: param([d], 0.0, 0.0, device),
            eps,
        }
    }

    /// # Shapes
    /// `[..., d]` → `[..., d]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        module::layer_norm(x, self.weight.val(), Some(self.bias.val()), self.eps)
    }
}

/// A table of vectors by token id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab, d]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    pub(crate) fn new(vocab: usize, d: usize, device: &Device) -> Self {
        Self {
            weight: param([vocab, d], 0.0, INIT_STD, device),
        }
    }

    /// # Shapes
    /// ids `[batch, seq]` → `[batch, seq, d]`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        module::embedding(self.weight.val(), ids)
    }
}
