//! What a checkpoint can do on held-out data, or for comparison on training data, asked as a user would ask: rendered,
//! prompted and answered through the same calls as the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::generate::{Generation, SplitAnswer, generate};
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::Message;
use glyph_render::{FontLibrary, RenderStyle, Renderer};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::batch::PageShape;
use crate::data::{
    Document, Family, Generator, PageGrid, Reading, Sample, Split, Task, canonical_answer_matches,
    character_error_rate,
};

/// One row of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Score {
    /// What was measured.
    pub task: String,
    /// Pages of each sample.
    pub n_pages: usize,
    /// Samples.
    pub n_samples: usize,
    /// Character error rate over all samples: edits by characters of the references.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub character_error_rate: Option<f64>,
    /// Share of answers that equal the expected one.
    pub exact: f64,
    /// What a shipped model should reach, if anything is asked of it: at most (error rate) or at least (exact).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bar: Option<f64>,
    /// Whether the bar is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// The same share of each kind of sample, where there are several: one that fails could hide in the mean.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, Share>,
    /// Some wrong answers: expected, given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub misses: Vec<(String, String, String)>,
    /// Every answer, in the order of the samples.
    #[serde(skip)]
    pub answers: Vec<Answered>,
}

/// How many samples of a kind were answered exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Samples.
    pub n_samples: usize,
    /// Those with the expected answer.
    pub n_exact: usize,
}

/// What was answered to one sample: whoever reads what went wrong wants the page and the thought beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Answered {
    /// What was measured.
    pub task: String,
    /// Pages of the sample.
    pub n_pages: usize,
    /// What stands on them.
    pub text: String,
    /// What was asked.
    pub question: String,
    /// What should be answered.
    pub expected: String,
    /// What was thought before the answer.
    pub thought: String,
    /// What was answered.
    pub answer: String,
    /// Whether that is right.
    pub is_right: bool,
}

/// A held-out measurement.
#[derive(Debug, Clone, Copy)]
struct Exam {
    name: &'static str,
    family: Family,
    reading: Option<Reading>,
    /// What is looked up in; all kinds of the family where none is given.
    document: Option<Document>,
    /// Values of a needle's key.
    n_values: usize,
    n_pages: usize,
    /// Samples in a hundred with indents, columns and empty lines.
    spaced_percent: usize,
    bar: Option<f64>,
}

const EXAMS: [Exam; 17] = [
    exam("read prose", Family::Read, Some(Reading::Prose), 1, 0.01),
    exam(
        "read random strings",
        Family::Read,
        Some(Reading::Random),
        1,
        0.02,
    ),
    exam(
        "read word salad",
        Family::Read,
        Some(Reading::Salad),
        1,
        0.01,
    ),
    exam("read code", Family::Read, Some(Reading::Code), 1, 0.02),
    spaced("read with white space", Family::Read, 0.02),
    exam("read tables", Family::Read, Some(Reading::Table), 1, 0.02),
    exam("needle", Family::Needle, None, 1, 0.98),
    exam("needle", Family::Needle, None, 2, 0.90),
    exam("needle", Family::Needle, None, 4, 0.90),
    exam("needle", Family::Needle, None, 8, 0.90),
    Exam {
        n_values: 2,
        bar: None,
        ..exam("needle, two values", Family::Needle, None, 1, 0.0)
    },
    exam("look-up", Family::Lookup, None, 1, 0.95),
    exam("look-up", Family::Lookup, None, 4, 0.95),
    spaced("look-up with white space", Family::Lookup, 0.95),
    Exam {
        document: Some(Document::Columns),
        ..exam("look-up in columns", Family::Lookup, None, 1, 0.95)
    },
    exam("not there", Family::NotThere, None, 1, 0.95),
    exam("not there", Family::NotThere, None, 4, 0.95),
];

const fn exam(
    name: &'static str,
    family: Family,
    reading: Option<Reading>,
    n_pages: usize,
    bar: f64,
) -> Exam {
    Exam {
        name,
        family,
        reading,
        document: None,
        n_values: 1,
        n_pages,
        spaced_percent: 0,
        bar: Some(bar),
    }
}

