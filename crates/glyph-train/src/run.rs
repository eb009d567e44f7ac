//! The training run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use glyph_model::config::ModelConfig;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::batch::{BatchMakers, PageShape};
use crate::checkpoint::{Progress, RunDir, check_stage};
use crate::curriculum::{Level, STAGES, Stage};
use crate::data::{Family, Generator, PageGrid, Reading, Split, Task};
use crate::emphasis::Emphasis;
use crate::log::{Log, LogLine, cut_log};
use crate::mini;
use crate::optimise::{LearningRate, clip_by_global_norm, number_parameters};
use crate::source::{BatchSource, Batches, Drawn, Recipe};
use crate::starts::starts_with;
use crate::trainee::{Measured, Parts, Trainee};

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where checkpoints and log go.
    pub out: PathBuf,
    /// Weights to start from instead of random ones: directory of another run or of a checkpoint.
    pub init: Option<PathBuf>,
    /// Curriculum stage to start in.
    pub first_stage: usize,
    /// Seed of weights and data.
    pub seed: u64,
    /// How long it lasts in all.
    pub length: RunLength,
    /// After how long to save and stop, to be gone on with later.
    pub time_limit: Option<Duration>,
    /// Height of a line on the pages: 28 puts one line under a vision token, 14 two.
    pub line_px: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the run after which the rate descends.
    pub decay_from: f64,
    /// Positions of a batch.
    pub positions_per_batch: usize,
    /// Batches whose mean gradient makes a step.
    pub n_batches: usize,
    /// Replicas that share a step's batches; on a CPU one per core, on a GPU one.
    pub n_workers: usize,
    /// What counts beside the answers where places are learnt.
    pub emphasis: Emphasis,
    /// Threads that draw and render batches ahead of their use.
    pub n_makers: usize,
    /// Device without autodiff.
    pub device: Device,
}

/// Where a run ends, however often it is stopped and gone on with.
#[derive(Debug, Clone, Copy)]
pub enum RunLength {
    /// After so many steps.
    Steps(usize),
    /// After so long a training.
    Time(Duration),
}

impl RunLength {
    /// Steps or seconds, done and in all.
    fn done_of_all(self, progress: &Progress) -> (f64, f64) {
        match self {
            Self::Steps(n_steps) => (progress.step as f64, n_steps as f64),
            Self::Time(time) => (progress.seconds, time.as_secs_f64()),
        }
    }

    /// How much of the run is done, 1 at its end.
    fn share_done(self, progress: &Progress) -> f64 {
        let (done, all) = self.done_of_all(progress);
        if done < all { done / all } else { 1.0 }
    }

    /// The last step that may be done, if steps are what counts.
    fn last_step(self) -> usize {
        match self {
            Self::Steps(n_steps) => n_steps,
            Self::Time(_) => usize::MAX,
        }
    }
}

const LOG_EVERY: usize = 25;
const EVALUATE_EVERY: usize = 100;
const SAVE_EVERY: Duration = Duration::from_secs(120);
/// Held-out samples of each kind in a measurement during training.
const HELD_OUT_SAMPLES: usize = 32;
/// How much better a model reads than it reads on from anywhere when the next page size helps both.
const EXCERPTS_LAG: f64 = 0.15;
const MAX_GRADIENT_NORM: f64 = 1.0;

