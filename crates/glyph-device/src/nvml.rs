//! What NVIDIA's management library says, which is there with the driver and needs no CUDA.

use std::sync::OnceLock;

use nvml_wrapper::Nvml;

/// An NVIDIA GPU of this machine.
#[derive(Debug, Clone)]
pub struct Gpu {
    /// Its name.
    #[cfg_attr(
        feature = "cuda",
        allow(dead_code, reason = "CUDA itself names the GPUs that it has")
    )]
    pub name: String,
    /// As CUDA has it too, however it numbers its GPUs.
    #[cfg(feature = "cuda")]
    pub uuid: String,
    /// Place on the bus, such as `00000000:01:00.0`, in lower case.
    pub bus_id: String,
    /// All memory, and what no process has.
    pub memory_bytes: Option<(u64, u64)>,
}

fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(|| Nvml::init().ok()).as_ref()
}

/// Release of the driver, such as 570.86.15.
pub fn driver_release() -> Option<String> {
    nvml()?.sys_driver_version().ok()
}

/// All GPUs; none where the library is not there.
pub fn gpus() -> Vec<Gpu> {
    let Some(nvml) = nvml() else {
        return Vec::new();
    };
    let n_gpus = nvml.device_count().unwrap_or(0);
    (0..n_gpus)
        .filter_map(|index| {
            let gpu = nvml.device_by_index(index).ok()?;
            let memory = gpu.memory_info().ok();
            let bus = gpu.pci_info().ok();
            Some(Gpu {
                name: gpu.name().unwrap_or_default(),
                #[cfg(feature = "cuda")]
                uuid: gpu.uuid().unwrap_or_default(),
                bus_id: bus.map_or_else(String::new, |bus| bus.bus_id.to_lowercase()),
                memory_bytes: memory.map(|memory| (memory.total, memory.free)),
            })
        })
        .collect()
}