/// Of one page with indents, columns and empty lines.
const fn spaced(name: &'static str, family: Family, bar: f64) -> Exam {
    Exam {
        spaced_percent: 100,
        ..exam(name, family, None, 1, bar)
    }
}

const MISSES_SHOWN: usize = 5;

/// What is measured, and how.
#[derive(Debug, Clone)]
pub struct EvaluationOptions {
    /// Which side of the data.
    pub split: Split,
    /// Seed of the samples.
    pub seed: u64,
    /// Samples of each kind.
    pub n_samples: usize,
    /// Samples that are answered at a time.
    pub n_threads: usize,
    /// Measure only what has one of these in its name; all where there are none.
    pub tasks: Vec<String>,
}

/// Runs the exams; `on_score` sees each score as it comes.
///
/// # Errors
/// A checkpoint that cannot be used, or tasks that no exam is of.
pub fn evaluate(
    dir: &Path,
    options: &EvaluationOptions,
    device: &Device,
    mut on_score: impl FnMut(&Score),
) -> Result<Vec<Score>> {
    let EvaluationOptions {
        split,
        seed,
        n_samples,
        n_threads,
        ref tasks,
    } = *options;
    let exams = exams_of(tasks)?;
    let checkpoint = Checkpoint::open(dir, device, DType::F32, |_| {})?;
    let style_path = dir.join("render.json");
    let style = std::fs::read_to_string(&style_path)
        .with_context(|| format!("cannot read {}", style_path.display()))?;
    let style = RenderStyle::from_json(&style)?;
    let grid = page_grid(&style_path)?;
    let renderer = Renderer::new(style, FontLibrary::bundled())?;
    let bar = ProgressBar::new((exams.len() * n_samples) as u64);
    let scores = exams
        .into_iter()
        .map(|exam| {
            let samples = draw_samples(exam, split, seed, n_samples, grid)?;
            let answers = answer_all(&checkpoint, &renderer, &samples, n_threads, &bar)?;
            let score = score(exam, &samples, &answers);
            bar.suspend(|| on_score(&score));
            Ok(score)
        })
        .collect();
    bar.finish_and_clear();
    scores
}

/// The exams that have one of `tasks` in their name, or all.
fn exams_of(tasks: &[String]) -> Result<Vec<&'static Exam>> {
    let is_named = |exam: &Exam, task: &String| exam.name.contains(task.as_str());
    for task in tasks {
        ensure!(
            EXAMS.iter().any(|exam| is_named(exam, task)),
            "nothing is measured under the name {task:?}; there are {}",
            Vec::from_iter(BTreeSet::from(EXAMS.map(|exam| exam.name))).join(", ")
        );
    }
    let is_asked = |exam: &&Exam| tasks.is_empty() || tasks.iter().any(|task| is_named(exam, task));
    Ok(EXAMS.iter().filter(is_asked).collect())
}

fn draw_samples(
    exam: &Exam,
    split: Split,
    seed: u64,
    n_samples: usize,
    grid: PageGrid,
) -> Result<Vec<Sample>> {
    let mut tasks = match (exam.reading, exam.document) {
        (Some(reading), _) => vec![Task::Read(reading)],
        (None, Some(document)) => vec![Task::Lookup(document)],
        (None, None) => exam.family.tasks(),
    };
    tasks.retain(|task| !matches!(task, Task::Needle(spec) if spec.values != exam.n_values));
    let mut generator = Generator::new(seed, split).with_spacing(exam.spaced_percent);
    (0..n_samples)
        .map(|i| Ok(generator.sample(tasks[i % tasks.len()], grid, exam.n_pages)?))
        .collect()
}

fn answer_all(
    checkpoint: &Checkpoint,
    renderer: &Renderer,
    samples: &[Sample],
    n_threads: usize,
    bar: &ProgressBar,
) -> Result<Vec<SplitAnswer>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, SplitAnswer)>> {
        let mut answers = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(sample) = samples.get(i) else {
                return Ok(answers);
            };
            answers.push((
                i,
                answer(checkpoint, renderer, &sample.text, &sample.question)?,
            ));
            bar.inc(1);
        }
    };
    let mut all = BTreeMap::new();
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..n_threads.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a thread died"))??);
        }
        Ok(())
    })?;
    Ok(all.into_values().collect())
}

