//! Which devices there are, why one cannot be used, and how it is opened.

use burn::tensor::Device;
use thiserror::Error;

/// Names that this build knows.
#[cfg(feature = "cuda")]
const DEVICES: &str = "cpu, auto, cuda, cuda:N";
#[cfg(not(feature = "cuda"))]
const DEVICES: &str = "cpu, auto";

/// Why a device cannot be used.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Not a device, or not one of this build.
    #[error("--device is {0}: this build has {DEVICES}; choose one of them")]
    Unknown(String),
    /// No driver, or one that does not start.
    #[error("--device is {name}: {reason}. Install NVIDIA's driver, or take --device cpu")]
    Driver {
        /// The device asked for.
        name: String,
        /// What the driver says, or that there is none.
        reason: String,
    },
    /// Fewer GPUs than asked for.
    #[error("--device is {name}: this machine has {count} NVIDIA GPUs, counted from 0")]
    NoSuchGpu {
        /// The device asked for.
        name: String,
        /// GPUs of the machine.
        count: usize,
    },
}

/// Opens a device by name; `auto` is the CPU.
///
/// # Errors
/// [`DeviceError`]; a device that cannot work is found before burn is asked for it, which would panic.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" | "auto" => return Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => return open_cuda(name, 0),
        _ => {}
    }
    #[cfg(feature = "cuda")]
    if let Some(index) = name.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
        return open_cuda(name, index);
    }
    Err(DeviceError::Unknown(name.to_owned()))
}

#[cfg(feature = "cuda")]
fn open_cuda(name: &str, index: usize) -> Result<Device, DeviceError> {
    use cudarc::driver::{result, sys};

    let error = |reason: String| DeviceError::Driver {
        name: name.to_owned(),
        reason,
    };
    // SAFETY: the call only looks for a library by its names.
    #[allow(unsafe_code)]
    if !unsafe { sys::is_culib_present() } {
        return Err(error(
            "the library of CUDA's driver is not there".to_owned(),
        ));
    }
    result::init().map_err(|reason| error(format!("{reason:?}")))?;
    let count = result::device::get_count().map_err(|reason| error(format!("{reason:?}")))?;
    let count = usize::try_from(count).unwrap_or(0);
    if index >= count {
        return Err(DeviceError::NoSuchGpu {
            name: name.to_owned(),
            count,
        });
    }
    Ok(Device::cuda(index))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::open;

    #[test]
    fn a_device_is_named_or_refused_by_name() {
        assert_eq!(open("cpu").unwrap(), Device::flex());
        assert_eq!(open("auto").unwrap(), Device::flex());
        for name in ["abacus", "cuda:x", ""] {
            let error = open(name).unwrap_err().to_string();
            assert!(error.contains(&format!("--device is {name}: this build has cpu, auto")));
        }
    }
}
