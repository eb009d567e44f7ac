//! A module tree as one safetensors file, by tensor name.

use std::borrow::Cow;
use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::{Dtype, View};

use crate::error::{ModelError, Result};

/// Stored type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedDType {
    /// 32 bit, what training continues from.
    F32,
    /// 16 bit, what ships.
    F16,
}

/// Serialises every parameter of `module`. Reads the device synchronously: a training tool, not for a browser.
///
/// # Errors
/// [`ModelError::Read`] when a tensor cannot be read back or serialised.
pub fn safetensors_bytes<M: Module>(module: &M, dtype: SavedDType) -> Result<Vec<u8>> {
    let mut collector = Collector {
        path: Vec::new(),
        dtype,
        tensors: Vec::new(),
        failure: None,
    };
    module.visit(&mut collector);
    if let Some(reason) = collector.failure {
        return Err(ModelError::Read { reason });
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(collector.tensors, Some(metadata)).map_err(|error| ModelError::Read {
        reason: error.to_string(),
    })
}

struct Collector {
    path: Vec<String>,
    dtype: SavedDType,
    tensors: Vec<(String, Saved)>,
    failure: Option<String>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let dtype = match self.dtype {
            SavedDType::F32 => DType::F32,
            SavedDType::F16 => DType::F16,
        };
        match param.val().try_into_data() {
            Ok(data) => self
                .tensors
                .push((name, Saved(data.convert_dtype(dtype), self.dtype))),
            Err(error) => self.failure = Some(format!("{name}: {error}")),
        }
    }
}

struct Saved(TensorData, SavedDType);

impl View for Saved {
    fn dtype(&self) -> Dtype {
        match self.1 {
            SavedDType::F32 => Dtype::F32,
            SavedDType::F16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.shape().as_slice()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.0.as_bytes())
    }

    fn data_len(&self) -> usize {
        self.0.as_bytes().len()
    }
}