/// Renders, asks and returns the whole answer with its thought.
fn answer(
    checkpoint: &Checkpoint,
    renderer: &Renderer,
    text: &str,
    question: &str,
) -> Result<SplitAnswer> {
    let images = renderer
        .pages(text)
        .map(|page| RgbImage::new(page.width_px as usize, page.height_px as usize, page.rgb))
        .collect::<Result<Vec<_>, _>>()?;
    let images = checkpoint.settings.preprocess(&images)?;
    let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
    let messages = [Message::pages_and_question(images.len(), question)];
    let prompt = checkpoint.settings.encoder.encode(&messages, &grids)?;
    let options = Generation {
        max_new_tokens: 1400,
        ..Generation::from_checkpoint(checkpoint)
    };
    let said = block_on(generate(checkpoint, &prompt, &images, &options, |_| true))?.text;
    Ok(SplitAnswer::of(&said))
}

fn score(exam: &Exam, samples: &[Sample], answers: &[SplitAnswer]) -> Score {
    let pairs = samples.iter().zip(answers);
    let answers: Vec<Answered> = pairs
        .map(|(sample, answer)| Answered {
            task: exam.name.to_owned(),
            n_pages: exam.n_pages,
            text: sample.text.clone(),
            question: sample.question.clone(),
            expected: sample.answer.clone(),
            thought: answer.reasoning.clone(),
            answer: answer.content.clone(),
            is_right: canonical_answer_matches(&sample.answer, &answer.content),
        })
        .collect();
    let n_right = answers.iter().filter(|answered| answered.is_right).count();
    let exact = n_right as f64 / samples.len().max(1) as f64;
    let (errors, characters) = answers
        .iter()
        .fold((0.0, 0.0), |(errors, characters), answered| {
            let n = answered.expected.chars().count() as f64;
            let rate = character_error_rate(&answered.expected, &answered.answer);
            (errors + rate * n, characters + n)
        });
    let mut kinds = BTreeMap::<String, Share>::new();
    for (sample, answered) in samples.iter().zip(&answers) {
        let share = kinds.entry(sample.task.kind()).or_default();
        share.n_samples += 1;
        share.n_exact += usize::from(answered.is_right);
    }
    if kinds.len() == 1 {
        kinds.clear();
    }
    let error_rate = errors / f64::max(characters, 1.0);
    let reads = exam.family == Family::Read;
    let misses = answers
        .iter()
        .filter(|answered| !answered.is_right)
        .take(if reads { 1 } else { MISSES_SHOWN })
        .map(|missed| {
            (
                missed.question.clone(),
                missed.expected.clone(),
                missed.answer.clone(),
            )
        })
        .collect();
    Score {
        task: exam.name.to_owned(),
        n_pages: exam.n_pages,
        n_samples: samples.len(),
        character_error_rate: reads.then_some(error_rate),
        exact,
        bar: exam.bar,
        held: exam.bar.map(|bar| {
            if reads {
                error_rate <= bar
            } else {
                exact >= bar
            }
        }),
        kinds,
        misses,
        answers,
    }
}

/// Columns and lines of a page by a checkpoint's `render.json`.
pub fn page_grid(style_path: &Path) -> Result<PageGrid> {
    let PageShape { columns, lines, .. } = page_shape(style_path)?;
    Ok(PageGrid::new(columns, lines))
}

/// Geometry of a page by a checkpoint's `render.json`.
pub fn page_shape(style_path: &Path) -> Result<PageShape> {
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(style_path)?)?;
    let size = json["page-size"]
        .as_str()
        .context("render.json has no page-size")?;
    let (width, height) = size
        .split_once(',')
        .context("page-size is not width,height")?;
    let line_px = json["line-height"]
        .as_u64()
        .context("render.json has no line-height")?;
    let line_px = (line_px as usize).max(1);
    Ok(PageShape {
        columns: width.trim().parse::<usize>()? / crate::mini::COLUMN_PX,
        lines: height.trim().parse::<usize>()? / line_px,
        line_px,
    })
}

