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
    /// Where compiled kernels and their times are kept.
    kernel_cache: PathBuf,
}

/// Runs the command.
pub fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let report = DevicesReport {
        devices: glyph_device::list(),
        kernel_cache: glyph_device::kernel_cache_directory(),
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
    format!(
        "{}\n{gap}{problems}\nkernels are kept in {}\n",
        table.trim_fmt(),
        report.kernel_cache.display()
    )
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

    use super::{DevicesReport, text};

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
            kernel_cache: "cache".into(),
        };
        let shown = text(&report(vec![device.clone(), exclusive, software, missing]));
        for part in [
            "cuda:0   yes           ?   140.0 GiB   f32 f16 bf16   570.86.15 (CUDA 12.8)   NVIDIA H200",
            "cuda:1   if free",
            "wgpu:0   if named",
            "\ncuda: there is none. Buy one\n",
            "\nkernels are kept in cache\n",
        ] {
            assert!(shown.contains(part), "no {part:?} in\n{shown}");
        }
        assert!(!text(&report(vec![device])).contains("cuda: "));
    }
}
