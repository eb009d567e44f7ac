//! NVIDIA's GPUs by CUDA. All that can be missing is asked for before burn is: burn panics where it is.

#[cfg(any(feature = "cuda", test))]
mod checks;
#[cfg(feature = "cuda")]
mod probe;

#[cfg(feature = "cuda")]
pub use probe::{list, open};

#[cfg(not(feature = "cuda"))]
pub use absent::{list, open};

/// A build without CUDA.
#[cfg(not(feature = "cuda"))]
mod absent {
    use crate::error::DeviceError;
    use crate::nvml;
    use crate::open::OpenDevice;
    use crate::report::{Backend, DeviceReport};

    /// Refuses.
    pub fn open(_index: usize) -> Result<OpenDevice, DeviceError> {
        Err(DeviceError::CudaNotBuilt)
    }

    /// The GPUs that this build cannot use.
    pub fn list() -> Vec<DeviceReport> {
        let problem = DeviceError::CudaNotBuilt.to_string();
        let unusable = DeviceReport::unusable("cuda", Backend::Cuda, problem);
        let gpus = nvml::gpus();
        if gpus.is_empty() {
            return vec![unusable];
        }
        let driver = nvml::driver_release();
        let report = |(index, gpu): (usize, nvml::Gpu)| DeviceReport {
            name: format!("cuda:{index}"),
            description: gpu.name,
            total_bytes: gpu.memory_bytes.map(|(total, _)| total),
            free_bytes: gpu.memory_bytes.map(|(_, free)| free),
            driver: driver.clone(),
            ..unusable.clone()
        };
        gpus.into_iter().enumerate().map(report).collect()
    }
}