#[cfg(test)]
mod tests {
    use glyph_model::generate::SplitAnswer;

    use super::{EXAMS, Exam, exams_of, score};
    use crate::data::{Document, Family, Generator, PageGrid, Reading, Sample, Split, Task};

    fn exam(name: &str, n_pages: usize) -> &'static Exam {
        let mut exams = EXAMS.iter();
        exams
            .find(|exam| exam.name == name && exam.n_pages == n_pages)
            .unwrap()
    }

    /// Samples whose answer is `right`.
    fn samples(n: usize, right: &str) -> Vec<Sample> {
        let mut generator = Generator::new(1, Split::HeldOut);
        let task = Task::Read(Reading::Prose);
        let sample = generator.sample(task, PageGrid::new(24, 4), 1).unwrap();
        let answer = right.to_owned();
        vec![Sample { answer, ..sample }; n]
    }

    #[test]
    fn a_kind_that_fails_is_told_from_the_others() {
        let mut generator = Generator::new(1, Split::HeldOut);
        let documents = [Document::Form, Document::Settings, Document::Form];
        let samples = documents.map(|document| {
            let task = Task::Lookup(document);
            generator.sample(task, PageGrid::new(40, 8), 1).unwrap()
        });
        let answers = samples.each_ref().map(|sample| {
            let is_form = sample.task == Task::Lookup(Document::Form);
            SplitAnswer::of(if is_form { &sample.answer } else { "wrong" })
        });
        let kinds = score(exam("look-up", 1), &samples, &answers).kinds;
        let counts = kinds
            .iter()
            .map(|(kind, share)| (kind.as_str(), share.n_exact, share.n_samples));
        let expected = [("form", 2, 2), ("settings", 0, 1)];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        assert!(
            score(exam("look-up", 1), &samples[..1], &answers[..1])
                .kinds
                .is_empty()
        );
    }

    #[test]
    fn bars_are_held_by_shares_of_answers_and_of_characters() {
        let samples = samples(100, "73-4815");
        let answers = |n_wrong: usize, wrong: &str| -> Vec<SplitAnswer> {
            let answer = |i| if i < n_wrong { wrong } else { "73-4815" };
            (0..100).map(|i| SplitAnswer::of(answer(i))).collect()
        };
        for (name, n_pages, most_wrong) in [("needle", 1, 2), ("needle", 8, 10), ("look-up", 1, 5)]
        {
            let exam = exam(name, n_pages);
            let held = |n_wrong| score(exam, &samples, &answers(n_wrong, "73-4816")).held;
            assert_eq!(held(most_wrong), Some(true), "{name}");
            assert_eq!(held(most_wrong + 1), Some(false), "{name}");
        }
        let prose = exam("read prose", 1);
        assert_eq!(prose.family, Family::Read);
        // Seven characters each: seven wrong ones are one in a hundred.
        for (n_wrong, held) in [(7, true), (8, false)] {
            let score = score(prose, &samples, &answers(n_wrong, "73-4816"));
            assert_eq!(score.held, Some(held), "{score:?}");
            assert_eq!(score.n_samples, 100);
            let n_right = score.answers.iter().filter(|answer| answer.is_right);
            assert_eq!(n_right.count(), 100 - n_wrong);
        }
    }

    #[test]
    fn tasks_are_picked_by_a_part_of_their_name() {
        let picked = |tasks: &[&str]| {
            let tasks: Vec<String> = tasks.iter().map(|task| (*task).to_owned()).collect();
            exams_of(&tasks)
        };
        assert_eq!(picked(&[]).unwrap().len(), EXAMS.len());
        let names = |tasks| -> Vec<&str> {
            let exams = picked(tasks).unwrap();
            exams.into_iter().map(|exam| exam.name).collect()
        };
        let white_space = ["read with white space", "look-up with white space"];
        assert_eq!(names(&["white space"]), white_space);
        assert_eq!(names(&["look-up", "read"]).len(), 10);
        let unknown = picked(&["look-up", "lookup"]).unwrap_err().to_string();
        assert!(
            unknown.contains("\"lookup\"") && unknown.contains("not there, read code"),
            "{unknown}"
        );
    }
}