/// Trains for as long as asked; goes on from what `out` holds. Returns how many steps it had done before, and where it
/// stands.
pub fn train(options: &RunOptions) -> Result<(usize, Progress)> {
    check_stage("--first-stage", options.first_stage)?;
    let config = ModelConfig::from_json(&mini::config().to_string())?;
    let run = RunDir::create(&options.out)?;
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
            (
                RunDir(init.clone()).load_to_begin(&config, &device)?,
                progress,
            )
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

/// What the batches of a step come to, in their order. Whoever is free takes the next one, so that no core waits long
/// for another that had other work or harder samples. What a replica computes stays on one thread: what it handed to
/// threads shared with others it would wait for.
fn step_results(
    trainee: &Trainee,
    cores: &[ThreadPool],
    options: &RunOptions,
    batches: &Batches,
) -> Vec<Result<StepResult>> {
    let device = &options.device.clone().autodiff();
    let n_left = AtomicUsize::new(options.n_batches);
    let mut results: Vec<(u64, Result<StepResult>)> = std::thread::scope(|scope| {
        let running: Vec<_> = cores
            .iter()
            .map(|core| {
                // Leaving and entering autodiff gives each replica a graph of its own; `fork` would
                // too, but leaves an entry per parameter behind that every backward pass walks over.
                let trainee = trainee.valid().train();
                let n_left = &n_left;
                let take = move |left: usize| left.checked_sub(1);
                scope.spawn(move || {
                    core.install(|| {
                        let mut results = Vec::new();
                        while n_left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                            .is_ok()
                        {
                            results.push(match batches.next() {
                                Ok(drawn) => (
                                    drawn.index,
                                    Ok(step_result(&trainee, &drawn, options.emphasis, device)),
                                ),
                                Err(error) => (u64::MAX, Err(error)),
                            });
                        }
                        results
                    })
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| vec![(u64::MAX, Err(anyhow!("a worker died")))])
            })
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

struct StepResult {
    grads: GradientsParams,
    measured: Measured,
    n_positions: usize,
    n_samples: usize,
}

fn step_result(
    trainee: &Trainee,
    drawn: &Drawn,
    emphasis: Emphasis,
    device: &Device,
) -> StepResult {
    let batch = &drawn.batch;
    let losses = trainee.losses(batch, drawn.parts, emphasis, device);
    let grads = GradientsParams::from_grads(losses.total.backward(), trainee);
    StepResult {
        grads,
        measured: losses.measured(batch),
        n_positions: match drawn.parts {
            Parts::Both | Parts::Decoder | Parts::Places => batch.n_rows * batch.seq,
            Parts::Tower => batch.n_images * batch.grid.n_tokens(2),
        },
        n_samples: batch.n_rows,
    }
}

/// Teacher-forced accuracies on held-out pages of the stage; returns the one that its gate watches.
fn measure(
    trainee: &Trainee,
    makers: &mut BatchMakers,
    options: &RunOptions,
    stage: usize,
    line: &mut LogLine,
) -> Result<f64> {
    let device = options.device.clone();
    let valid = trainee.valid();
    let Stage { page, level, .. } = STAGES[stage];
    let mut measured = |tasks: &[Task]| -> Result<Measured> {
        let shape = PageShape {
            columns: page.0,
            lines: page.1,
            line_px: options.line_px,
        };
        let mut generator = Generator::new(options.seed, Split::HeldOut);
        let samples = (0..HELD_OUT_SAMPLES)
            .map(|i| {
                generator.sample(
                    tasks[i % tasks.len()],
                    PageGrid::new(shape.columns, shape.lines),
                    1,
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let batch = makers.batch(shape, &samples)?;
        let parts = if level == Level::Letters {
            Parts::Tower
        } else {
            Parts::Both
        };
        let losses = valid.losses(&batch, parts, options.emphasis, &device);
        Ok(losses.measured(&batch))
    };
    let random = measured(&[Task::Read(Reading::Random)])?;
    if level < Level::Last {
        // Behind that the tower stays as it is, and no head learns what a checkpoint does not keep.
        line.held_out_cells = Some(share(random.cell_hits));
    }
    if level == Level::Letters {
        return Ok(share(random.cell_hits));
    }
    let prose = measured(&[Task::Read(Reading::Prose)])?;
    line.held_out_random = Some(share(random.answer_hits));
    line.held_out_prose = Some(share(prose.answer_hits));
    let excerpts = measured(&Family::Excerpts.tasks())?;
    line.held_out_excerpts = Some(share(excerpts.answer_hits));
    if level == Level::Read {
        return Ok(share(random.answer_hits).min(share(excerpts.answer_hits) + EXCERPTS_LAG));
    }
    // Pages of the first finding stage have no room for two values.
    let mut needles = Family::Needle.tasks();
    needles.retain(|task| matches!(task, Task::Needle(spec) if spec.values == 1));
    let mut exact = |tasks: &[Task]| Ok::<_, anyhow::Error>(share(measured(tasks)?.exact_hits));
    let found = [exact(&needles)?, exact(&Family::Lookup.tasks())?];
    line.held_out_needles = Some(found[0]);
    line.held_out_lookups = Some(found[1]);
    line.held_out_not_there = Some(exact(&Family::NotThere.tasks())?);
    Ok(found.iter().sum::<f64>() / found.len() as f64)
}

fn share((right, all): (usize, usize)) -> f64 {
    right as f64 / all.max(1) as f64
}

/// Sums since the last log line.
struct Window {
    seconds_before: f64,
    started: Instant,
    reset_at: Instant,
    n_results: usize,
    answer_loss: f64,
    cell_loss: f64,
    pointer_loss: f64,
    place_loss: f64,
    answer_hits: (usize, usize),
    cell_hits: (usize, usize),
    pointer_hits: (usize, usize),
    place_hits: (usize, usize),
    n_positions: usize,
}

impl Window {
    fn new(seconds_before: f64) -> Self {
        let now = Instant::now();
        Self {
            seconds_before,
            started: now,
            reset_at: now,
            n_results: 0,
            answer_loss: 0.0,
            cell_loss: 0.0,
            pointer_loss: 0.0,
            place_loss: 0.0,
            answer_hits: (0, 0),
            cell_hits: (0, 0),
            pointer_hits: (0, 0),
            place_hits: (0, 0),
            n_positions: 0,
        }
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn add(&mut self, result: &StepResult) {
        self.n_results += 1;
        let measured = &result.measured;
        self.answer_loss += measured.answer_loss;
        self.cell_loss += measured.cell_loss;
        self.pointer_loss += measured.pointer_loss;
        self.place_loss += measured.place_loss;
        for (sum, hits) in [
            (&mut self.place_hits, measured.place_hits),
            (&mut self.pointer_hits, measured.pointer_hits),
            (&mut self.answer_hits, measured.answer_hits),
            (&mut self.cell_hits, measured.cell_hits),
        ] {
            sum.0 += hits.0;
            sum.1 += hits.1;
        }
        self.n_positions += result.n_positions;
    }

    fn line(&self, progress: &Progress, learning_rate: f64) -> LogLine {
        let n = self.n_results.max(1) as f64;
        LogLine {
            step: progress.step,
            seconds: progress.seconds,
            stage: STAGES[progress.stage].name.to_owned(),
            learning_rate,
            answer_loss: self.answer_loss / n,
            cell_loss: self.cell_loss / n,
            answer_accuracy: share(self.answer_hits),
            cell_accuracy: share(self.cell_hits),
            pointer_loss: self.pointer_loss / n,
            pointer_accuracy: share(self.pointer_hits),
            place_loss: self.place_loss / n,
            place_accuracy: share(self.place_hits),
            positions_per_second: self.n_positions as f64 / self.reset_at.elapsed().as_secs_f64(),
            ..LogLine::default()
        }
    }

    fn reset(&mut self) {
        *self = Self {
            started: self.started,
            ..Self::new(self.seconds_before)
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RunLength, check_losses};
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

    #[test]
    fn a_run_ends_by_its_steps_or_by_its_time() {
        let progress = Progress {
            step: 30,
            seconds: 90.0,
            ..Progress::default()
        };
        let share = |length: RunLength| length.share_done(&progress);
        assert!((share(RunLength::Steps(120)) - 0.25).abs() < 1e-9);
        assert!((share(RunLength::Time(Duration::from_secs(180))) - 0.5).abs() < 1e-9);
        for over in [
            RunLength::Steps(30),
            RunLength::Steps(0),
            RunLength::Time(Duration::from_secs(60)),
        ] {
            assert!(share(over) >= 1.0, "{over:?}");
        }
    }
}
