//! Loads a checkpoint on the CPU and prints what the process held meanwhile: anonymous memory, which is its own, apart
//! from the pages of the files, which are the kernel's.
//!
//! ```sh
//! cargo run --release -p glyph-model --example load_memory -- --model /tmp/random-9b --quantize q4 --text-only
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use glyph_model::checkpoint::{CheckpointDir, CheckpointSettings};
use glyph_model::quantize::Quantization;
use glyph_model::weights::{LoadAs, WeightFiles};

const USAGE: &str = "usage: load_memory --model DIR [--quantize q8|q4] [--text-only]";

const MIB: f64 = (1 << 20) as f64;

/// How often the memory is looked at.
const INTERVAL: Duration = Duration::from_millis(2);

fn main() -> Result<(), Box<dyn Error>> {
    let (mut model, mut quantization, mut is_text_only) = (None, None, false);
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        match option.as_str() {
            "--model" => model = Some(PathBuf::from(args.next().ok_or(USAGE)?)),
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
    let load_as = LoadAs {
        dtype: DType::F32,
        quantization,
    };
    let device = Device::flex();

    let before = anonymous_kib()?;
    let (peak, is_done) = (AtomicU64::new(before), AtomicBool::new(false));
    let start = Instant::now();
    let mut model_bytes = 0;
    let checkpoint = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous_kib().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(INTERVAL);
            }
        });
        let on_bytes = |n_bytes| model_bytes = n_bytes;
        let checkpoint = match is_text_only {
            true => settings.load_text_only(weights, &device, load_as, on_bytes),
            false => settings.load(&weights, &device, load_as, on_bytes),
        };
        is_done.store(true, Ordering::Relaxed);
        checkpoint
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let after = anonymous_kib()?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!("loaded in            {seconds:.1} s");
    println!("model in memory      {:.0} MiB", model_bytes as f64 / MIB);
    println!(
        "largest tensor       {:.0} MiB in its file",
        largest as f64 / MIB
    );
    println!("anonymous before     {:.0} MiB", mib(before));
    println!("anonymous after      {:.0} MiB", mib(after));
    let most = peak.load(Ordering::Relaxed);
    println!("anonymous at most    {:.0} MiB", mib(most));
    let beyond = mib(most) - model_bytes as f64 / MIB;
    println!("beyond the model     {beyond:.0} MiB");
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
