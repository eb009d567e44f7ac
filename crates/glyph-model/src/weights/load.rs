//! Streaming the weights of a checkpoint into a module tree whose paths are the tensor names.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::f16;

use super::cast::cast;
use super::source::WeightFiles;
use crate::error::{ModelError, Result};
use crate::model::Glm4v;
use crate::quantize::{Bits, PackedMatrix, Quantization, QuantizedWeight, TOKEN_TABLE};

/// What loading found besides the tensors that it used.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Tensors in the files that the model has no use for.
    pub unexpected: Vec<String>,
}

/// What weights are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadAs {
    /// Type of all that is not quantised, and of activations.
    pub dtype: DType,
    /// How linear layers are quantised while they are loaded; `None` leaves them as the files have them.
    pub quantization: Option<Quantization>,
}

impl From<DType> for LoadAs {
    fn from(dtype: DType) -> Self {
        Self {
            dtype,
            quantization: None,
        }
    }
}

/// Loads a model, linear layers quantised where the files have them so or `load_as` asks for it: tensor by tensor, each
/// dropped before the next. `device` is the model's. `on_bytes` is called with the bytes of the tensors so far, in the
/// types that they have on the device.
///
/// # Errors
/// Those of [`load_weights`], with a line for every matrix that is quantised in another way than is asked for;
/// [`ModelError::Pack`] for the first that holds what cannot be quantised.
pub fn load_model(
    model: Glm4v,
    files: &WeightFiles,
    device: &Device,
    load_as: impl Into<LoadAs>,
    is_wanted: impl Fn(&str) -> bool,
    mut on_bytes: impl FnMut(usize),
) -> Result<(Glm4v, LoadReport)> {
    let LoadAs {
        dtype,
        quantization,
    } = load_as.into();
    let mut problems = Vec::new();
    let mut bits_of = |name: &str, shape: &[usize]| {
        let asked = quantization.and_then(|q| q.bits_of(name, shape));
        let stored = files.info(name)?.bits;
        if let (Some(asked), Some(stored)) = (asked, stored)
            && asked != stored
        {
            problems.push(format!(
                "{name} is quantised to {} bits already and cannot be made {}",
                stored.count(),
                asked.count()
            ));
        }
        stored.or(asked)
    };
    let mut model = model;
    let packed: HashMap<String, Bits> = model
        .quantizable()
        .filter_map(|(name, linear)| {
            let bits = bits_of(&name, &linear.shape())?;
            Some((name, bits))
        })
        .collect();
    if !problems.is_empty() {
        return Err(ModelError::Weights { problems });
    }
    let mut n_bytes = 0;
    // A tied table is multiplied with as well, in the type of the activations.
    let table_dtype = match !packed.is_empty() && model.lm_head.is_some() {
        true => table_dtype(files, dtype, device),
        false => dtype,
    };
    let dtype_of = |name: &str| match name {
        TOKEN_TABLE => table_dtype,
        _ => dtype,
    };
    let (mut model, report) = load_each(
        model,
        files,
        dtype_of,
        |name| is_wanted(name) && !packed.contains_key(name),
        |so_far| {
            n_bytes = so_far;
            on_bytes(n_bytes);
        },
    )?;
    let mut in_flight = InFlight::default();
    for (name, linear) in model.quantizable() {
        let (Some(bits), Some(info)) = (packed.get(&name), files.info(&name)) else {
            continue;
        };
        if !is_wanted(&name) {
            continue;
        }
        let matrix = match files.packed(&name, info)? {
            Some(matrix) => matrix,
            None => {
                let stored = files.stored(&name, info)?;
                PackedMatrix::quantize(&stored, info.dtype, linear.shape(), *bits)
                    .map_err(|error| error.of(&name))?
            }
        };
        files.release(info);
        if dtype == DType::F16 {
            check_reach(&matrix, &name)?;
        }
        let [d_out, d_in] = linear.shape();
        n_bytes += bits.matrix_bytes((d_out * d_in) as u64) as usize;
        on_bytes(n_bytes);
        let weight = QuantizedWeight::new(matrix, device);
        in_flight.add(weight.stored_bytes() as usize, device);
        linear.set_quantized(weight);
    }
    in_flight.finish()?;
    Ok((model, report))
}

