//! The command line's arguments.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use glyph_device::DeviceChoice;
use glyph_train::average::Averaged;
use glyph_train::data::Split;
use glyph_train::place::LINES;

/// Train, measure and export glyph-mini.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train, or go on training what --out holds.
    Run(RunArgs),
    /// Write a run's weights as a checkpoint directory.
    Export {
        /// Directory of the run.
        #[arg(long, default_value = "runs/mini")]
        run: PathBuf,
        /// Checkpoint directory to write.
        #[arg(long, default_value = "models/glyph-mini")]
        out: PathBuf,
        /// Lines of a page, 40 columns wide.
        #[arg(long, default_value_t = 8, value_parser = lines_of_a_page)]
        lines: usize,
        /// Write the mean of the run's weights and those of another run or of a checkpoint directory; may be given several
        /// times. With a share for each, the run has what is left of 1.
        #[arg(long, value_name = "DIR[=SHARE]", value_parser = Averaged::parse)]
        average_with: Vec<Averaged>,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Give a checkpoint of one layer less than glyph-mini another layer, for a run of the stage of places to begin from.
    Grow {
        /// Checkpoint directory.
        #[arg(long)]
        model: PathBuf,
        /// Checkpoint directory to write.
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Measure a checkpoint on held-out data.
    Evaluate {
        /// Checkpoint directory.
        #[arg(long, default_value = "models/glyph-mini")]
        model: PathBuf,
        /// Side of the data: as much missed on training pages as on held-out ones asks for more training, not more words.
        #[arg(long, value_enum, default_value_t = Split::HeldOut)]
        split: Split,
        /// Seed of the samples.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Samples of each kind.
        #[arg(long, default_value_t = 200, value_parser = one_or_more)]
        samples: usize,
        /// Samples that are answered at a time.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Measure only what has this in its name, such as look-up; may be given several times.
        #[arg(long = "task")]
        tasks: Vec<String>,
        /// Write the scores here as JSON too.
        #[arg(long)]
        json: Option<PathBuf>,
        /// Write every answer here as JSON, with its page, question and thought.
        #[arg(long)]
        answers: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Compare a checkpoint with its quantised copies on held-out pages.
    Quantization {
        /// Checkpoint directory.
        #[arg(long, default_value = "models/glyph-mini")]
        model: PathBuf,
        /// Seed of the held-out samples.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Samples of each kind.
        #[arg(long, default_value_t = 50, value_parser = one_or_more)]
        samples: usize,
        /// Write the figures here as JSON too.
        #[arg(long)]
        json: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Write held-out samples: pages as PNG, questions and answers as JSON.
    Samples {
        /// Checkpoint directory.
        #[arg(long, default_value = "models/glyph-mini")]
        model: PathBuf,
        /// Seed of the samples.
        #[arg(long, default_value_t = 5)]
        seed: u64,
        /// Directory to write.
        #[arg(long, default_value = "tests/fixtures/mini")]
        out: PathBuf,
    },
    /// Compare speed and answers with transformers on the same pages, weights and cores.
    Bench {
        /// Checkpoint directory.
        #[arg(long, default_value = "models/glyph-mini")]
        model: PathBuf,
        /// Directory of samples.json.
        #[arg(long, default_value = "tests/fixtures/mini")]
        samples: PathBuf,
        /// Python with the packages of tests/reference/requirements-model.txt.
        #[arg(long, default_value = "python3")]
        python: PathBuf,
        /// Threads of each engine.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Runs of each; the last one counts.
        #[arg(long, default_value_t = 3)]
        repeat: usize,
        /// Write the figures here as JSON too.
        #[arg(long)]
        json: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Draw a run's curves.
    Plot {
        /// Directory of the run.
        #[arg(long, default_value = "runs/mini")]
        run: PathBuf,
        /// SVG file to write.
        #[arg(long, default_value = "models/glyph-mini/training.svg")]
        out: PathBuf,
    },
}

#[derive(Args)]
pub struct RunArgs {
    /// Directory of the run: checkpoints, optimizer, log.
    #[arg(long, default_value = "runs/mini")]
    pub out: PathBuf,
    /// Start from the weights of another run or of a checkpoint directory.
    #[arg(long)]
    pub init: Option<PathBuf>,
    /// Curriculum stage to start in.
    #[arg(long, default_value_t = 0)]
    pub first_stage: usize,
    /// Seed of weights and data.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Steps in all.
    #[arg(long, default_value_t = 12_000, value_parser = one_or_more)]
    pub steps: usize,
    /// Train for so many minutes in all instead of --steps steps; a stopped run keeps the minutes it had.
    #[arg(long, conflicts_with = "steps", value_parser = minutes, value_name = "MINUTES")]
    pub minutes_in_all: Option<Duration>,
    /// Save and stop after so many minutes; the same command goes on from there.
    #[arg(long, value_parser = minutes)]
    pub minutes: Option<Duration>,
    /// Height of a line: 28 puts one line under a vision token (4 characters), 14 two (8 characters).
    #[arg(long, value_parser = line_px(), default_value = "28")]
    pub line_px: u64,
    /// Peak learning rate.
    #[arg(long, default_value_t = 7e-4, value_parser = learning_rate, allow_negative_numbers = true)]
    pub learning_rate: f64,
    /// Share of the run after which the rate descends.
    #[arg(long, default_value_t = 0.75, value_parser = share, allow_negative_numbers = true)]
    pub decay_from: f64,
    /// Positions of a batch.
    #[arg(long, default_value_t = 750, value_parser = one_or_more)]
    pub positions: usize,
    /// Batches of a step.
    #[arg(long, default_value_t = 4, value_parser = one_or_more)]
    pub batches: usize,
    /// Replicas that share a step: one per core of a CPU, one on a GPU.
    #[arg(long, default_value_t = 2, value_parser = one_or_more)]
    pub workers: usize,
    /// How much the place that a question is about counts beside its answer, in the stage of places.
    #[arg(long, default_value_t = 1.0, value_parser = share, allow_negative_numbers = true)]
    pub place_share: f64,
    /// Share of the answers that are misled about the place, in the stage of places.
    #[arg(long, default_value_t = 0.5, value_parser = share, allow_negative_numbers = true)]
    pub misled_share: f64,
    /// Threads that draw and render batches ahead of their use.
    #[arg(long, default_value_t = 1, value_parser = one_or_more)]
    pub makers: usize,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// A time given in minutes.
fn minutes(text: &str) -> Result<Duration> {
    let minutes: f64 = text.parse()?;
    ensure!(minutes > 0.0, "must be more than 0");
    Ok(Duration::try_from_secs_f64(60.0 * minutes)?)
}

fn learning_rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse()?;
    ensure!(rate > 0.0 && rate < 1.0, "must be between 0 and 1");
    Ok(rate)
}

fn share(text: &str) -> Result<f64> {
    let share: f64 = text.parse()?;
    ensure!((0.0..=1.0).contains(&share), "must be from 0 to 1");
    Ok(share)
}

fn one_or_more(text: &str) -> Result<usize> {
    let count = text.parse()?;
    ensure!(count > 0, "must be 1 or more");
    Ok(count)
}

fn lines_of_a_page(text: &str) -> Result<usize> {
    let lines = text.parse()?;
    ensure!((1..=LINES).contains(&lines), "must be from 1 to {LINES}");
    Ok(lines)
}

/// Heights of a line at which lines and the rows of vision tokens share one grid.
fn line_px() -> impl TypedValueParser<Value = u64> {
    PossibleValuesParser::new(["14", "28"]).try_map(|px| px.parse::<u64>())
}

#[derive(Args)]
pub struct DeviceArgs {
    /// Device: cpu, cuda:N, wgpu:N, or auto for the best there is.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

impl DeviceArgs {
    /// Opens it, and tells why it was chosen where `auto` did.
    pub fn open(&self) -> Result<Device> {
        let opened = glyph_device::open(self.device)?;
        if let Some(reason) = opened.reason {
            eprintln!("{reason}");
        }
        Ok(opened.device)
    }
}
