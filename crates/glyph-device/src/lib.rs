//! Which devices there are, why one cannot be used, and how it is opened.

use burn::tensor::Device;
use thiserror::Error;

/// Why a device cannot be used.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Not a device, or not one of this build.
    #[error("--device is {0}: this build has cpu, auto, cuda; choose one of them")]
    Unknown(String),
}

/// Opens a device by name.
///
/// # Errors
/// [`DeviceError`].
pub fn open(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" | "auto" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        other => Err(DeviceError::Unknown(other.to_owned())),
    }
}