/// Refuses a matrix that stands for a value which f16 does not reach.
fn check_reach(matrix: &PackedMatrix, tensor: &str) -> Result<()> {
    let (value, largest) = (matrix.farthest(), f16::MAX.to_f32());
    if value > largest {
        return Err(ModelError::Overflow {
            tensor: tensor.to_owned(),
            value,
            largest,
        });
    }
    Ok(())
}

/// The type that the token table of a quantised model with an output head of its own has on a device, whose activations
/// are of `dtype`: the one that it is stored in, where that is smaller and the device has it. A table that is quantised
/// in the files is dequantised, since rows of it are looked up.
pub fn table_dtype(files: &WeightFiles, dtype: DType, device: &Device) -> DType {
    let stored = files.info(TOKEN_TABLE).filter(|info| info.bits.is_none());
    stored
        .map(|info| info.dtype)
        .filter(|stored| stored.size() < dtype.size() && device.supports_dtype(*stored))
        .unwrap_or(dtype)
}

/// Loads every parameter of `module` from `files`, tensor by tensor, as `dtype`.
///
/// `on_tensor` is called with the bytes that the tensors so far take as `dtype`, for progress.
///
/// # Errors
/// [`ModelError::Weights`] listing every tensor that is missing, or there in a shape or type that cannot be used;
/// [`ModelError::Overflow`] for the first with a value that `dtype` does not reach; [`ModelError::Pack`] for the first that
/// is quantised and damaged; [`ModelError::Tensor`] for the first that cannot be read.
pub fn load_weights<M: Module>(
    module: M,
    files: &WeightFiles,
    dtype: DType,
    on_tensor: impl FnMut(usize),
) -> Result<(M, LoadReport)> {
    load_some_weights(module, files, dtype, |_| true, on_tensor)
}

/// [`load_weights`] for the parameters whose names `is_wanted` takes; the others stay as they are, but must be in the
/// files too.
///
/// # Errors
/// Those of [`load_weights`].
pub fn load_some_weights<M: Module>(
    module: M,
    files: &WeightFiles,
    dtype: DType,
    is_wanted: impl Fn(&str) -> bool,
    on_tensor: impl FnMut(usize),
) -> Result<(M, LoadReport)> {
    load_each(module, files, |_| dtype, is_wanted, on_tensor)
}

/// [`load_some_weights`], each as the type that `dtype_of` gives for its name.
fn load_each<M: Module>(
    module: M,
    files: &WeightFiles,
    dtype_of: impl Fn(&str) -> DType,
    is_wanted: impl Fn(&str) -> bool,
    on_tensor: impl FnMut(usize),
) -> Result<(M, LoadReport)> {
    // All problems are found before the first byte is read.
    let specs = tensor_specs(&module);
    let problems = problems(files, &specs);
    if !problems.is_empty() {
        return Err(ModelError::Weights { problems });
    }
    let expected: HashSet<String> = specs.into_iter().map(|(name, _)| name).collect();
    let mut loader = Loader {
        files,
        dtype_of,
        is_wanted,
        path: Vec::new(),
        n_bytes: 0,
        on_tensor,
        in_flight: InFlight::default(),
        error: None,
    };
    let module = module.map(&mut loader);
    if let Some(error) = loader.error {
        return Err(error);
    }
    loader.in_flight.finish()?;
    Ok((
        module,
        LoadReport {
            unexpected: files.others(&expected),
        },
    ))
}

