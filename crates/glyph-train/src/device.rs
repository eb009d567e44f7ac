//! The device that a command runs on, by the names that `glyph --device` takes.

use anyhow::{Result, bail};
use burn::tensor::Device;

/// Names that this build knows.
const DEVICES: &str = "cpu, auto";

/// Opens a device by name; `auto` takes the best that this build has.
pub fn open(name: &str) -> Result<Device> {
    match name {
        "cpu" | "auto" => Ok(Device::flex()),
        other => bail!("--device is {other}: this build has {DEVICES}; choose one of them"),
    }
}
