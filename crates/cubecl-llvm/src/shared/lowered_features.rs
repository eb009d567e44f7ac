//! What of a device's features LLVM could use.

use cubecl_core::ir::DeviceProperties;

/// A kind of GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuTarget {
    /// NVIDIA's.
    Nvptx,
}

/// Leaves everything as it is: it is asked only when LLVM is to compile.
pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
