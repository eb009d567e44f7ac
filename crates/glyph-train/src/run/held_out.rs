//! What a run measures on held-out samples as it goes.

use anyhow::Result;
use burn::module::Module;

use super::RunOptions;
use super::window::share;
use crate::batch::{BatchMakers, PageShape};
use crate::curriculum::{Level, STAGES, Stage};
use crate::data::{Family, Generator, PageGrid, Reading, Split, Task};
use crate::log::LogLine;
use crate::trainee::{Measured, Parts, Trainee};

/// Held-out samples of each kind in a measurement during training.
const HELD_OUT_SAMPLES: usize = 32;
/// How much better a model reads than it reads on from anywhere when the next page size helps both.
const EXCERPTS_LAG: f64 = 0.15;

/// Teacher-forced accuracies on held-out pages of the stage; returns the one that its gate watches.
pub(super) fn measure(
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
