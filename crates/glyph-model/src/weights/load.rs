//! Streaming the weights of a checkpoint into a module tree whose paths are the tensor names.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};

use super::cast::cast;
use super::source::WeightFiles;
use crate::error::{ModelError, Result};

/// What loading found besides the tensors that it used.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Tensors in the files that the model has no use for.
    pub unexpected: Vec<String>,
}

/// Loads every parameter of `module` from `files`, tensor by tensor, as `dtype`.
///
/// `on_tensor` is called with the bytes read so far, for progress.
///
/// # Errors
/// [`ModelError::Weights`] listing every tensor that is missing, or there in a shape or type that cannot be used;
/// [`ModelError::Overflow`] for the first with a value that `dtype` does not reach.
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
    // All problems are found before the first byte is read.
    let specs = tensor_specs(&module);
    let problems: Vec<String> = specs
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
        .collect();
    if !problems.is_empty() {
        return Err(ModelError::Weights { problems });
    }
    let expected: HashSet<String> = specs.into_iter().map(|(name, _)| name).collect();
    let mut loader = Loader {
        files,
        dtype,
        is_wanted,
        path: Vec::new(),
        n_bytes: 0,
        on_tensor,
        is_linear: false,
        error: None,
    };
    let module = module.map(&mut loader);
    if let Some(error) = loader.error {
        return Err(error);
    }
    Ok((
        module,
        LoadReport {
            unexpected: files.others(&expected),
        },
    ))
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

struct Loader<'a, F, W> {
    files: &'a WeightFiles,
    dtype: DType,
    is_wanted: W,
    path: Vec<String>,
    n_bytes: usize,
    on_tensor: F,
    /// Whether the module that was entered last is a linear layer.
    is_linear: bool,
    /// The first value that the type does not hold; nothing is read any more behind it.
    error: Option<ModelError>,
}

/// What burn calls a [`Linear`](crate::layers::Linear) when it walks through modules.
const LINEAR: &str = "Struct:Linear";

/// The same matrix with its columns side by side in memory: the CPU's products of a few rows with a transposed weight
/// would else bring all of it into that order every time.
#[allow(
    clippy::disallowed_methods,
    reason = "on the CPU, of which alone it is called, nothing is waited for"
)]
fn turned<const D: usize>(weight: Tensor<D>) -> Tensor<D> {
    let (device, dtype) = (weight.device(), weight.dtype());
    let data = weight.swap_dims(0, 1).into_data();
    Tensor::<D>::from_data(data, (&device, dtype)).swap_dims(0, 1)
}

impl<F: FnMut(usize), W: Fn(&str) -> bool> ModuleMapper for Loader<'_, F, W> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push(name.to_owned());
        self.is_linear = container_type == LINEAR;
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
        let data = match cast(self.files.data(info), self.dtype, &name) {
            Ok(data) => data,
            Err(error) => {
                self.error = Some(error);
                return param;
            }
        };
        self.n_bytes += data.as_bytes().len();
        (self.on_tensor)(self.n_bytes);
        let device = param.lazy_device();
        let mut tensor: Tensor<D> = Tensor::from_data(data, (&device, self.dtype));
        if D == 2 && self.is_linear && device.inner() == Device::flex() {
            tensor = turned(tensor);
        }
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}
