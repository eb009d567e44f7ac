//! What the process and the machine's NVIDIA devices use now.

use std::sync::OnceLock;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;

/// Resident memory of this process; `None` where nothing says (only Linux does).
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Open files and connections of this process; `None` where nothing says.
pub fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// An NVIDIA device; what it does not tell is `None`.
#[derive(Debug, Clone)]
pub struct Gpu {
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

/// The NVIDIA devices; none where the driver's library is not there.
pub fn gpus() -> Vec<Gpu> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    let Some(nvml) = NVML.get_or_init(|| Nvml::init().ok()) else {
        return Vec::new();
    };
    let count = nvml.device_count().unwrap_or(0);
    (0..count)
        .filter_map(|index| {
            let device = nvml.device_by_index(index).ok()?;
            let memory = device.memory_info().ok();
            Some(Gpu {
                index,
                name: device.name().unwrap_or_default(),
                used_bytes: memory.as_ref().map(|memory| memory.used),
                total_bytes: memory.as_ref().map(|memory| memory.total),
                utilization: device
                    .utilization_rates()
                    .ok()
                    .map(|rates| f64::from(rates.gpu) / 100.0),
                celsius: device
                    .temperature(TemperatureSensor::Gpu)
                    .ok()
                    .map(f64::from),
            })
        })
        .collect()
}
