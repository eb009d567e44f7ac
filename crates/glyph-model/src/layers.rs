//! The four layers that vision tower and decoder are made of, each with its weight named and laid out as in
//! the checkpoint.

use burn::module::{Module, Param, ParamId};
use burn::tensor::activation::{self, silu};
use burn::tensor::{Device, Distribution, FloatDType, Int, Shape, Tensor, TensorData, module};

use crate::cpu::{self, PackedWeight};
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

/// `silu(gate) · up`.
pub(crate) fn silu_product<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if cpu::has_values(&gate) {
        let dims = gate.dims();
        let mut values = cpu::values(gate).into_vec();
        cpu::silu_product(&mut values, &cpu::values(up));
        return cpu::tensor(values, dims);
    }
    silu(gate) * up
}

/// `x · (1 + erf(x / √2)) / 2`.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if cpu::has_values(&x) {
        let dims = x.dims();
        let mut values = cpu::values(x).into_vec();
        cpu::gelu(&mut values);
        return cpu::tensor(values, dims);
    }
    activation::gelu(x)
}

/// `y = x · Wᵀ + b`, `W` `[d_out, d_in]` row-major as published, so that loading copies nothing around.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_out, d_in]`; `None` once it is quantised.
    weight: Option<Param<Tensor<2>>>,
    /// `[d_out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The weight as the kernels of this machine read it.
    #[module(skip)]
    packed: Option<PackedWeight>,
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
            packed: None,
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

    /// The weight as it is published, wherever it is; of a quantised one what its values stand for.
    pub fn published_weight(&self) -> Tensor<2> {
        match (&self.weight, &self.quantized) {
            (Some(weight), _) => published(weight, &self.packed),
            (None, Some(weight)) => weight.dequantize(),
            // Nothing but `set_quantized` takes the weight away.
            (None, None) => unreachable!("a linear layer without a weight"),
        }
    }

    /// The quantised weight, where it is.
    pub fn quantized(&self) -> Option<&QuantizedWeight> {
        self.quantized.as_ref()
    }

    /// Puts a quantised weight of the same shape in the place of the weight.
    pub(crate) fn set_quantized(&mut self, quantized: QuantizedWeight) {
        self.quantized = Some(quantized);
        (self.weight, self.packed) = (None, None);
    }

    /// # Shapes
    /// `[..., d_in]` → `[..., d_out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        let weight = match (&self.weight, &self.quantized) {
            (Some(weight), _) => weight,
            (None, Some(weight)) => return quantized_linear(x, weight, bias),
            // Nothing but `set_quantized` takes the weight away.
            (None, None) => unreachable!("a linear layer without a weight"),
        };
        match packed_if_valid(weight, &self.packed) {
            Some(packed) if cpu::has_values(&x) => packed.forward(x, bias),
            _ => linear(x, weight.val(), bias),
        }
    }

    /// The same for values in this machine's memory.
    ///
    /// # Shapes
    /// flat `[rows, d_in]` → flat `[rows, d_out]`.
    pub(crate) fn forward_here(&self, x: &[f32]) -> Vec<f32> {
        let [y] = Self::forward_each_here([self], x);
        y
    }

    /// The same rows through several layers of as many inputs: cores that share products meet once for all of them.
    ///
    /// # Shapes
    /// flat `[rows, d_in]` → each flat `[rows, d_out]`.
    pub(crate) fn forward_each_here<const N: usize>(
        layers: [&Self; N],
        x: &[f32],
    ) -> [Vec<f32>; N] {
        let biases = layers.map(|layer| {
            let bias = layer.bias.as_ref();
            bias.map(|bias| cpu::values(bias.val()))
        });
        let packed = layers.into_iter().zip(&biases).filter_map(|(layer, bias)| {
            let packed = packed_if_valid(layer.weight.as_ref()?, &layer.packed)?;
            Some((packed, bias.as_deref()))
        });
        if let Ok(packed) = packed.collect::<Vec<_>>().try_into() {
            return PackedWeight::apply_each::<N>(&packed, x);
        }
        let quantized = layers.into_iter().filter_map(Self::quantized);
        let quantized = quantized.collect::<Vec<_>>().try_into().ok();
        if let Some(mut all) =
            quantized.and_then(|all| QuantizedWeight::forward_each_here::<N>(all, x))
        {
            for (y, bias) in all.iter_mut().zip(&biases) {
                if let Some(bias) = bias {
                    y.iter_mut()
                        .zip(bias.iter().cycle())
                        .for_each(|(y, bias)| *y += bias);
                }
            }
            return all;
        }
        layers.map(|layer| {
            let [_, d_in] = layer.shape;
            let x: Tensor<2> = cpu::tensor(x.to_vec(), [x.len() / d_in.max(1), d_in]);
            cpu::values(layer.forward(x)).into_vec()
        })
    }

    /// Has a loaded weight lie as the kernels of this machine read it, where it is one that they take. The parameter
    /// then is a promise of the same values, which whoever asks for them has unpacked.
    pub(crate) fn pack(&mut self) {
        if let Some(weight) = &mut self.weight {
            pack(weight, &mut self.packed);
        }
    }
}

