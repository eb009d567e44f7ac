//! `glyph-train`: the one command that makes glyph-mini.

mod args;
mod output;

use std::path::PathBuf;
use std::sync::Once;

use anyhow::{Result, ensure};
use clap::Parser;
use glyph_model::config::ModelConfig;
use glyph_train::average::{shares, weighted_sum};
use glyph_train::bench::{BenchOptions, compare, comparison_table, default_script};
use glyph_train::checkpoint::{RunDir, export};
use glyph_train::emphasis::Emphasis;
use glyph_train::evaluate::{EvaluationOptions, evaluate};
use glyph_train::grow::grow;
use glyph_train::log::read_log;
use glyph_train::mini;
use glyph_train::plot::svg;
use glyph_train::quantization;
use glyph_train::run::{RunLength, RunOptions, train};
use glyph_train::samples::save_samples;
use glyph_train::starts::line_px;
use glyph_train::style::page_grid;

use args::{Cli, Command, RunArgs};
use output::{JsonFile, quantized_table, score_head, score_row, show, show_misses, write};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
            average_with,
            device,
        } => {
            let config = ModelConfig::from_json(&mini::config().to_string())?;
            let device = device.open()?;
            let of = |dir: PathBuf| {
                let run = RunDir(dir);
                let trainee = run.load_to_begin(&config, &device)?;
                Ok::<_, anyhow::Error>((trainee.glm, line_px(&run)?))
            };
            let (mut share, shares) = shares(&average_with)?;
            let (mut glm, line_px) = of(run)?;
            for (other, other_share) in average_with.into_iter().zip(shares) {
                let name = other.dir.display().to_string();
                let (other, other_line_px) = of(other.dir)?;
                ensure!(
                    other_line_px == line_px,
                    "the lines of {name} are {other_line_px} px high, those of --run {line_px} px: a mean of both could \
                     read neither. Average what was trained on the same pages"
                );
                glm = weighted_sum((glm, share), (&other, other_share));
                // What is added up so far has its shares.
                share = 1.0;
            }
            export(&glm, &out, &mini::render_style(40, lines, line_px))
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
