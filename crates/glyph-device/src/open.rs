//! Opening a device.

use burn::tensor::{DType, Device};

use crate::choice::DeviceChoice;
use crate::dtype::{DtypeChoice, Dtypes, StoredType, dtype_name};
use crate::error::DeviceError;
use crate::report::{Backend, DeviceReport};
use crate::{cpu, cuda, wgpu};

/// Memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// All of it.
    pub total_bytes: u64,
    /// What could be had when the device was opened.
    pub free_bytes: u64,
}

/// A device that is ready.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// Name as `--device` takes it, such as `cuda:0`.
    pub name: String,
    /// What runs the kernels.
    pub backend: Backend,
    /// The part, as its driver names it.
    pub description: String,
    /// Whether a CPU does a GPU's work.
    pub is_software: bool,
    /// Driver and version.
    pub driver: Option<String>,
    /// Why `auto` took it, in one line; `None` when it was named.
    pub reason: Option<String>,
    /// burn's handle.
    pub device: Device,
    /// Number types that it computes in.
    pub dtypes: Dtypes,
    /// Its memory, where it is known.
    pub memory: Option<DeviceMemory>,
    /// The most bytes of one tensor, where there is a bound below its memory.
    pub most_buffer_bytes: Option<u64>,
}

impl OpenDevice {
    /// Whether the model runs on this machine's cores, in this machine's memory.
    pub fn is_cpu(&self) -> bool {
        self.backend == Backend::Cpu
    }

    /// The type that a checkpoint of `stored` runs in. `auto` is f32 on a CPU, which computes in it the fastest; on
    /// CUDA 16 bits, those that the checkpoint has, else bf16; by wgpu f16 for a checkpoint of 16 bits where the
    /// adapter has it, else f32.
    ///
    /// # Errors
    /// [`DeviceError::Dtype`] for a type that the device does not compute in.
    pub fn dtype(&self, choice: DtypeChoice, stored: StoredType) -> Result<DType, DeviceError> {
        if let Some(dtype) = choice.dtype() {
            return match self.dtypes.contains(dtype) {
                true => Ok(dtype),
                false => Err(DeviceError::Dtype {
                    device: self.name.clone(),
                    description: self.description.clone(),
                    dtype: dtype_name(dtype),
                    supported: self.dtypes.names(),
                }),
            };
        }
        let Dtypes { f16, bf16 } = self.dtypes;
        Ok(match (self.backend, stored) {
            (Backend::Cpu, _) => DType::F32,
            (Backend::Cuda, StoredType::F16) if f16 => DType::F16,
            (Backend::Cuda, _) if bf16 => DType::BF16,
            (_, StoredType::F16 | StoredType::Bf16) if f16 => DType::F16,
            _ => DType::F32,
        })
    }

    /// Checks that the device has buffers for a model's tensors of so many bytes. `remedies` is what would make the
    /// tensor of a name smaller.
    ///
    /// # Errors
    /// [`DeviceError::TensorTooLarge`] for the first that is larger.
    pub fn check_tensors<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, u64)>,
        remedies: impl FnOnce(&str) -> Vec<&'static str>,
    ) -> Result<(), DeviceError> {
        match self.first_too_large(tensors) {
            None => Ok(()),
            Some((tensor, n_bytes, most_bytes)) => Err(DeviceError::TensorTooLarge {
                device: self.name.clone(),
                description: self.description.clone(),
                tensor: tensor.to_owned(),
                n_bytes,
                most_bytes,
                remedies: remedies(tensor),
            }),
        }
    }

    /// Checks that the device has buffers for a request's tensors of so many bytes, which are named in the plural.
    ///
    /// # Errors
    /// [`DeviceError::RequestTooLarge`] for the first that is larger.
    pub fn check_request<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<(), DeviceError> {
        match self.first_too_large(tensors) {
            None => Ok(()),
            Some((tensor, n_bytes, most_bytes)) => Err(DeviceError::RequestTooLarge {
                device: self.name.clone(),
                description: self.description.clone(),
                tensor: tensor.to_owned(),
                n_bytes,
                most_bytes,
            }),
        }
    }

    /// Why work on it was not done, by what its backend says.
    pub fn failure(&self, reason: &str) -> DeviceError {
        DeviceError::of_work(&self.name, &self.description, reason)
    }

    /// The first tensor that is larger than a buffer, its bytes and the most that a buffer holds.
    fn first_too_large<'a>(
        &self,
        tensors: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Option<(&'a str, u64, u64)> {
        let most_bytes = self.most_buffer_bytes?;
        let mut tensors = tensors.into_iter();
        let (tensor, n_bytes) = tensors.find(|(_, n_bytes)| *n_bytes > most_bytes)?;
        Some((tensor, n_bytes, most_bytes))
    }

    fn because(self, reason: &str) -> Self {
        let Self {
            name, description, ..
        } = &self;
        Self {
            reason: Some(format!("{name} ({description}) was chosen: {reason}")),
            ..self
        }
    }
}

