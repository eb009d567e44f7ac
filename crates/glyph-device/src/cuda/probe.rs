//! Driver, GPUs, compiler and headers as they are on this machine.

use burn::tensor::Device;
use cudarc::driver::result::{ctx, device, mem_get_info, primary_ctx};
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{DriverError, result, sys};
use cudarc::nvrtc::sys as nvrtc;

use super::checks::{
    ComputeMode, CudaVersion, check_driver, check_headers, check_nvrtc, check_nvrtc_age,
    driver_name, kernel_store, uuid_name,
};
use crate::dtype::Dtypes;
use crate::error::DeviceError;
use crate::open::{DeviceMemory, OpenDevice};
use crate::report::{Backend, DeviceReport};
use crate::{cache, nvml};

/// Least compute capability with arithmetic in f16, and in bf16.
const F16_CAPABILITY: i32 = 53;
const BF16_CAPABILITY: i32 = 80;

/// File name of the compiler's library.
const NVRTC_LIBRARY: &str = if cfg!(windows) {
    "nvrtc64_120_0.dll"
} else {
    "libnvrtc.so or libnvrtc.so.12"
};

/// The driver, once it has started.
struct Driver {
    release: Option<String>,
    cuda: CudaVersion,
}

/// A GPU that the driver sees.
struct Gpu {
    index: usize,
    handle: sys::CUdevice,
    name: String,
    /// Such as 89 for 8.9.
    capability: i32,
    total_bytes: u64,
    uuid: String,
    mode: ComputeMode,
}

impl Gpu {
    fn dtypes(&self) -> Dtypes {
        Dtypes {
            f16: self.capability >= F16_CAPABILITY,
            bf16: self.capability >= BF16_CAPABILITY,
        }
    }
}

/// Name of a driver's error, as its manual has it.
fn reason(error: DriverError) -> String {
    match error.error_name() {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(_) => format!("error {}", error.0 as u32),
    }
}

/// Loads and starts the driver.
fn driver() -> Result<Driver, DeviceError> {
    // SAFETY: it loads a library and nothing else; what the library runs then is the driver's.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::CudaNoDriver);
    }
    let mut version = 0;
    // SAFETY: the driver writes one number to a place that outlives the call.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(|error| DeviceError::CudaInit {
            reason: reason(error),
        })?;
    let driver = Driver {
        release: nvml::driver_release(),
        cuda: CudaVersion(version),
    };
    // Before it starts: an older one may lack what is called from there on.
    check_driver(driver.release.as_deref(), driver.cuda)?;
    match result::init() {
        Ok(()) => Ok(driver),
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Err(DeviceError::CudaNoGpu),
        Err(error) => Err(DeviceError::CudaInit {
            reason: reason(error),
        }),
    }
}

/// The GPUs that the driver sees, at least one; of one that does not answer, why.
fn gpus() -> Result<Vec<Result<Gpu, DeviceError>>, DeviceError> {
    let n_gpus = device::get_count().map_err(|error| DeviceError::CudaInit {
        reason: reason(error),
    })?;
    let no_answer = |index: i32, error: DriverError| DeviceError::CudaNoAnswer {
        index: index as usize,
        reason: reason(error),
    };
    let gpus: Vec<Result<Gpu, DeviceError>> = (0..n_gpus)
        .map(|index| gpu(index).map_err(|error| no_answer(index, error)))
        .collect();
    if gpus.is_empty() {
        return Err(DeviceError::CudaNoGpu);
    }
    Ok(gpus)
}

fn gpu(index: i32) -> Result<Gpu, DriverError> {
    let handle = device::get(index)?;
    // SAFETY: the handle is one that the driver gave.
    let attribute = |attribute| unsafe { device::get_attribute(handle, attribute) };
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: the handle is one that the driver gave.
    let total_bytes = unsafe { device::total_mem(handle) }? as u64;
    let uuid = device::get_uuid(handle)?;
    Ok(Gpu {
        index: index as usize,
        handle,
        name: device::get_name(handle)?,
        capability: 10 * major + minor,
        total_bytes,
        uuid: uuid_name(uuid.bytes.map(|byte| byte as u8)),
        mode: ComputeMode::of(attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE)?),
    })
}

/// Refuses a GPU that nobody may compute on, or whose kernels cannot be compiled; returns the version of what compiles
/// them.
fn check(driver: &Driver, gpu: &Gpu) -> Result<CudaVersion, DeviceError> {
    if gpu.mode == ComputeMode::Prohibited {
        return Err(DeviceError::CudaProhibited {
            index: gpu.index,
            name: gpu.name.clone(),
        });
    }
    check_toolkit(driver, gpu)
}

