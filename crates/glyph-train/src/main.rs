//! `glyph-train`: the one command that makes glyph-mini.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use glyph_device::DeviceChoice;
use glyph_model::config::ModelConfig;
use glyph_train::average::{Averaged, shares, weighted_sum};
use glyph_train::bench::{BenchOptions, compare, comparison_table, default_script};
use glyph_train::checkpoint::{RunDir, export};
use glyph_train::data::Split;
use glyph_train::emphasis::Emphasis;
use glyph_train::evaluate::{EvaluationOptions, Score, evaluate, page_grid};
use glyph_train::grow::grow;
use glyph_train::log::read_log;
use glyph_train::mini;
use glyph_train::place::LINES;
use glyph_train::plot::svg;
use glyph_train::quantization::{self, QuantizedScore};
use glyph_train::run::{RunLength, RunOptions, train};
use glyph_train::samples::save_samples;

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
        /// Height of a line as the run had it.
        #[arg(long, value_parser = line_px(), default_value = "28")]
        line_px: u64,
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
struct RunArgs {
    /// Directory of the run: checkpoints, optimizer, log.
    #[arg(long, default_value = "runs/mini")]
    out: PathBuf,
    /// Start from the weights of another run or of a checkpoint directory.
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
    /// Train for so many minutes in all instead of --steps steps; a stopped run keeps the minutes it had.
    #[arg(long, conflicts_with = "steps", value_parser = minutes, value_name = "MINUTES")]
    minutes_in_all: Option<Duration>,
    /// Save and stop after so many minutes; the same command goes on from there.
    #[arg(long, value_parser = minutes)]
    minutes: Option<Duration>,
    /// Height of a line: 28 puts one line under a vision token (4 characters), 14 two (8 characters).
    #[arg(long, value_parser = line_px(), default_value = "28")]
    line_px: u64,
    /// Peak learning rate.
    #[arg(long, default_value_t = 7e-4, value_parser = learning_rate, allow_negative_numbers = true)]
    learning_rate: f64,
    /// Share of the run after which the rate descends.
    #[arg(long, default_value_t = 0.75, value_parser = share, allow_negative_numbers = true)]
    decay_from: f64,
    /// Positions of a batch.
    #[arg(long, default_value_t = 750, value_parser = one_or_more)]
    positions: usize,
    /// Batches of a step.
    #[arg(long, default_value_t = 4, value_parser = one_or_more)]
    batches: usize,
    /// Replicas that share a step: one per core of a CPU, one on a GPU.
    #[arg(long, default_value_t = 2, value_parser = one_or_more)]
    workers: usize,
    /// How much the place that a question is about counts beside its answer, in the stage of places.
    #[arg(long, default_value_t = 1.0, value_parser = share, allow_negative_numbers = true)]
    place_share: f64,
    /// Share of the answers that are misled about the place, in the stage of places.
    #[arg(long, default_value_t = 0.5, value_parser = share, allow_negative_numbers = true)]
    misled_share: f64,
    /// Threads that draw and render batches ahead of their use.
    #[arg(long, default_value_t = 1, value_parser = one_or_more)]
    makers: usize,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A time given in minutes.
fn minutes(text: &str) -> Result<Duration> {
    let minutes: f64 = text.parse()?;
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
struct DeviceArgs {
    /// Device: cpu, cuda:N, wgpu:N, or auto for the best there is.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

impl DeviceArgs {
    fn open(&self) -> Result<Device> {
        let opened = glyph_device::open(self.device)?;
        if let Some(reason) = opened.reason {
            eprintln!("{reason}");
        }
        Ok(opened.device)
    }
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

/// How many threads the model's products are spread over, here and in every program started from here.
fn use_threads(n_threads: usize) {
    // SAFETY: no thread has started yet, so that nobody reads the environment meanwhile.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", n_threads.max(1).to_string());
    }
}

fn main() -> Result<()> {
    // SAFETY: no other thread runs yet.
    unsafe { glyph_device::set_runtime_directory() };
    keep_freed_memory();
    match Cli::parse().command {
        Command::Run(args) => run(args),
        Command::Export {
            run,
            out,
            lines,
            line_px,
            average_with,
            device,
        } => {
            let config = ModelConfig::from_json(&mini::config().to_string())?;
            let device = device.open()?;
            let of = |dir: PathBuf| {
                let trainee = RunDir(dir).load_to_begin(&config, &device)?;
                Ok::<_, anyhow::Error>(trainee.glm)
            };
            let (mut share, shares) = shares(&average_with)?;
            let mut glm = of(run)?;
            for (other, other_share) in average_with.into_iter().zip(shares) {
                glm = weighted_sum((glm, share), (&of(other.dir)?, other_share));
                // What is added up so far has its shares.
                share = 1.0;
            }
            export(&glm, &out, &mini::render_style(40, lines, line_px as usize))
        }
        Command::Grow { model, out, device } => grow(&model, &out, &device.open()?),
        Command::Evaluate {
            model,
            split,
            seed,
            samples,
            threads,
            tasks,
            json,
            answers,
            device,
        } => {
            let device = device.open()?;
            let options = EvaluationOptions {
                split,
                seed,
                n_samples: samples,
                n_threads: threads,
                tasks,
            };
            let json = JsonFile::new(json)?;
            let answers = JsonFile::new(answers)?;
            let head = Once::new();
            let evaluation = evaluate(&model, &options, &device, |score| {
                head.call_once(|| show(&score_head()));
                show(&score_row(score));
                show_misses(score);
            })?;
            let scores = evaluation.scores.iter();
            let all = scores.flat_map(|score| &score.answers);
            answers.write(&all.collect::<Vec<_>>())?;
            json.write(&evaluation)
        }
        Command::Quantization {
            model,
            seed,
            samples,
            json,
            device,
        } => {
            let json = JsonFile::new(json)?;
            let scores = quantization::compare(&model, seed, samples, &device.open()?)?;
            show(&quantized_table(&scores));
            json.write(&scores)
        }
        Command::Samples { model, seed, out } => {
            let grid = page_grid(&model.join("render.json"))?;
            save_samples(&model, grid, seed, &out)
        }
        Command::Bench {
            model,
            samples,
            python,
            threads,
            repeat,
            json,
            device,
        } => {
            use_threads(threads);
            let json = JsonFile::new(json)?;
            let script = default_script();
            let options = BenchOptions {
                model,
                samples,
                python,
                script,
                threads,
                repeat,
            };
            let rows = compare(&options, &device.open()?)?;
            show(&comparison_table(&rows));
            json.write(&rows)
        }
        Command::Plot { run, out } => {
            let curves = svg(&read_log(&RunDir(run).log_path())?)?;
            write(&out, &curves)
        }
    }
}

/// Trains, and says what came of it.
fn run(args: RunArgs) -> Result<()> {
    let options = RunOptions {
        device: args.device.open()?,
        out: args.out,
        init: args.init,
        first_stage: args.first_stage,
        seed: args.seed,
        length: args
            .minutes_in_all
            .map_or(RunLength::Steps(args.steps), RunLength::Time),
        time_limit: args.minutes,
        line_px: args.line_px as usize,
        learning_rate: args.learning_rate,
        decay_from: args.decay_from,
        positions_per_batch: args.positions,
        n_batches: args.batches,
        n_workers: args.workers,
        emphasis: Emphasis {
            place_share: args.place_share,
            misled_share: args.misled_share,
        },
        n_makers: args.makers,
    };
    let (steps_before, progress) = train(&options)?;
    let out = options.out.display();
    let (step, seconds) = (progress.step, progress.seconds);
    show(&if step == steps_before {
        format!(
            "{out} has {step} steps in {seconds:.0} s, as before: nothing was left to do. More --steps or \
             --minutes-in-all go on with it"
        )
    } else {
        format!(
            "{out} has {step} steps in {seconds:.0} s. `glyph-train export --run {out}` writes its weights as a checkpoint"
        )
    });
    Ok(())
}

/// Where figures are written as JSON, if asked.
struct JsonFile(Option<PathBuf>);

impl JsonFile {
    /// Refuses a path that nothing can be written to, before there is anything to lose.
    fn new(path: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = &path {
            let cannot_write = || format!("cannot write {}", path.display());
            // A link to a file that is yet to be is not removed in its place.
            let is_new = path.symlink_metadata().is_err();
            let file = OpenOptions::new().append(true).create(true).open(path);
            drop(file.with_context(cannot_write)?);
            // A measurement that fails leaves no empty file.
            if is_new {
                std::fs::remove_file(path).with_context(cannot_write)?;
            }
        }
        Ok(Self(path))
    }

    fn write<T: serde::Serialize>(self, value: &T) -> Result<()> {
        let Some(path) = self.0 else { return Ok(()) };
        write(&path, &(serde_json::to_string_pretty(value)? + "\n"))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to standard output. Who has closed it wants to see no more; the measurement goes on for its `--json`.
fn show(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        drop(writeln!(
            io::stderr(),
            "cannot write to standard output: {error}"
        ));
    }
}

fn quantized_table(scores: &[QuantizedScore]) -> String {
    let head = format!(
        "{:<8}{:>14}{:>8}{:>10}{:>10}{:>11}{:>9}{:>9}",
        "weights", "bytes", "tokens", "cosine", "least", "agreement", "loss", "right"
    );
    let rows = scores.iter().map(|score| {
        let loss = score
            .loss
            .map_or(String::new(), |loss| format!("{loss:.4}"));
        let share = |share: f64| format!("{:.2} %", 100.0 * share);
        format!(
            "{:<8}{:>14}{:>8}{:>10.5}{:>10.5}{:>11}{:>9}{:>9}",
            score.weights,
            score.weight_bytes,
            score.n_tokens,
            score.mean_cosine,
            score.least_cosine,
            share(score.agreement),
            loss,
            score.right.map_or(String::new(), share),
        )
    });
    std::iter::once(head)
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

fn score_head() -> String {
    format!(
        "{:<24}{:>6}{:>7}{:>9}{:>10}{:>9}{:>8}  held",
        "task", "pages", "shown", "samples", "CER", "exact", "bar"
    )
}

fn score_row(score: &Score) -> String {
    let error_rate = score
        .character_error_rate
        .map_or(String::new(), |rate| format!("{:.2} %", 100.0 * rate));
    format!(
        "{:<24}{:>6}{:>7.1}{:>9}{:>10}{:>8.1}%{:>8}  {}",
        score.task,
        score.n_pages,
        score.shown_pages,
        score.n_samples,
        error_rate,
        100.0 * score.exact,
        score
            .bar
            .map_or(String::new(), |bar| format!("{:.0}%", 100.0 * bar)),
        match score.held {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        },
    )
}

fn show_misses(score: &Score) {
    for (question, expected, given) in &score.misses {
        drop(writeln!(
            io::stderr(),
            "    {question:?}\n      expected {expected:?}\n      given    {given:?}"
        ));
    }
}
