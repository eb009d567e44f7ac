//! What NVIDIA's management library says, which is there with the driver and needs no CUDA.

use std::sync::OnceLock;

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::{Device, Nvml};

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

/// What an NVIDIA GPU does now; what it does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuReading {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Memory in use, by all processes.
    pub used_bytes: Option<u64>,
    /// All memory.
    pub total_bytes: Option<u64>,
    /// Share of time that it computes, from 0 to 1.
    pub utilization: Option<f64>,
    /// Its temperature.
    pub celsius: Option<f64>,
}

fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(|| Nvml::init().ok()).as_ref()
}

/// Release of the driver, such as 570.86.15.
pub fn driver_release() -> Option<String> {
    nvml()?.sys_driver_version().ok()
}

/// All GPUs with their numbers; none where the library is not there.
fn listed() -> impl Iterator<Item = (u32, Device<'static>)> {
    let nvml = nvml();
    let n_gpus = nvml.and_then(|nvml| nvml.device_count().ok());
    (0..n_gpus.unwrap_or(0))
        .filter_map(move |index| Some((index, nvml?.device_by_index(index).ok()?)))
}

/// What is asked of all GPUs to use them.
pub fn gpus() -> Vec<Gpu> {
    let of = |(_, gpu): (u32, Device<'static>)| {
        let memory = gpu.memory_info().ok();
        let bus = gpu.pci_info().ok();
        Gpu {
            name: gpu.name().unwrap_or_default(),
            #[cfg(feature = "cuda")]
            uuid: gpu.uuid().unwrap_or_default(),
            bus_id: bus.map_or_else(String::new, |bus| bus.bus_id.to_lowercase()),
            memory_bytes: memory.map(|memory| (memory.total, memory.free)),
        }
    };
    listed().map(of).collect()
}

/// What all GPUs do now, for those who watch them.
pub fn readings() -> Vec<GpuReading> {
    let of = |(index, gpu): (u32, Device<'static>)| {
        let memory = gpu.memory_info().ok();
        let rates = gpu.utilization_rates().ok();
        let celsius = gpu.temperature(TemperatureSensor::Gpu).ok();
        GpuReading {
            index,
            name: gpu.name().unwrap_or_default(),
            used_bytes: memory.as_ref().map(|memory| memory.used),
            total_bytes: memory.as_ref().map(|memory| memory.total),
            utilization: rates.map(|rates| f64::from(rates.gpu) / 100.0),
            celsius: celsius.map(f64::from),
        }
    };
    listed().map(of).collect()
}