/// Looks for what kernels are compiled by; returns its version.
fn check_toolkit(driver: &Driver, gpu: &Gpu) -> Result<CudaVersion, DeviceError> {
    // SAFETY: it loads a library and nothing else.
    if !unsafe { nvrtc::is_culib_present() } {
        return Err(DeviceError::NvrtcMissing {
            library: NVRTC_LIBRARY,
        });
    }
    let unusable = |version: String, error: nvrtc::nvrtcResult| DeviceError::NvrtcUnusable {
        version,
        reason: format!("it answers {error:?}. Install the CUDA toolkit anew"),
    };
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library writes two numbers to places that outlive the call.
    let answer = unsafe { nvrtc::nvrtcVersion(&mut major, &mut minor) };
    answer
        .result()
        .map_err(|error| unusable("of unknown version".to_owned(), error.0))?;
    let version = CudaVersion::new(major, minor);
    check_nvrtc_age(version)?;
    let mut n_architectures = 0;
    // SAFETY: the library writes one number to a place that outlives the call.
    let answer = unsafe { nvrtc::nvrtcGetNumSupportedArchs(&mut n_architectures) };
    answer
        .result()
        .map_err(|error| unusable(version.to_string(), error.0))?;
    let mut architectures = vec![0; usize::try_from(n_architectures).unwrap_or(0)];
    // SAFETY: the library writes as many numbers as it has just said, into a vector of that length.
    let answer = unsafe { nvrtc::nvrtcGetSupportedArchs(architectures.as_mut_ptr()) };
    answer
        .result()
        .map_err(|error| unusable(version.to_string(), error.0))?;
    let of_gpu = (gpu.name.as_str(), gpu.capability);
    check_nvrtc(version, driver.cuda, &architectures, of_gpu)?;
    check_headers(cubecl::cuda::install::cuda_path().as_deref())?;
    Ok(version)
}

/// Opens the GPU's context, in which kernels then run, and asks it for its memory.
fn memory(gpu: &Gpu) -> Result<DeviceMemory, DriverError> {
    // SAFETY: the handle is one that the driver gave. The context is kept for as long as the process runs, as the
    // kernels keep it, and leaves this thread before another one may end it.
    let (free_bytes, total_bytes) = unsafe {
        let context = primary_ctx::retain(gpu.handle)?;
        ctx::set_current(context)?;
        let memory = mem_get_info();
        ctx::set_current(std::ptr::null_mut())?;
        memory?
    };
    Ok(DeviceMemory {
        total_bytes: total_bytes as u64,
        free_bytes: free_bytes as u64,
    })
}

/// Opens a GPU by its number.
pub fn open(index: usize) -> Result<OpenDevice, DeviceError> {
    let driver = driver()?;
    let gpus = gpus()?;
    let gpu = match gpus.get(index) {
        Some(Ok(gpu)) => gpu,
        Some(Err(error)) => return Err(error.clone()),
        None => {
            return Err(DeviceError::CudaIndex {
                index,
                n_gpus: gpus.len(),
            });
        }
    };
    let nvrtc = check(&driver, gpu)?;
    let memory = memory(gpu).map_err(|error| DeviceError::CudaOpen {
        index,
        name: gpu.name.clone(),
        reason: reason(error),
    })?;
    cache::configure(&kernel_store(&gpu.name, nvrtc), Backend::Cuda, false);
    Ok(OpenDevice {
        name: format!("cuda:{index}"),
        backend: Backend::Cuda,
        description: gpu.name.clone(),
        is_software: false,
        driver: Some(driver_name(driver.release.as_deref(), driver.cuda)),
        reason: None,
        device: Device::cuda(index),
        dtypes: gpu.dtypes(),
        memory: Some(memory),
        most_buffer_bytes: None,
    })
}

/// The GPUs, each with what is missing for its use.
pub fn list() -> Vec<DeviceReport> {
    let found = driver().and_then(|driver| Ok((gpus()?, driver)));
    let (gpus, driver) = match found {
        Ok(found) => found,
        Err(error) => {
            let unusable = DeviceReport::unusable("cuda", Backend::Cuda, error.to_string());
            return vec![unusable];
        }
    };
    let by_nvml = nvml::gpus();
    let report = |gpu: &Gpu| DeviceReport {
        name: format!("cuda:{}", gpu.index),
        backend: Backend::Cuda,
        description: gpu.name.clone(),
        is_software: false,
        is_exclusive: gpu.mode == ComputeMode::Exclusive,
        total_bytes: Some(gpu.total_bytes),
        free_bytes: by_nvml
            .iter()
            .find(|known| known.uuid == gpu.uuid)
            .and_then(|known| known.memory_bytes)
            .map(|(_, free)| free),
        driver: Some(driver_name(driver.release.as_deref(), driver.cuda)),
        dtypes: gpu.dtypes().names(),
        problem: check(&driver, gpu).err().map(|error| error.to_string()),
    };
    let of_number = |(index, gpu): (usize, &Result<Gpu, DeviceError>)| match gpu {
        Ok(gpu) => report(gpu),
        Err(error) => {
            let name = format!("cuda:{index}");
            DeviceReport::unusable(&name, Backend::Cuda, error.to_string())
        }
    };
    gpus.iter().enumerate().map(of_number).collect()
}
