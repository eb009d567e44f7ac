//! The training run.

mod held_out;
mod options;
mod step;
mod window;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use glyph_model::config::ModelConfig;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::held_out::measure;
pub use self::options::{RunLength, RunOptions};
use self::step::step_results;
use self::window::Window;
use crate::checkpoint::{Progress, RunDir, check_stage};
use crate::curriculum::STAGES;
use crate::log::{Log, LogLine, cut_log};
use crate::mini;
use crate::optimise::{LearningRate, clip_by_global_norm, number_parameters};
use crate::source::{BatchSource, Recipe};
use crate::starts::starts_with;
use crate::trainee::{Measured, Trainee};

const LOG_EVERY: usize = 25;
const EVALUATE_EVERY: usize = 100;
const SAVE_EVERY: Duration = Duration::from_secs(120);
const MAX_GRADIENT_NORM: f64 = 1.0;

/// Trains for as long as asked; goes on from what `out` holds. Returns how many steps it had done before, and where it
/// stands.
pub fn train(options: &RunOptions) -> Result<(usize, Progress)> {
    check_stage("--first-stage", options.first_stage)?;
    let config = ModelConfig::from_json(&mini::config().to_string())?;
    let run = RunDir(options.out.clone());
    let former = run.progress()?;
    let starts = starts_with(&run, options, former.as_ref())?;
    let device = options.device.clone().autodiff();
    device.seed(options.seed);
    let mut optimizer = AdamWConfig::new()
        .with_beta_2(0.98)
        .with_epsilon(1e-8)
        .with_weight_decay(0.01)
        .init();
    let (mut trainee, mut progress) = match (former, &options.init) {
        (Some(progress), _) => {
            optimizer = run.load_optimizer(optimizer)?;
            cut_log(&run.log_path(), progress.step)?;
            (run.load_trainee(&config, &device)?, progress)
        }
        (None, Some(init)) => {
            let progress = Progress {
                stage: options.first_stage,
                ..Progress::default()
            };
            let begun = RunDir(init.clone()).load_to_begin(&config, &device);
            let begun = begun.with_context(|| format!("--init is {}", init.display()))?;
            (begun, progress)
        }
        (None, None) => {
            let progress = Progress {
                stage: options.first_stage,
                ..Progress::default()
            };
            (number_parameters(Trainee::new(&config, &device)), progress)
        }
    };
    let rate = LearningRate {
        peak: options.learning_rate,
        warmup_steps: 200,
        decay_from: options.decay_from,
    };
    // What cannot begin leaves no directory.
    run.create()?;
    run.save_starts(&starts)?;
    let steps_before = progress.step;
    let mut log = Log::open(&run.log_path())?;
    let mut source = BatchSource::new(options.n_makers);
    let cores = (0..options.n_workers)
        .map(|_| ThreadPoolBuilder::new().num_threads(1).build())
        .collect::<Result<Vec<ThreadPool>, _>>()?;
    let mut window = Window::new(progress.seconds);
    let mut last_save = Instant::now();
    let mut last_rate = 0.0;
    let (done, all) = options.length.done_of_all(&progress);
    let bar = ProgressBar::new(all as u64).with_position(done as u64);
    bar.set_style(ProgressStyle::with_template(
        "{wide_bar} {pos}/{len} {eta} {msg}",
    )?);

    let started = Instant::now();
    let is_over = |progress: &Progress| {
        let is_time = |limit| started.elapsed() >= limit;
        options.length.share_done(progress) >= 1.0 || options.time_limit.is_some_and(is_time)
    };
    // The stage can change where the model is measured, and what batches hold with it.
    while !is_over(&progress) {
        let stage = progress.stage;
        let last = options
            .length
            .last_step()
            .min((progress.step + 1).next_multiple_of(EVALUATE_EVERY));
        let recipe = Recipe {
            seed: options.seed,
            stage,
            line_px: options.line_px,
            positions_per_batch: options.positions_per_batch,
        };
        let batches = (progress.step * options.n_batches) as u64..(last * options.n_batches) as u64;
        trainee = source.ahead(recipe, batches, |batches| {
            let mut trainee = trainee;
            while progress.step < last && !is_over(&progress) {
                let rate = rate.at(progress.step, options.length.share_done(&progress));
                let mut accumulator = GradientsAccumulator::new();
                for result in step_results(&trainee, &cores, options, &batches) {
                    let result = result?;
                    check_losses(&result.measured, &progress)?;
                    progress.n_samples += result.n_samples as u64;
                    window.add(&result);
                    accumulator.accumulate(&trainee, result.grads);
                }
                let mut grads: GradientsParams = accumulator.grads();
                let scale = 1.0 / options.n_batches as f64;
                clip_by_global_norm(&trainee, &mut grads, scale, MAX_GRADIENT_NORM);
                trainee = optimizer.step(rate, trainee, grads);
                progress.step += 1;
                progress.seconds = window.seconds();
                last_rate = rate;
                bar.set_position(options.length.done_of_all(&progress).0 as u64);
                if progress.step % LOG_EVERY == 0 && progress.step != last {
                    let line = window.line(&progress, rate);
                    show(&bar, &line);
                    log.write(&line)?;
                    window.reset();
                }
                if last_save.elapsed() > SAVE_EVERY {
                    save(&run, &trainee, &optimizer, &progress)?;
                    last_save = Instant::now();
                }
            }
            Ok::<_, anyhow::Error>(trainee)
        })?;
        if progress.step != last {
            break;
        }
        let mut line = window.line(&progress, last_rate);
        let reached = measure(&trainee, source.makers(), options, stage, &mut line)?;
        if reached >= STAGES[stage].gate && stage + 1 < STAGES.len() {
            progress.stage += 1;
        }
        show(&bar, &line);
        if bar.is_hidden() {
            // Who reads a pipe or a file sees where it stands all the same.
            eprintln!("{}", summary(&line));
        }
        log.write(&line)?;
        window.reset();
    }
    save(&run, &trainee, &optimizer, &progress)?;
    bar.finish();
    Ok((steps_before, progress))
}

