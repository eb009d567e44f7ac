//! `glyph-train`: the one command that makes glyph-mini.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burn::tensor::Device;
use clap::{Args, Parser, Subcommand};
use glyph_train::run::{RunOptions, train};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train, measure and export glyph-mini.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train, or go on training what --out holds.
    Run(RunArgs),
}

#[derive(Args)]
struct RunArgs {
    /// Directory of the run: checkpoints, optimizer, log.
    #[arg(long, default_value = "runs/mini")]
    out: PathBuf,
    /// Start from another run's weights.
    #[arg(long)]
    init: Option<PathBuf>,
    /// Curriculum stage to start in.
    #[arg(long, default_value_t = 0)]
    first_stage: usize,
    /// Seed of weights and data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps in all.
    #[arg(long, default_value_t = 12_000)]
    steps: usize,
    /// Peak learning rate.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Share of the steps after which the rate descends.
    #[arg(long, default_value_t = 0.6)]
    decay_from: f64,
    /// Positions of a step and worker.
    #[arg(long, default_value_t = 3000)]
    positions: usize,
    /// Replicas that share a step.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Device: cpu.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// `mi_option_purge_delay` of mimalloc.h, which the binding does not name; −1 never gives pages back.
const MI_OPTION_PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed pages mapped: a step frees and takes hundreds of megabytes, and clearing fresh pages in the
/// kernel cost an eighth of it.
fn keep_freed_memory() {
    // SAFETY: an option is set before any thread starts; the call only writes an integer.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(MI_OPTION_PURGE_DELAY, -1);
    }
}

fn main() -> Result<()> {
    keep_freed_memory();
    match Cli::parse().command {
        Command::Run(args) => {
            let device = match args.device.as_str() {
                "cpu" => Device::flex(),
                other => bail!("device {other} is not known; this build has: cpu"),
            };
            train(&RunOptions {
                out: args.out,
                init: args.init,
                first_stage: args.first_stage,
                seed: args.seed,
                n_steps: args.steps,
                learning_rate: args.learning_rate,
                decay_from: args.decay_from,
                positions_per_batch: args.positions,
                n_workers: args.workers.max(1),
                device,
            })
        }
    }
}
