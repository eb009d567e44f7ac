//! What a checkpoint can do on held-out data, or for comparison on training data, asked as a user would ask: rendered,
//! prompted and answered through the same calls as the command line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};
use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::generate::{Generation, SplitAnswer, generate};
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::Message;
use glyph_model::text::KvPrecision;
use glyph_render::{FontLibrary, RenderStyle, Renderer};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::{Family, Sample, Split, canonical_answer_matches, character_error_rate};
use crate::exams::{Exam, draw_samples, exams_of};
use crate::style::page_grid;

/// What was measured, of which weights and on which samples.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evaluation {
    /// SHA-256 of each file of weights, in hexadecimal digits, so that nobody takes the figures for those of other weights.
    pub weights_sha256: BTreeMap<String, String>,
    /// Side of the data.
    pub split: Split,
    /// Seed of the samples.
    pub seed: u64,
    /// A row for each exam.
    pub scores: Vec<Score>,
}

/// One row of the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Score {
    /// What was measured.
    pub task: String,
    /// Pages that each sample was written for.
    pub n_pages: usize,
    /// Pages that the renderer made of it, in the mean: behind a page that a line ends with, the next one begins with an
    /// empty line, so that lines may need a page more.
    pub shown_pages: f64,
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, Share>,
    /// The samples that were answered wrongly, counted from 0 in the order in which they are drawn: who asks the first of
    /// them again knows what to expect of each.
    pub missed: Vec<usize>,
    /// Some wrong answers: question, expected, given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misses: Vec<(String, String, String)>,
    /// Every answer, in the order of the samples.
    #[serde(skip)]
    pub answers: Vec<Answered>,
}

/// How many samples of a kind were answered exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Pages that the sample was written for.
    pub n_pages: usize,
    /// Pages that the renderer made of it.
    pub shown_pages: usize,
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
) -> Result<Evaluation> {
    let EvaluationOptions {
        split,
        seed,
        n_samples,
        n_threads,
        ref tasks,
    } = *options;
    let exams = exams_of(tasks)?;
    let weights_sha256 = weights_sha256(dir)?;
    let mut checkpoint = Checkpoint::open(dir, device, DType::F32, |_| {})?;
    // The command line's default: what is measured is what people run.
    checkpoint.kv_precision = KvPrecision::FOR_ANSWERS;
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
            // Of what is written by hand there may be fewer.
            bar.dec_length((n_samples - samples.len()) as u64);
            let answers = answer_all(&checkpoint, &renderer, &samples, n_threads, &bar)?;
            let score = score(exam, &samples, &answers);
            bar.suspend(|| on_score(&score));
            Ok(score)
        })
        .collect::<Result<_>>();
    bar.finish_and_clear();
    Ok(Evaluation {
        weights_sha256,
        split,
        seed,
        scores: scores?,
    })
}

/// SHA-256 of each safetensors file of a checkpoint, by its name.
///
/// # Errors
/// A directory or a file that cannot be read.
pub fn weights_sha256(dir: &Path) -> Result<BTreeMap<String, String>> {
    let cannot_read = |path: &Path| format!("cannot read {}", path.display());
    let mut sums = BTreeMap::new();
    for entry in std::fs::read_dir(dir).with_context(|| cannot_read(dir))? {
        let path = entry.with_context(|| cannot_read(dir))?.path();
        if path.extension().is_none_or(|end| end != "safetensors") {
            continue;
        }
        let mut sum = Sha256::new();
        File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut sum))
            .with_context(|| cannot_read(&path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sums.insert(name.into_owned(), format!("{:x}", sum.finalize()));
    }
    Ok(sums)
}

fn answer_all(
    checkpoint: &Checkpoint,
    renderer: &Renderer,
    samples: &[Sample],
    n_threads: usize,
    bar: &ProgressBar,
) -> Result<Vec<Answer>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Answer)>> {
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

/// What was said, and how many pages were looked at for it.
struct Answer {
    said: SplitAnswer,
    shown_pages: usize,
}

/// Renders, asks and returns the whole answer with its thought.
fn answer(
    checkpoint: &Checkpoint,
    renderer: &Renderer,
    text: &str,
    question: &str,
) -> Result<Answer> {
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
    Ok(Answer {
        said: SplitAnswer::of(&said),
        shown_pages: images.len(),
    })
}

fn score(exam: &Exam, samples: &[Sample], answers: &[Answer]) -> Score {
    let pairs = samples.iter().zip(answers);
    let answers: Vec<Answered> = pairs
        .map(|(sample, answer)| Answered {
            task: exam.name.to_owned(),
            n_pages: exam.n_pages,
            shown_pages: answer.shown_pages,
            text: sample.text.clone(),
            question: sample.question.clone(),
            expected: sample.answer.clone(),
            thought: answer.said.reasoning.clone(),
            answer: answer.said.content.clone(),
            is_right: canonical_answer_matches(&sample.answer, &answer.said.content),
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
    let missed = answers.iter().enumerate();
    let missed = missed
        .filter(|(_, answered)| !answered.is_right)
        .map(|(at, _)| at)
        .collect();
    let error_rate = errors / f64::max(characters, 1.0);
    let shown_pages: usize = answers.iter().map(|answered| answered.shown_pages).sum();
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
        shown_pages: shown_pages as f64 / samples.len().max(1) as f64,
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
        missed,
        misses,
        answers,
    }
}

#[cfg(test)]
mod tests {
    use glyph_model::generate::SplitAnswer;

    use super::{Answer, score};
    use crate::data::{Document, Family, Generator, PageGrid, Reading, Sample, Split, Task};
    use crate::exams::{EXAMS, Exam};

    fn exam(name: &str, n_pages: usize) -> &'static Exam {
        let mut exams = EXAMS.iter();
        exams
            .find(|exam| exam.name == name && exam.n_pages == n_pages)
            .unwrap()
    }

    fn answer(said: &str) -> Answer {
        Answer {
            said: SplitAnswer::of(said),
            shown_pages: 2,
        }
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
            answer(if is_form { &sample.answer } else { "wrong" })
        });
        let whole = score(exam("look-up", 1), &samples, &answers);
        assert_eq!(whole.shown_pages, 2.0);
        assert_eq!(whole.missed, [1]);
        let kinds = whole.kinds;
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
        let answers = |n_wrong: usize, wrong: &str| -> Vec<Answer> {
            let said = |i| if i < n_wrong { wrong } else { "73-4815" };
            (0..100).map(|i| answer(said(i))).collect()
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
}