/// Opens a device, after everything that it needs was found.
///
/// # Errors
/// [`DeviceError`] with what is missing and the remedy. `auto` never fails: there is always a CPU.
pub fn open(choice: DeviceChoice) -> Result<OpenDevice, DeviceError> {
    match choice {
        DeviceChoice::Auto => Ok(best()),
        DeviceChoice::Cpu => Ok(cpu::open()),
        DeviceChoice::Cuda(index) => cuda::open(index),
        DeviceChoice::Wgpu(index) => wgpu::open(index),
    }
}

/// CUDA, then a GPU by wgpu, then the CPU.
fn best() -> OpenDevice {
    const FIRST: &str = "it is the first GPU of CUDA that can be used";
    let no_cuda = match cuda::open(0) {
        Ok(device) => return device.because(FIRST),
        Err(error) => error.in_short(),
    };
    // One GPU may be another program's own, and the next one free.
    let mut others = 1..cuda::list().len();
    if let Some(device) = others.find_map(|index| cuda::open(index).ok()) {
        return device.because(FIRST);
    }
    match wgpu::open_gpu() {
        Ok(device) => device.because(&format!("it is the best GPU of wgpu, and {no_cuda}")),
        Err(no_gpu) => cpu::open().because(&format!("{no_cuda}, and {no_gpu}")),
    }
}

