//! This machine's cores.

use burn::tensor::Device;

use crate::dtype::Dtypes;
use crate::host_memory;
use crate::open::{DeviceMemory, OpenDevice};
use crate::report::{Backend, DeviceReport};

/// 16 bits are computed in too, more slowly than 32.
const DTYPES: Dtypes = Dtypes {
    f16: true,
    bf16: true,
};

fn description() -> String {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match n_threads {
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    };
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| model_name(&info))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{model}, {threads}")
}

fn model_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.trim().to_owned())
}

/// The memory that the cores share.
pub fn memory() -> Option<DeviceMemory> {
    Some(DeviceMemory {
        total_bytes: host_memory::total_bytes()?,
        free_bytes: host_memory::free_bytes()?,
    })
}

/// Opens it.
pub fn open() -> OpenDevice {
    OpenDevice {
        name: "cpu".to_owned(),
        backend: Backend::Cpu,
        description: description(),
        is_software: false,
        driver: None,
        reason: None,
        device: Device::flex(),
        dtypes: DTYPES,
        memory: memory(),
        most_buffer_bytes: None,
    }
}

/// As `glyph devices` shows it.
pub fn report() -> DeviceReport {
    let memory = memory();
    DeviceReport {
        name: "cpu".to_owned(),
        backend: Backend::Cpu,
        description: description(),
        is_software: false,
        is_exclusive: false,
        total_bytes: memory.map(|memory| memory.total_bytes),
        free_bytes: memory.map(|memory| memory.free_bytes),
        driver: None,
        dtypes: DTYPES.names(),
        problem: None,
    }
}

#[cfg(test)]
mod tests {
    use super::model_name;

    #[test]
    fn the_model_is_the_first_cores() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nprocessor\t: 1\n";
        assert_eq!(model_name(cpuinfo).as_deref(), Some("Some CPU @ 2GHz"));
        assert_eq!(model_name("processor\t: 0\n"), None);
    }
}
