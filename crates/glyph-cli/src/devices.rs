//! `glyph devices`: what a model could run on, and what is in the way.

use std::path::PathBuf;

use bytesize::ByteSize;
use comfy_table::CellAlignment;
use glyph_device::DeviceReport;
use serde::Serialize;

use crate::args::DevicesArgs;
use crate::error::CliError;
use crate::figures_table::{GAP, empty};
use crate::info_table::on_one_line;
use crate::output;

/// The object that `glyph devices --json` prints.
#[derive(Debug, Serialize)]
struct DevicesReport {
    /// In the order in which `auto` tries them.
    devices: Vec<DeviceReport>,
    /// What is kept of their kernels; null where nothing is.
    kernel_cache: Option<KernelCache>,
}

/// What is kept of kernels from one run to the next, and where.
#[derive(Debug, Serialize)]
struct KernelCache {
    /// In a few words.
    kept: &'static str,
    directory: PathBuf,
}

impl KernelCache {
    /// Of the devices that can be used. CUDA, of which the most is kept, stands before wgpu.
    fn of(devices: &[DeviceReport]) -> Option<Self> {
        let mut usable = devices.iter().filter(|device| device.problem.is_none());
        let kept = usable.find_map(|device| glyph_device::kept_kernels(device.backend))?;
        Some(Self {
            kept,
            directory: glyph_device::kernel_cache_directory(),
        })
    }

    fn line(&self) -> String {
        format!("\n{} are kept in {}\n", self.kept, self.directory.display())
    }
}

/// Runs the command.
pub fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let devices = glyph_device::list();
    let report = DevicesReport {
        kernel_cache: KernelCache::of(&devices),
        devices,
    };
    if args.json {
        output::json(&report)
    } else {
        output::text(&text(&report))
    }
}

/// A row for each device, and a line for each problem.
fn text(report: &DevicesReport) -> String {
    let mut table = empty([
        "device", "usable", "free", "memory", "types", "driver", "part",
    ]);
    for device in &report.devices {
        table.add_row(row(device));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
        if [2, 3].contains(&column.index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let problems: String = report
        .devices
        .iter()
        .filter_map(|device| Some(format!("{}: {}\n", device.name, device.problem.as_ref()?)))
        .collect();
    let gap = if problems.is_empty() { "" } else { "\n" };
    let cache = report.kernel_cache.as_ref();
    let cache = cache.map_or_else(String::new, KernelCache::line);
    format!("{}\n{gap}{problems}{cache}", table.trim_fmt())
}

fn row(device: &DeviceReport) -> [String; 7] {
    let bytes = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |n| ByteSize(n).to_string());
    let usable = match &device.problem {
        Some(_) => "no",
        None if device.is_software => "if named",
        // Whether another program has it now is known once it is opened.
        None if device.is_exclusive => "if free",
        None => "yes",
    };
    let is_there = device.problem.is_none() || !device.description.is_empty();
    let memory = |n_bytes| {
        if is_there {
            bytes(n_bytes)
        } else {
            String::new()
        }
    };
    [
        device.name.clone(),
        usable.to_owned(),
        memory(device.free_bytes),
        memory(device.total_bytes),
        device.dtypes.join(" "),
        on_one_line(device.driver.as_deref().unwrap_or_default()),
        on_one_line(&device.description),
    ]
}

#[cfg(test)]
mod tests {
    use glyph_device::{Backend, DeviceReport};

    use super::{DevicesReport, KernelCache, text};

    #[test]
    fn a_row_shows_a_device_and_a_line_what_is_in_the_way() {
        let device = DeviceReport {
            name: "cuda:0".to_owned(),
            backend: Backend::Cuda,
            description: "NVIDIA H200".to_owned(),
            is_software: false,
            is_exclusive: false,
            total_bytes: Some(140 << 30),
            free_bytes: None,
            driver: Some("570.86.15 (CUDA 12.8)".to_owned()),
            dtypes: vec!["f32", "f16", "bf16"],
            problem: None,
        };
        let software = DeviceReport {
            name: "wgpu:0".to_owned(),
            is_software: true,
            ..device.clone()
        };
        let exclusive = DeviceReport {
            name: "cuda:1".to_owned(),
            is_exclusive: true,
            ..device.clone()
        };
        let missing = DeviceReport {
            name: "cuda".to_owned(),
            description: String::new(),
            dtypes: Vec::new(),
            driver: None,
            total_bytes: None,
            problem: Some("there is none. Buy one".to_owned()),
            ..device.clone()
        };
        let report = |devices| DevicesReport {
            devices,
            kernel_cache: Some(KernelCache {
                kept: "compiled kernels",
                directory: "cache".into(),
            }),
        };
        let shown = text(&report(vec![device.clone(), exclusive, software, missing]));
        for part in [
            "cuda:0   yes           ?   140.0 GiB   f32 f16 bf16   570.86.15 (CUDA 12.8)   NVIDIA H200",
            "cuda:1   if free",
            "wgpu:0   if named",
            "\ncuda: there is none. Buy one\n",
            "\n\ncompiled kernels are kept in cache\n",
        ] {
            assert!(shown.contains(part), "no {part:?} in\n{shown}");
        }
        assert!(!text(&report(vec![device])).contains("cuda: "));
    }

    #[test]
    fn kernels_are_kept_where_a_device_can_be_used_that_keeps_them() {
        let device = |backend: Backend, problem: Option<&str>| DeviceReport {
            name: backend.name().to_owned(),
            backend,
            description: String::new(),
            is_software: false,
            is_exclusive: false,
            total_bytes: None,
            free_bytes: None,
            driver: None,
            dtypes: Vec::new(),
            problem: problem.map(str::to_owned),
        };
        let kept = |devices: &[DeviceReport]| KernelCache::of(devices).map(|cache| cache.kept);
        let (wgpu, cpu) = (device(Backend::Wgpu, None), device(Backend::Cpu, None));
        let usable = [device(Backend::Cuda, None), wgpu.clone(), cpu.clone()];
        assert!(kept(&usable).is_some_and(|kept| kept.starts_with("compiled kernels")));
        let without_cuda = [device(Backend::Cuda, Some("it is not there")), wgpu, cpu];
        let of_wgpu = glyph_device::kept_kernels(Backend::Wgpu);
        assert_eq!(kept(&without_cuda), of_wgpu);
        let report = DevicesReport {
            kernel_cache: None,
            devices: without_cuda.into(),
        };
        let shown = text(&report);
        assert!(shown.ends_with("\n\ncuda: it is not there\n"), "{shown}");
    }
}
