//! The training run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use glyph_model::config::ModelConfig;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::batch::{Batch, BatchMakers, PageShape};
use crate::checkpoint::{Progress, RunDir, check_stage};
use crate::curriculum::{self, Level, STAGES, Stage};
use crate::data::{Family, Generator, PageGrid, Reading, Split, Task};
use crate::log::{Log, LogLine, cut_log};
use crate::mini;
use crate::optimise::{LearningRate, clip_by_global_norm, number_parameters};
use crate::trainee::{Losses, Parts, Trainee};

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
    /// Steps in all.
    pub n_steps: usize,
    /// Height of a line on the pages: 28 puts one line under a vision token, 14 two.
    pub line_px: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the steps after which the rate descends.
    pub decay_from: f64,
    /// Positions of a batch.
    pub positions_per_batch: usize,
    /// Batches whose mean gradient makes a step.
    pub n_batches: usize,
    /// Replicas that share a step's batches; on a CPU one per core.
    pub n_workers: usize,
    /// Device without autodiff.
    pub device: Device,
}

const LOG_EVERY: usize = 25;
const EVALUATE_EVERY: usize = 100;
const SAVE_EVERY: Duration = Duration::from_secs(120);
const MAX_ROWS: usize = 64;
/// Samples that may be drawn for the rows of a batch.
const MAX_DRAWS: u64 = 2 * MAX_ROWS as u64;
/// Held-out samples of each kind in a measurement during training.
const HELD_OUT_SAMPLES: usize = 32;
/// How much better a model reads than it reads on from anywhere when the next page size helps both.
const EXCERPTS_LAG: f64 = 0.15;
const MAX_GRADIENT_NORM: f64 = 1.0;

/// Trains until the last step; goes on from what `out` holds.
pub fn train(options: &RunOptions) -> Result<()> {
    check_stage("--first-stage", options.first_stage)?;
    let config = ModelConfig::from_json(&mini::config().to_string())?;
    let run = RunDir::create(&options.out)?;
    let device = options.device.clone().autodiff();
    device.seed(options.seed);
    let mut optimizer = AdamWConfig::new()
        .with_beta_2(0.98)
        .with_epsilon(1e-8)
        .with_weight_decay(0.01)
        .init();
    let (mut trainee, mut progress) = match (run.progress()?, &options.init) {
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
                RunDir(init.clone()).load_trainee(&config, &device)?,
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
        decay_start: (options.n_steps as f64 * options.decay_from) as usize,
        n_steps: options.n_steps,
    };
    let mut log = Log::open(&run.log_path())?;
    let mut workers = (0..options.n_workers)
        .map(|_| {
            Ok(Worker {
                core: Arc::new(ThreadPoolBuilder::new().num_threads(1).build()?),
                makers: BatchMakers::default(),
                device: device.clone(),
            })
        })
        .collect::<Result<Vec<Worker>>>()?;
    let mut window = Window::new(progress.seconds);
    let mut last_save = Instant::now();
    let bar = ProgressBar::new(options.n_steps as u64).with_position(progress.step as u64);
    bar.set_style(ProgressStyle::with_template(
        "{wide_bar} {pos}/{len} {eta} {msg}",
    )?);

    while progress.step < options.n_steps {
        let step = progress.step;
        let stage = progress.stage;
        let mut accumulator = GradientsAccumulator::new();
        for result in step_results(&trainee, &mut workers, options, stage, step) {
            let result = result?;
            progress.n_samples += result.n_samples as u64;
            window.add(&result);
            accumulator.accumulate(&trainee, result.grads);
        }
        let mut grads: GradientsParams = accumulator.grads();
        let scale = 1.0 / options.n_batches as f64;
        clip_by_global_norm(&trainee, &mut grads, scale, MAX_GRADIENT_NORM);
        trainee = optimizer.step(rate.at(step), trainee, grads);
        progress.step += 1;
        progress.seconds = window.seconds();
        bar.inc(1);

        if progress.step % LOG_EVERY == 0 {
            let mut line = window.line(&progress, rate.at(step));
            if progress.step % EVALUATE_EVERY == 0 {
                let reached = measure(&trainee, &mut workers, options, stage, &mut line)?;
                if reached >= STAGES[stage].gate && stage + 1 < STAGES.len() {
                    progress.stage += 1;
                }
            }
            bar.set_message(format!(
                "{} loss {:.3} next {:.3} cells {:.3}",
                line.stage, line.answer_loss, line.answer_accuracy, line.cell_accuracy
            ));
            log.write(&line)?;
            window.reset();
        }
        if last_save.elapsed() > SAVE_EVERY || progress.step == options.n_steps {
            save(&run, &trainee, &optimizer, &progress)?;
            last_save = Instant::now();
        }
    }
    bar.finish();
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

struct Worker {
    /// What a replica computes stays on one thread: what it handed to threads shared with others it would wait for.
    core: Arc<ThreadPool>,
    makers: BatchMakers,
    device: Device,
}

/// What the batches of a step come to, in their order. Whoever is free takes the next one, so that no core waits long
/// for another that had other work or harder samples.
fn step_results(
    trainee: &Trainee,
    workers: &mut [Worker],
    options: &RunOptions,
    stage: usize,
    step: usize,
) -> Vec<Result<StepResult>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<StepResult>)> = std::thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                // Leaving and entering autodiff gives each replica a graph of its own; `fork` would
                // too, but leaves an entry per parameter behind that every backward pass walks over.
                let trainee = trainee.valid().train();
                let take = || Some(next.fetch_add(1, Ordering::Relaxed));
                let batches =
                    std::iter::from_fn(take).take_while(|batch| *batch < options.n_batches);
                let core = Arc::clone(&worker.core);
                scope.spawn(move || {
                    core.install(|| {
                        batches
                            .map(|batch| {
                                (batch, worker.step(&trainee, options, stage, step, batch))
                            })
                            .collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| vec![(0, Err(anyhow!("a worker died")))])
            })
            .collect()
    });
    results.sort_by_key(|(batch, _)| *batch);
    results.into_iter().map(|(_, result)| result).collect()
}

