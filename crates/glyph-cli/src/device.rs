//! The device of a command, and the type that the model's numbers have on it.

use burn::tensor::{DType, Device};
use glyph_device::{DeviceChoice, DtypeChoice, OpenDevice, StoredType};
use glyph_model::ModelError;
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
        let target = Self::open_untold(choice, dtype)?;
        if let Some(reason) = &target.device.reason {
            output::note(reason);
        }
        Ok(target)
    }

    /// Opens the device and refuses a type that it lacks; leaves it to the caller to tell why it was chosen.
    pub fn open_untold(choice: DeviceChoice, dtype: DtypeChoice) -> Result<Self, CliError> {
        let device = glyph_device::open(choice).map_err(|source| CliError::Device {
            choice: choice.to_string(),
            source: Box::new(source),
        })?;
        let target = Self { device, dtype };
        // What the checkpoint holds decides between types that are there.
        target.dtype_of(StoredType::F32)?;
        Ok(target)
    }

    /// The type that a checkpoint runs in.
    pub fn dtype(&self, weights: &WeightFiles) -> Result<DType, CliError> {
        self.dtype_of(published_type(weights))
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

    /// Does a piece of work on the device. Where it ends because the device failed, the error says which device, and what
    /// helps.
    pub fn guarded<T>(&self, work: impl FnOnce() -> Result<T, CliError>) -> Result<T, CliError> {
        let failed = |reason: &str| CliError::Device {
            choice: self.device.name.clone(),
            source: Box::new(self.device.failure(reason)),
        };
        let done = glyph_device::guarded(work, |reason| failed(&reason));
        done.map_err(|error| said_by_device(&error).map(failed).unwrap_or(error))
    }
}

/// What the device said, of an error that is its own.
fn said_by_device(error: &CliError) -> Option<&str> {
    match error {
        CliError::Run(ModelError::Read { reason })
        | CliError::Model {
            source: ModelError::Read { reason },
            ..
        } => Some(reason),
        _ => None,
    }
}

/// The type that a checkpoint was published in. What is quantised says nothing of it.
pub fn published_type(weights: &WeightFiles) -> StoredType {
    let plain = weights.tensors().filter(|(_, info)| info.bits.is_none());
    StoredType::of(plain.map(|(_, info)| (info.dtype, info.stored_bytes() as u64)))
}

/// A device to describe a model on, without running it.
pub fn host() -> Device {
    Device::flex()
}

#[cfg(test)]
mod tests {
    use glyph_device::{DeviceChoice, DtypeChoice};
    use glyph_model::ModelError;

    use super::Target;
    use crate::error::CliError;

    /// Code and message of work that ends so on the CPU.
    fn ends(work: impl FnOnce() -> Result<(), CliError>) -> (u8, String) {
        let target = Target::open(DeviceChoice::Cpu, DtypeChoice::Auto).unwrap();
        let error = target.guarded(work).unwrap_err();
        (error.exit_code(), error.to_string())
    }

    #[test]
    fn work_that_the_device_fails_is_an_error_of_the_device() {
        let read = |reason: &str| ModelError::Read {
            reason: reason.to_owned(),
        };
        let of_load = || CliError::Model {
            name: "a".to_owned(),
            source: read("out of device memory"),
        };
        for (code, message) in [
            ends(|| panic!("wgpu error: Out of Memory")),
            ends(|| Err(CliError::Run(read("out of device memory\nBacktrace")))),
            ends(|| Err(of_load())),
        ] {
            assert_eq!(code, 6, "{message}");
            for part in [
                "the device cpu cannot be used",
                "no memory left",
                "--quantize",
            ] {
                assert!(message.contains(part), "no {part} in {message}");
            }
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        let (code, message) = ends(|| panic!("no such kernel"));
        assert_eq!(code, 6);
        assert!(
            message.contains("broke off: no such kernel. Try"),
            "{message}"
        );
        // What is wrong with something else stays so.
        let usage = || Err(CliError::Usage("give a question".to_owned()));
        assert_eq!(ends(usage), (2, "give a question".to_owned()));
    }
}