/// A line for every tensor that is missing, or there in a shape or type that cannot be used.
pub(super) fn problems(files: &WeightFiles, specs: &[(String, Vec<usize>)]) -> Vec<String> {
    specs
        .iter()
        .filter_map(|(name, shape)| match files.info(name) {
            None => Some(match files.unreadable(name) {
                Some(dtype) => format!("{name} is {dtype:?}; F32, F16 and BF16 are read"),
                None => format!("{name} {shape:?} is missing"),
            }),
            Some(info) if info.shape != *shape => Some(format!(
                "{name} has shape {:?} where config.json asks for {shape:?}",
                info.shape
            )),
            Some(_) => None,
        })
        .collect()
}

/// Waits until the device has what was sent; what it says where that failed.
#[cfg(not(target_family = "wasm"))]
fn wait_for(device: &Device) -> Option<String> {
    device.sync().err().map(|error| error.to_string())
}

/// A browser cannot wait; its models are small.
#[cfg(target_family = "wasm")]
fn wait_for(_device: &Device) -> Option<String> {
    None
}

/// Name and shape of every parameter of a module, in its order.
pub fn tensor_specs<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    let mut specs = Specs {
        path: Vec::new(),
        specs: Vec::new(),
    };
    module.visit(&mut specs);
    specs.specs
}

struct Specs {
    path: Vec<String>,
    specs: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Specs {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.specs
            .push((self.path.join("."), param.lazy_shape().to_vec()));
    }
}

struct Loader<'a, F, W, T> {
    files: &'a WeightFiles,
    dtype_of: T,
    is_wanted: W,
    path: Vec<String>,
    n_bytes: usize,
    on_tensor: F,
    in_flight: InFlight,
    /// The first value that the type does not hold; nothing is read any more behind it.
    error: Option<ModelError>,
}

/// Bytes that go to a GPU before it is waited for: what is on its way is in the host's memory.
const MOST_IN_FLIGHT: usize = 512 << 20;

/// What is on its way to the device.
#[derive(Debug, Default)]
struct InFlight {
    n_bytes: usize,
    failure: Option<String>,
}

impl InFlight {
    /// Waits for the device where much is on its way.
    fn add(&mut self, n_bytes: usize, device: &Device) {
        self.n_bytes += n_bytes;
        if self.n_bytes >= MOST_IN_FLIGHT {
            self.n_bytes = 0;
            self.failure = self.failure.take().or(wait_for(device));
        }
    }

    fn finish(self) -> Result<()> {
        match self.failure {
            None => Ok(()),
            Some(reason) => Err(ModelError::Read { reason }),
        }
    }
}

impl<F, W, T> ModuleMapper for Loader<'_, F, W, T>
where
    F: FnMut(usize),
    W: Fn(&str) -> bool,
    T: Fn(&str) -> DType,
{
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        if self.error.is_some() || !(self.is_wanted)(&name) {
            return param;
        }
        let Some(info) = self.files.info(&name) else {
            return param;
        };
        let dtype = (self.dtype_of)(&name);
        let data = self.files.data(&name, info);
        let data = match data.and_then(|data| cast(data, dtype, &name)) {
            Ok(data) => data,
            Err(error) => {
                self.error = Some(error);
                return param;
            }
        };
        self.files.release(info);
        let n_bytes = data.as_bytes().len();
        self.n_bytes += n_bytes;
        (self.on_tensor)(self.n_bytes);
        let device = param.lazy_device();
        self.in_flight.add(n_bytes, &device);
        let tensor: Tensor<D> = placed(data, &device, dtype);
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// A tensor of loaded values. All that one output of a kernel reads goes to the device as one row: CUDA begins every
/// row at a multiple of at least 16 bytes, and those of a kernel's last axis are of a few.
fn placed<const D: usize>(data: TensorData, device: &Device, dtype: DType) -> Tensor<D> {
    if D <= 2 {
        return Tensor::from_data(data, (device, dtype));
    }
    let (bytes, shape, stored) = data.into_parts();
    let n_rows = shape[0];
    let row = shape.num_elements() / n_rows.max(1);
    let rows = TensorData::from_bytes(bytes, [n_rows, row], stored);
    Tensor::<2>::from_data(rows, (device, dtype)).reshape(shape)
}