struct StepResult {
    grads: GradientsParams,
    answer_loss: f64,
    cell_loss: f64,
    pointer_loss: f64,
    answer_hits: (usize, usize),
    cell_hits: (usize, usize),
    pointer_hits: (usize, usize),
    n_positions: usize,
    n_samples: usize,
}

impl Worker {
    fn step(
        &mut self,
        trainee: &Trainee,
        options: &RunOptions,
        stage: usize,
        step: usize,
        batch: usize,
    ) -> Result<StepResult> {
        // What a batch holds depends on seed, step and its place in the step alone, so that a resumed run
        // sees what an uninterrupted one would, on any number of cores.
        let batch_index = (step * options.n_batches + batch) as u64;
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(batch_index + 1);
        let plan = curriculum::plan(stage, options.line_px, &mut rng);
        let generator =
            Generator::new(options.seed, Split::Train).with_more_turns(curriculum::MORE_TURNS);
        let first_sample = batch_index * MAX_DRAWS;
        let mut n_draws = 0;
        let mut samples = Vec::new();
        let mut n_positions = 0;
        let decode = plan.parts != Parts::Tower;
        let PageGrid { columns, lines } = page_grid(plan.shape);
        while samples.len() < MAX_ROWS {
            let task = curriculum::task(&plan, &mut rng);
            let index = first_sample + n_draws;
            n_draws += 1;
            let grid = page_grid(plan.shape);
            let sample = match generator.sample_at(index, task, grid, plan.n_pages) {
                Ok(sample) => sample,
                // Once in a hundred thousand draws a small page has nothing to ask about.
                Err(_) if n_draws < MAX_DRAWS => continue,
                Err(error) => return Err(error.into()),
            };
            // The tower's work on a page counts about as much as the decoder's on its tokens.
            let page_positions = columns * lines * plan.shape.line_px / (28 * 4);
            let text_positions = if decode {
                let more = sample.more_turns.iter();
                let more = more.map(|turn| {
                    turn.question.len()
                        + turn.thought.as_ref().map_or(0, String::len)
                        + turn.answer.len()
                        + 6
                });
                let thought = sample.thought.as_ref().map_or(0, String::len);
                sample.question.len() + thought + sample.answer.len() + 10 + more.sum::<usize>()
            } else {
                0
            };
            // Letters are learned from few pages at a time: steps count there, not pages.
            let tower_weight = if decode { 2 } else { 8 };
            let row = tower_weight * plan.n_pages * page_positions + text_positions;
            if n_positions + row > options.positions_per_batch && !samples.is_empty() {
                break;
            }
            n_positions += row;
            samples.push(sample);
        }
        let batch = self.makers.batch(plan.shape, &samples)?;
        let losses = trainee.losses(&batch, plan.parts, &self.device);
        let scalar = |tensor: &burn::tensor::Tensor<1>| {
            tensor
                .clone()
                .into_data()
                .iter::<f64>()
                .next()
                .unwrap_or(f64::NAN)
        };
        let (answer_loss, cell_loss) = (scalar(&losses.answer), scalar(&losses.cells));
        let pointer_loss = scalar(&losses.pointers);
        let grads = GradientsParams::from_grads(losses.total.backward(), trainee);
        Ok(StepResult {
            grads,
            answer_loss,
            cell_loss,
            pointer_loss,
            answer_hits: losses.answer_hits,
            cell_hits: losses.cell_hits,
            pointer_hits: losses.pointer_hits,
            n_positions: if decode {
                batch.n_rows * batch.seq
            } else {
                batch.n_images * batch.grid.n_tokens(2)
            },
            n_samples: batch.n_rows,
        })
    }
}