/// All devices, those that cannot be used with the reason, in the order in which `auto` tries them.
pub fn list() -> Vec<DeviceReport> {
    let mut reports = cuda::list();
    reports.extend(wgpu::list());
    reports.push(cpu::report());
    reports
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::{OpenDevice, list, open};
    use crate::choice::DeviceChoice;
    use crate::cpu;
    use crate::dtype::{DtypeChoice, Dtypes, StoredType};
    use crate::error::DeviceError;
    use crate::report::Backend;

    fn device(backend: Backend, f16: bool, bf16: bool) -> OpenDevice {
        OpenDevice {
            name: format!("{}:0", backend.name()),
            backend,
            dtypes: Dtypes { f16, bf16 },
            ..cpu::open()
        }
    }

    #[test]
    fn auto_takes_the_type_that_suits_device_and_checkpoint() {
        use StoredType::{Bf16, F16, F32};
        let cpu = device(Backend::Cpu, true, true);
        let ampere = device(Backend::Cuda, true, true);
        let turing = device(Backend::Cuda, true, false);
        let wgpu = device(Backend::Wgpu, true, false);
        let plain = device(Backend::Wgpu, false, false);
        for (device, stored, dtype) in [
            (&cpu, F16, DType::F32),
            (&cpu, Bf16, DType::F32),
            (&ampere, Bf16, DType::BF16),
            (&ampere, F32, DType::BF16),
            (&ampere, F16, DType::F16),
            (&turing, Bf16, DType::F16),
            (&turing, F32, DType::F32),
            (&wgpu, F16, DType::F16),
            (&wgpu, Bf16, DType::F16),
            (&wgpu, F32, DType::F32),
            (&plain, F16, DType::F32),
            (&plain, Bf16, DType::F32),
        ] {
            let chosen = device.dtype(DtypeChoice::Auto, stored).unwrap();
            assert_eq!(chosen, dtype, "{} {stored:?}", device.name);
        }
    }

    #[test]
    fn a_type_that_the_device_lacks_is_refused_by_name() {
        let wgpu = device(Backend::Wgpu, true, false);
        assert_eq!(
            wgpu.dtype(DtypeChoice::F16, StoredType::F32).unwrap(),
            DType::F16
        );
        assert_eq!(
            wgpu.dtype(DtypeChoice::F32, StoredType::Bf16).unwrap(),
            DType::F32
        );
        let error = wgpu.dtype(DtypeChoice::Bf16, StoredType::Bf16).unwrap_err();
        let message = error.to_string();
        for part in ["wgpu:0", "bf16", "f32, f16"] {
            assert!(message.contains(part), "no {part} in {message}");
        }
    }

    #[test]
    fn a_tensor_larger_than_a_buffer_is_refused_by_name() {
        let tensors = [("a", 1 << 20), ("lm_head.weight", 1 << 30)];
        let device = OpenDevice {
            most_buffer_bytes: Some(128 << 20),
            ..device(Backend::Wgpu, true, false)
        };
        for (remedies, choices) in [
            (vec![], "Choose another device"),
            (
                vec!["a smaller --dtype", "--quantize q8"],
                "Choose a smaller --dtype, --quantize q8 or another device",
            ),
        ] {
            let remedies_of = |name: &str| match name {
                "lm_head.weight" => remedies,
                _ => vec!["what another tensor asks for"],
            };
            let error = device.check_tensors(tensors, remedies_of).unwrap_err();
            assert!(
                matches!(&error, DeviceError::TensorTooLarge { tensor, .. } if tensor == "lm_head.weight")
            );
            let message = error.to_string();
            assert!(message.ends_with(choices), "{message}");
        }
        assert!(cpu::open().check_tensors(tensors, |_| vec![]).is_ok());
    }

    #[test]
    fn a_request_larger_than_a_buffer_is_refused_with_what_makes_it_smaller() {
        const MOST_BYTES: u64 = 128 << 20;
        let device = OpenDevice {
            most_buffer_bytes: Some(MOST_BYTES),
            ..device(Backend::Wgpu, true, false)
        };
        let keys = |n_bytes: u64| [("the keys of 70000 tokens", n_bytes)];
        assert_eq!(device.check_request(keys(MOST_BYTES)), Ok(()));
        let error = device.check_request(keys(MOST_BYTES + 1)).unwrap_err();
        let message = error.to_string();
        for part in [
            "the keys of 70000 tokens",
            "134217729",
            "134217728",
            "shorter answer",
        ] {
            assert!(message.contains(part), "no {part} in {message}");
        }
        assert_eq!(cpu::open().check_request(keys(u64::MAX)), Ok(()));
    }

    #[test]
    fn auto_always_opens_something_and_says_why() {
        let device = open(DeviceChoice::Auto).unwrap();
        let reason = device.reason.unwrap();
        assert!(reason.starts_with(&device.name), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
        assert!(!device.is_software, "{reason}");
        assert_eq!(open(DeviceChoice::Cpu).unwrap().reason, None);
    }

    #[test]
    fn every_listed_device_opens_or_says_why_not() {
        let reports = list();
        assert_eq!(
            reports.last().map(|report| report.name.as_str()),
            Some("cpu")
        );
        for report in reports {
            let choice: DeviceChoice = report.name.parse().unwrap();
            match (open(choice), report.problem) {
                (Ok(device), None) => {
                    assert_eq!(device.name, report.name);
                    assert_eq!(device.dtypes.names(), report.dtypes);
                    assert_eq!(device.is_software, report.is_software);
                }
                // Another program may have it now.
                (Err(DeviceError::CudaOpen { .. }), None) if report.is_exclusive => {}
                (Err(error), Some(problem)) => assert_eq!(error.to_string(), problem),
                (opened, problem) => panic!("{}: {opened:?}, {problem:?}", report.name),
            }
        }
    }

    #[test]
    fn a_number_beyond_the_last_device_is_refused() {
        for choice in [DeviceChoice::Cuda(999), DeviceChoice::Wgpu(Some(999))] {
            let error = open(choice).unwrap_err().to_string();
            assert!(
                error.contains("Install") || error.contains("999") || error.contains("cargo build"),
                "{error}"
            );
        }
    }
}
