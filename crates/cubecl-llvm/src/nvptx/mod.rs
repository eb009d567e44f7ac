//! NVIDIA's devices.

pub mod ptx_version;