fn page_grid(shape: PageShape) -> PageGrid {
    PageGrid {
        columns: shape.columns,
        lines: shape.lines,
    }
}

/// Teacher-forced accuracies on held-out pages of the stage; returns the one that its gate watches.
fn measure(
    trainee: &Trainee,
    workers: &mut [Worker],
    options: &RunOptions,
    stage: usize,
    line: &mut LogLine,
) -> Result<f64> {
    let worker = workers.first_mut().context("no worker")?;
    let device = options.device.clone();
    let valid = trainee.valid();
    let Stage { page, level, .. } = STAGES[stage];
    let mut losses = |tasks: &[Task]| -> Result<Losses> {
        let shape = PageShape {
            columns: page.0,
            lines: page.1,
            line_px: options.line_px,
        };
        let mut generator = Generator::new(options.seed, Split::HeldOut);
        let samples = (0..HELD_OUT_SAMPLES)
            .map(|i| generator.sample(tasks[i % tasks.len()], page_grid(shape), 1))
            .collect::<Result<Vec<_>, _>>()?;
        let batch: Batch = worker.makers.batch(shape, &samples)?;
        let parts = if level == Level::Letters {
            Parts::Tower
        } else {
            Parts::Both
        };
        Ok(valid.losses(&batch, parts, &device))
    };
    let random = losses(&[Task::Read(Reading::Random)])?;
    line.held_out_cells = Some(share(random.cell_hits));
    if level == Level::Letters {
        return Ok(share(random.cell_hits));
    }
    let prose = losses(&[Task::Read(Reading::Prose)])?;
    line.held_out_random = Some(share(random.answer_hits));
    line.held_out_prose = Some(share(prose.answer_hits));
    let excerpts = losses(&Family::Excerpts.tasks())?;
    line.held_out_excerpts = Some(share(excerpts.answer_hits));
    if level == Level::Read {
        return Ok(share(random.answer_hits).min(share(excerpts.answer_hits) + EXCERPTS_LAG));
    }
    // Pages of the first finding stage have no room for two values.
    let mut needles = Family::Needle.tasks();
    needles.retain(|task| matches!(task, Task::Needle(spec) if spec.values == 1));
    let mut exact = |tasks: &[Task]| Ok::<_, anyhow::Error>(share(losses(tasks)?.exact_hits));
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
    answer_hits: (usize, usize),
    cell_hits: (usize, usize),
    pointer_hits: (usize, usize),
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
            answer_hits: (0, 0),
            cell_hits: (0, 0),
            pointer_hits: (0, 0),
            n_positions: 0,
        }
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn add(&mut self, result: &StepResult) {
        self.n_results += 1;
        self.answer_loss += result.answer_loss;
        self.cell_loss += result.cell_loss;
        self.pointer_loss += result.pointer_loss;
        self.pointer_hits.0 += result.pointer_hits.0;
        self.pointer_hits.1 += result.pointer_hits.1;
        self.answer_hits.0 += result.answer_hits.0;
        self.answer_hits.1 += result.answer_hits.1;
        self.cell_hits.0 += result.cell_hits.0;
        self.cell_hits.1 += result.cell_hits.1;
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
