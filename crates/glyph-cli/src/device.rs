//! The device that a command runs on, chosen when it starts.

use burn::tensor::{DType, Device};

use crate::error::CliError;

/// Names that `--device` takes in this build.
pub const DEVICES: &str = "cpu, auto";

/// Type of weights and activations on every device of this build.
pub const DTYPE: DType = DType::F32;

/// Name of that type in reports.
pub const DTYPE_NAME: &str = "f32";

/// A device and the name it is reported under.
#[derive(Debug, Clone)]
pub struct NamedDevice {
    /// Name in reports.
    pub name: &'static str,
    /// The device.
    pub device: Device,
}

impl NamedDevice {
    /// Whether the model runs on this machine's cores, in this machine's memory.
    pub fn is_cpu(&self) -> bool {
        self.device == Device::flex()
    }
}

/// Opens a device by name; `auto` takes the best that this build has.
pub fn open(name: &str) -> Result<NamedDevice, CliError> {
    match name {
        "cpu" | "auto" => Ok(NamedDevice {
            name: "cpu",
            device: Device::flex(),
        }),
        other => Err(CliError::Parameter {
            option: "--device (or GLYPH_DEVICE)".to_owned(),
            value: other.to_owned(),
            reason: format!("this build has {DEVICES}; choose one of them"),
        }),
    }
}

/// A device to describe a model on, without running it.
pub fn host() -> Device {
    Device::flex()
}
