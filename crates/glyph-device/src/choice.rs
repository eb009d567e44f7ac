//! What a person asks for: a device, a number type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::DeviceError;

/// A device by the name that `--device` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceChoice {
    /// CUDA, then a GPU by wgpu, then the CPU.
    #[default]
    Auto,
    /// This machine's cores.
    Cpu,
    /// An NVIDIA GPU by its number among those that CUDA sees.
    Cuda(usize),
    /// An adapter of Vulkan, Metal or DX12 by its number in `glyph devices`; without one, the best.
    Wgpu(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(name.to_owned());
        let (kind, index) = match name.split_once(':') {
            None => (name, None),
            Some((kind, index)) => {
                let is_number = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
                let index = is_number.then(|| index.parse().ok()).flatten();
                (kind, Some(index.ok_or_else(unknown)?))
            }
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("wgpu", index) => Ok(Self::Wgpu(index)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(name: String) -> Result<Self, DeviceError> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceChoice;

    #[test]
    fn devices_are_chosen_by_name_and_number() {
        for (name, choice, shown) in [
            ("auto", DeviceChoice::Auto, "auto"),
            ("cpu", DeviceChoice::Cpu, "cpu"),
            ("cuda", DeviceChoice::Cuda(0), "cuda:0"),
            ("cuda:3", DeviceChoice::Cuda(3), "cuda:3"),
            ("wgpu", DeviceChoice::Wgpu(None), "wgpu"),
            ("wgpu:0", DeviceChoice::Wgpu(Some(0)), "wgpu:0"),
        ] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap(), choice, "{name}");
            assert_eq!(choice.to_string(), shown);
        }
        for name in [
            "",
            "gpu",
            "CUDA",
            "cpu:0",
            "auto:1",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda: 1",
            "cuda:x",
            "wgpu:1:2",
            "cuda:99999999999999999999",
        ] {
            let error = name.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(
                error.contains("cuda:N") && error.contains("wgpu:N"),
                "{error}"
            );
        }
    }
}