/// Refuses to learn from a loss that is no number: every weight would be none either, in the checkpoint too.
fn check_losses(measured: &Measured, progress: &Progress) -> Result<()> {
    let losses = [
        measured.answer_loss,
        measured.cell_loss,
        measured.pointer_loss,
        measured.place_loss,
    ];
    ensure!(
        losses.iter().all(|loss| loss.is_finite()),
        "the loss is {losses:?} after step {}: it must be finite. What was saved last is kept; go on from there with a \
         lower --learning-rate, or start from other weights",
        progress.step
    );
    Ok(())
}

fn save(
    run: &RunDir,
    trainee: &Trainee,
    optimizer: &ModuleOptimizer,
    progress: &Progress,
) -> Result<()> {
    run.save(&trainee.valid(), optimizer, progress)
}

fn show(bar: &ProgressBar, line: &LogLine) {
    bar.set_message(format!(
        "{} loss {:.3} next {:.3} cells {:.3}",
        line.stage, line.answer_loss, line.answer_accuracy, line.cell_accuracy
    ));
}

/// A line about a measurement.
fn summary(line: &LogLine) -> String {
    let mut summary = format!(
        "step {}, {:.0} s, {}: loss {:.3}",
        line.step, line.seconds, line.stage, line.answer_loss
    );
    for (name, share) in [
        ("cells", line.held_out_cells),
        ("random strings", line.held_out_random),
        ("prose", line.held_out_prose),
        ("excerpts", line.held_out_excerpts),
        ("needles", line.held_out_needles),
        ("look-ups", line.held_out_lookups),
        ("not there", line.held_out_not_there),
    ] {
        if let Some(share) = share {
            summary.push_str(&format!(", {name} {:.1} %", 100.0 * share));
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::check_losses;
    use crate::checkpoint::Progress;
    use crate::trainee::Measured;

    #[test]
    fn a_loss_that_is_no_number_ends_a_run() {
        let progress = Progress {
            step: 30,
            ..Progress::default()
        };
        check_losses(&Measured::default(), &progress).unwrap();
        let measured = Measured {
            cell_loss: f64::NAN,
            ..Measured::default()
        };
        let error = check_losses(&measured, &progress).unwrap_err().to_string();
        for part in ["NaN", "step 30", "--learning-rate"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
