//! What `glyph devices` says of each device.

use serde::Serialize;

/// What runs the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// This machine's cores.
    Cpu,
    /// CUDA.
    Cuda,
    /// Vulkan, Metal, DX12 or OpenGL by wgpu.
    Wgpu,
}

impl Backend {
    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }
}

/// A device that there is, or why there is none of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// Name as `--device` takes it.
    pub name: String,
    /// What runs the kernels.
    pub backend: Backend,
    /// The part, as its driver names it; empty where there is none.
    pub description: String,
    /// Whether a CPU does a GPU's work: slower than `cpu`, and never chosen unless it is named.
    pub is_software: bool,
    /// Whether one program at a time has it to itself: it opens where no other has it.
    pub is_exclusive: bool,
    /// All memory, where it is known.
    pub total_bytes: Option<u64>,
    /// Memory that is free, where it is known.
    pub free_bytes: Option<u64>,
    /// Driver and version.
    pub driver: Option<String>,
    /// Number types that it computes in.
    pub dtypes: Vec<&'static str>,
    /// Why it cannot be used, and the remedy.
    pub problem: Option<String>,
}

impl DeviceReport {
    /// Of a device that is not there.
    pub(crate) fn unusable(name: &str, backend: Backend, problem: String) -> Self {
        Self {
            name: name.to_owned(),
            backend,
            description: String::new(),
            is_software: false,
            is_exclusive: false,
            total_bytes: None,
            free_bytes: None,
            driver: None,
            dtypes: Vec::new(),
            problem: Some(problem),
        }
    }
}