/// The packed weight, while it stands for the parameter: one that has a value again may have another one.
pub(crate) fn packed_if_valid<'a, const D: usize>(
    weight: &Param<Tensor<D>>,
    packed: &'a Option<PackedWeight>,
) -> Option<&'a PackedWeight> {
    packed.as_ref().filter(|_| !weight.is_initialized())
}

fn published(weight: &Param<Tensor<2>>, packed: &Option<PackedWeight>) -> Tensor<2> {
    match packed_if_valid(weight, packed) {
        Some(packed) => cpu::tensor(packed.unpacked(), packed.shape()),
        None => weight.val(),
    }
}

fn pack(weight: &mut Param<Tensor<2>>, packed: &mut Option<PackedWeight>) {
    if !weight.is_initialized() || !cpu::has_values(&weight.val()) {
        return;
    }
    let value = weight.val();
    let shape = value.dims();
    let new = PackedWeight::new(&cpu::values(value), shape);
    let promised = new.clone();
    promise(weight, move || {
        cpu::tensor(promised.unpacked(), promised.shape())
    });
    *packed = Some(new);
}

/// [`Linear::pack`] for the weight of a convolution, of which `matrix` makes what inputs are multiplied with,
/// `[d_out, d_in]`. The weight itself is kept as well: such a one is small.
pub(crate) fn pack_kernel<const D: usize>(
    weight: &mut Param<Tensor<D>>,
    packed: &mut Option<PackedWeight>,
    matrix: impl FnOnce(Tensor<D>) -> Tensor<2>,
) {
    if !weight.is_initialized() || !cpu::has_values(&weight.val()) {
        return;
    }
    let value = weight.val();
    let matrix = matrix(value.clone());
    let shape = matrix.dims();
    *packed = Some(PackedWeight::new(&cpu::values(matrix), shape));
    promise(weight, move || value);
}

/// Makes a parameter one that is worked out when somebody asks for it.
fn promise<const D: usize>(
    param: &mut Param<Tensor<D>>,
    value: impl FnOnce() -> Tensor<D> + Send + Sync + 'static,
) {
    let (id, shape, device) = (param.id, param.lazy_shape(), param.lazy_device());
    *param = Param::uninitialized(
        id,
        move |device, require_grad| value().to_device(device).set_require_grad(require_grad),
        device,
        true,
        shape,
    );
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
        if cpu::has_values(&x) {
            let dims = x.dims();
            let weight = cpu::values(self.weight.val());
            let normed = cpu::rms_norm(&cpu::values(x), &weight, self.eps as f32);
            return cpu::tensor(normed, dims);
        }
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
        if cpu::has_values(&x) {
            let dims = x.dims();
            let mut values = cpu::values(x).into_vec();
            let (weight, bias) = (self.weight.val(), self.bias.val());
            let eps = self.eps as f32;
            cpu::layer_norm(&mut values, &cpu::values(weight), &cpu::values(bias), eps);
            return cpu::tensor(values, dims);
        }
        module::layer_norm(x, self.weight.val(), Some(self.bias.val()), self.eps)
    }
}

/// A table of vectors by token id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab, d]`.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    packed: Option<PackedWeight>,
}

impl Embedding {
    pub(crate) fn new(vocab: usize, d: usize, device: &Device) -> Self {
        Self {
            weight: param([vocab, d], 0.0, INIT_STD, device),
            packed: None,
        }
    }

    /// # Shapes
    /// ids flat `[batch · seq]` → `[batch, seq, d]`.
    pub fn forward(&self, ids: &[u32], [batch, seq]: [usize; 2]) -> Tensor<3> {
        if let Some(packed) = packed_if_valid(&self.weight, &self.packed) {
            let [_, d] = packed.shape();
            let mut rows = Vec::with_capacity(ids.len() * d);
            ids.iter()
                .for_each(|id| packed.extend_with_row(*id as usize, &mut rows));
            return cpu::tensor(rows, [batch, seq, d]);
        }
        let weight = self.weight.val();
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch, seq]), &weight.device());
        module::embedding(weight, ids)
    }

    /// Scores of every token, where the table is the output head as well.
    ///
    /// # Shapes
    /// `[..., d]` → `[..., vocab]`.
    pub fn scores<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match packed_if_valid(&self.weight, &self.packed) {
            Some(packed) if cpu::has_values(&hidden) => packed.forward(hidden, None),
            _ => linear(hidden, self.weight.val(), None),
        }
    }

    /// Has a loaded table lie as the kernels of this machine read it; see [`Linear::pack`].
    pub(crate) fn pack(&mut self) {
        pack(&mut self.weight, &mut self.packed);
    }
}
