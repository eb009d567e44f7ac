//! Which devices there are, why one cannot be used, and how it is opened.
//!
//! burn opens a device when it is first used, on a thread of its own, and panics there when something is missing.
//! Here everything is asked for before: driver, GPU, compiler and headers for CUDA, adapters for wgpu. What is missing
//! is a [`DeviceError`] that names the remedy.

mod cache;
mod choice;
mod cpu;
mod cuda;
mod dtype;
mod error;
mod guard;
mod host_memory;
mod nvml;
mod open;
mod report;
mod wgpu;

pub use cache::{directory as kernel_cache_directory, kept as kept_kernels};
pub use choice::DeviceChoice;
pub use dtype::{DtypeChoice, Dtypes, StoredType, dtype_name};
pub use error::{DeviceError, OLDEST_DRIVER};
pub use guard::{guarded, show_panics_by};
pub use host_memory::free_bytes as free_host_bytes;
pub use nvml::{GpuReading, readings as gpu_readings};
pub use open::{DeviceMemory, OpenDevice, list, open};
pub use report::{Backend, DeviceReport};
pub use wgpu::set_runtime_directory;
