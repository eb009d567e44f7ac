//! Loads a checkpoint and prints what the process held of this machine's memory meanwhile: anonymous memory, which is
//! its own, apart from the pages of the files, which are the kernel's.
//!
//! ```sh
//! cargo run --release --example load_memory -- --model /tmp/random-9b --quantize q4 --text-only
//! cargo run --release --example load_memory -- --model /tmp/random-9b --quantize q4 --device wgpu
//! ```
//!
//! Beyond the model is the most that there was without the tensors that lie in it: on a CPU all of the model's; on a GPU
//! of software (Mesa's llvmpipe), whose memory is the process's, those that the device says it holds; on a GPU with a
//! memory of its own none.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glyph_device::{DeviceChoice, DtypeChoice, StoredType, dtype_name};
use glyph_model::Glm4v;
use glyph_model::checkpoint::{CheckpointDir, CheckpointSettings};
use glyph_model::quantize::{Quantization, TensorLayout};
use glyph_model::weights::{LoadAs, WeightFiles, table_dtype, tensor_specs};

const USAGE: &str =
    "usage: load_memory --model DIR [--device DEVICE] [--quantize q8|q4] [--text-only]";

const MIB: f64 = (1 << 20) as f64;

/// How often the memory is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: no other thread runs yet.
    unsafe { glyph_device::set_runtime_directory() };
    let (mut model, mut quantization, mut is_text_only) = (None, None, false);
    let mut choice = DeviceChoice::Cpu;
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        match option.as_str() {
            "--model" => model = Some(PathBuf::from(args.next().ok_or(USAGE)?)),
            "--device" => choice = args.next().ok_or(USAGE)?.parse::<DeviceChoice>()?,
            "--quantize" => {
                quantization = Some(args.next().ok_or(USAGE)?.parse::<Quantization>()?);
            }
            "--text-only" => is_text_only = true,
            _ => return Err(USAGE.into()),
        }
    }
    let model = model.ok_or(USAGE)?;
    let settings = CheckpointSettings::read(&CheckpointDir(&model))?;
    let weights = WeightFiles::open(&model)?;
    let sizes = weights.tensors().map(|(_, info)| info.stored_bytes());
    let largest = sizes.max().unwrap_or(0);
    let opened = glyph_device::open(choice)?;
    let device = &opened.device;
    let plain = weights.tensors().filter(|(_, info)| info.bits.is_none());
    let stored = StoredType::of(plain.map(|(_, info)| (info.dtype, info.stored_bytes() as u64)));
    let dtype = opened.dtype(DtypeChoice::Auto, stored)?;
    let load_as = LoadAs {
        dtype,
        quantization,
    };
    let specs = tensor_specs(&Glm4v::new(&settings.config, device));
    let in_memory = quantization.or(weights.quantization());
    let table = table_dtype(&weights, dtype, device);
    let layout = TensorLayout::of(device).with_table(table.size() as u64);
    let tensors = layout.tensor_bytes(&specs, in_memory, dtype.size() as u64);
    opened.check_tensors(tensors, |_| Vec::new())?;

    let before = anonymous_kib()?;
    let (peak, is_done) = (AtomicU64::new(before), AtomicBool::new(false));
    let start = Instant::now();
    let mut model_bytes = 0;
    let (checkpoint, synced) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous_kib().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(INTERVAL);
            }
        });
        let on_bytes = |n_bytes| model_bytes = n_bytes;
        let checkpoint = match is_text_only {
            true => settings.load_text_only(weights, device, load_as, on_bytes),
            false => settings.load(&weights, device, load_as, on_bytes),
        };
        let synced = device.sync();
        is_done.store(true, Ordering::Relaxed);
        (checkpoint, synced)
    });
    let checkpoint = checkpoint?;
    synced.map_err(|error| error.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let after = anonymous_kib()?;
    let of_bytes = |n_bytes: u64| n_bytes as f64 / MIB;
    let of_kib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "device               {} ({}), {}",
        opened.name,
        opened.description,
        dtype_name(dtype)
    );
    println!("loaded in            {seconds:.1} s");
    println!(
        "model                {:.0} MiB",
        of_bytes(model_bytes as u64)
    );
    println!(
        "largest tensor       {:.0} MiB in its file",
        of_bytes(largest as u64)
    );
    let usage = device.memory_pool_usage();
    if let Some(usage) = &usage {
        println!(
            "held by the device   {:.0} MiB, of {:.0} MiB that it took",
            of_bytes(usage.bytes_in_use),
            of_bytes(usage.bytes_reserved)
        );
    }
    println!("anonymous before     {:.0} MiB", of_kib(before));
    println!("anonymous after      {:.0} MiB", of_kib(after));
    let most = of_kib(peak.load(Ordering::Relaxed));
    println!("anonymous at most    {most:.0} MiB");
    let within = match usage {
        None => model_bytes as u64,
        Some(usage) if opened.is_software => usage.bytes_in_use,
        Some(_) => 0,
    };
    println!("beyond the model     {:.0} MiB", most - of_bytes(within));
    drop(checkpoint);
    Ok(())
}

/// Resident memory of this process that belongs to no file.
fn anonymous_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let value = line.ok_or("only Linux says how much memory is anonymous")?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}
