//! The device of a command, and the type that the model's numbers have on it.

use burn::tensor::{DType, Device};
use glyph_device::{DeviceChoice, DtypeChoice, OpenDevice, StoredType};
use glyph_model::weights::WeightFiles;

use crate::error::CliError;
use crate::output;

/// Where a model runs, and in which type.
#[derive(Debug, Clone)]
pub struct Target {
    /// The device, ready.
    pub device: OpenDevice,
    dtype: DtypeChoice,
}

impl Target {
    /// Opens the device, says why it was chosen where that was left to `auto`, and refuses a type that it lacks.
    pub fn open(choice: DeviceChoice, dtype: DtypeChoice) -> Result<Self, CliError> {
        let device = glyph_device::open(choice).map_err(|source| CliError::Device {
            choice: choice.to_string(),
            source: Box::new(source),
        })?;
        let target = Self { device, dtype };
        // What the checkpoint holds decides between types that are there.
        target.dtype_of(StoredType::F32)?;
        if let Some(reason) = &target.device.reason {
            output::note(reason);
        }
        Ok(target)
    }

    /// The type that a checkpoint runs in.
    pub fn dtype(&self, weights: &WeightFiles) -> Result<DType, CliError> {
        // What is quantised says nothing of the type that the rest was published in.
        let plain = weights.tensors().filter(|(_, info)| info.bits.is_none());
        let tensors = plain.map(|(_, info)| (info.dtype, info.stored_bytes() as u64));
        self.dtype_of(StoredType::of(tensors))
    }

    /// The type that weights published as `stored` run in.
    pub fn dtype_of(&self, stored: StoredType) -> Result<DType, CliError> {
        let dtype = self.device.dtype(self.dtype, stored);
        dtype.map_err(|source| CliError::Dtype {
            choice: self.dtype.to_string(),
            source: Box::new(source),
        })
    }

    /// Memory that the model can take; `None` where nothing says.
    pub fn free_bytes(&self) -> Option<u64> {
        if self.device.is_cpu() {
            return glyph_device::free_host_bytes();
        }
        self.device.memory.map(|memory| memory.free_bytes)
    }
}

/// A device to describe a model on, without running it.
pub fn host() -> Device {
    Device::flex()
}
