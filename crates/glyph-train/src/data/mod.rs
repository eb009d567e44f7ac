//! Seeded training and test data: pages of text with a question and the expected answer.
//!
//! Six families of [`Task`]: read the page aloud, read excerpts of it, say what the question says, find a needle
//! (RULER), look a value up by its key, and say that it is not there. [`Generator`] makes any number of samples of each;
//! a sample depends only on the seed, the [`Split`], the index and the task asked for. What is
//! held out is told in [`split`].
//!
//! ```text
//! let generator = Generator::new(7, Split::Train);
//! let task = Task::Lookup(Document::Form);
//! let sample = generator.sample_at(0, task, PageGrid::new(40, 8), 1)?;
//! ```

use std::error::Error;
use std::fmt;
use std::ops::Range;

pub mod needle;
pub mod score;
pub mod split;
pub mod words;
pub mod wrap;

mod alike;
mod by_one_word;
mod code;
mod draw;
mod echo;
mod entry;
mod excerpts;
mod fact;
mod fill;
mod flow;
mod lookup;
mod prose;
mod random;
mod read;
mod spacing;
mod table;
mod thought;
mod told;
mod untold;

#[cfg(test)]
mod tests;

pub use lookup::Document;
pub use needle::{Haystack, NeedleKind, NeedleSpec, Wording};
pub use read::Reading;
pub use score::{canonical_answer_matches, character_error_rate};
pub use split::Split;
pub use thought::{Misstep, Thought};
pub use wrap::PageGrid;

use draw::Draw;
use spacing::{Movable, Spacing};

/// The answer when the pages do not tell what is asked.
pub const NOT_THERE: &str = "Not on these pages.";

/// How many paragraphs begin where more of what is asked for stands on two pages, in percent, where there is to learn.
const TURNED: usize = 50;

/// What a sample asks of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Read the page aloud.
    Read(Reading),
    /// Read on wherever an excerpt begins.
    Excerpts(Reading),
    /// Say what the question says, whatever stands on the page.
    Echo,
    /// Find the values of a key hidden in other text.
    Needle(NeedleSpec),
    /// Look up a value in a document.
    Lookup(Document),
    /// Asked like [`Task::Needle`], but no needle has the key.
    NeedleAbsent(NeedleSpec),
    /// Asked like [`Task::Lookup`], but the document does not tell it.
    LookupAbsent(Document),
}

/// The families of tasks, each with a bar of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Reading aloud.
    Read,
    /// Reading on from anywhere; it teaches finding and has no bar.
    Excerpts,
    /// Saying what the question says; it teaches taking a key from a question and has no bar.
    Echo,
    /// RULER's needles.
    Needle,
    /// Values by their keys.
    Lookup,
    /// Saying that it is not there.
    NotThere,
}

impl Task {
    /// What of its pages may be moved apart, if anything.
    fn movable(self) -> Option<Movable> {
        match self {
            Self::Read(_) => Some(Movable::Words),
            Self::Lookup(_) | Self::LookupAbsent(_) => Some(Movable::Values),
            Self::Needle(_) | Self::NeedleAbsent(_) => Some(Movable::Lines),
            Self::Excerpts(_) | Self::Echo => None,
        }
    }

    /// Which of its family it is: what is read, what a needle hides and is hidden in, or what is looked up in.
    pub fn kind(self) -> String {
        match self {
            Self::Read(reading) | Self::Excerpts(reading) => format!("{reading:?}"),
            Self::Echo => "Echo".to_owned(),
            Self::Needle(NeedleSpec { kind, haystack, .. })
            | Self::NeedleAbsent(NeedleSpec { kind, haystack, .. }) => {
                format!("{kind:?} in {haystack:?}")
            }
            Self::Lookup(document) | Self::LookupAbsent(document) => format!("{document:?}"),
        }
        .to_lowercase()
    }

    /// The family that the task is measured with.
    pub fn family(self) -> Family {
        match self {
            Self::Read(_) => Family::Read,
            Self::Excerpts(_) => Family::Excerpts,
            Self::Echo => Family::Echo,
            Self::Needle(_) => Family::Needle,
            Self::Lookup(_) => Family::Lookup,
            Self::NeedleAbsent(_) | Self::LookupAbsent(_) => Family::NotThere,
        }
    }
}

impl Family {
    /// The tasks of the family, for drawing from and for measuring all of them.
    pub fn tasks(self) -> Vec<Task> {
        const DOCUMENTS: [Document; 4] = [
            Document::Form,
            Document::Settings,
            Document::Contacts,
            Document::Sentences,
        ];
        const READINGS: [Reading; 4] = [
            Reading::Prose,
            Reading::Salad,
            Reading::Random,
            Reading::Code,
        ];
        match self {
            Self::Read => READINGS.map(Task::Read).to_vec(),
            Self::Excerpts => READINGS.map(Task::Excerpts).to_vec(),
            Self::Echo => vec![Task::Echo],
            Self::Needle => needle_specs().into_iter().map(Task::Needle).collect(),
            Self::Lookup => DOCUMENTS.map(Task::Lookup).to_vec(),
            Self::NotThere => needle_specs()
                .into_iter()
                .filter(|spec| spec.values == 1)
                .map(Task::NeedleAbsent)
                .chain(DOCUMENTS.map(Task::LookupAbsent))
                .collect(),
        }
    }
}

/// Both kinds of needles in every haystack, with and without distractors, and with two values.
fn needle_specs() -> Vec<NeedleSpec> {
    let mut specs = Vec::new();
    for kind in [NeedleKind::Numbers, NeedleKind::Words] {
        for haystack in [Haystack::Noise, Haystack::Prose] {
            let single = NeedleSpec::single(kind, haystack);
            specs.extend([
                single,
                single.with_distractors(1),
                single.with_distractors(3),
            ]);
            specs.push(single.with_values(2));
        }
        specs.push(NeedleSpec::single(kind, Haystack::Needles));
    }
    specs
}

/// A page of text or several, a question about it and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the sample asks.
    pub task: Task,
    /// Lines parted by newlines, none wider than the page but with [`Generator::with_flow`]. As many as the asked pages
    /// have lines; behind a line that ends with its page the renderer begins the next page with an empty one, so that it
    /// may show one page more. Visible ASCII and spaces only; single ones and no empty lines but with
    /// [`Generator::with_spacing`], in tables and in documents of columns.
    pub text: String,
    /// What the model is asked.
    pub question: String,
    /// What it should think before it answers.
    pub thought: Option<Thought>,
    /// What the model should answer.
    pub answer: String,
    /// Characters of the answer that nobody can know and the model is not to learn; its end counts as one.
    pub given: Vec<Range<usize>>,
    /// What is asked of the same pages afterwards, see [`Generator::with_more_turns`].
    pub more_turns: Vec<Turn>,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What the model is asked.
    pub question: String,
    /// What it should think before it answers.
    pub thought: Option<Thought>,
    /// What the model should answer.
    pub answer: String,
}

impl Sample {
    /// The text cut into pages.
    pub fn pages(&self, grid: PageGrid) -> Vec<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        lines
            .chunks(grid.lines.max(1))
            .map(|page| page.join("\n"))
            .collect()
    }
}

/// The pages are too small for what a task must put on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTooSmall {
    /// The task that does not fit.
    pub task: Task,
    /// The page it was to fit on.
    pub grid: PageGrid,
    /// How many pages there were.
    pub n_pages: usize,
}

impl fmt::Display for PageTooSmall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task,
            grid,
            n_pages,
        } = self;
        let PageGrid { columns, lines } = grid;
        write!(
            formatter,
            "{task:?} does not fit on {n_pages} pages of {columns} x {lines}"
        )
    }
}

impl Error for PageTooSmall {}

/// Makes samples. Equal seeds, splits and indices give equal samples.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    split: Split,
    next_index: u64,
    most_turns: usize,
    spaced_percent: usize,
    flowing_percent: usize,
    measures_all_shapes: bool,
}

impl Generator {
    /// A generator that starts at index 0.
    pub fn new(seed: u64, split: Split) -> Self {
        Self {
            seed,
            split,
            next_index: 0,
            most_turns: 0,
            spaced_percent: 0,
            flowing_percent: 0,
            measures_all_shapes: false,
        }
    }

    /// Needles, look-ups and echoes go on with up to `most_turns` questions about what else stands on the pages: a page is
    /// dear to look at, and a question about it cheap.
    pub fn with_more_turns(self, most_turns: usize) -> Self {
        Self { most_turns, ..self }
    }

    /// So many samples in a hundred have indents, columns and empty lines, as far as their pages have room.
    pub fn with_spacing(self, spaced_percent: usize) -> Self {
        Self {
            spaced_percent,
            ..self
        }
    }

    /// So many samples in a hundred, of those that are not spaced, are running text, which the renderer wraps: paragraphs
    /// of one line each, and needles and sentences also as one paragraph. Reading aloud and columns stay as they are.
    pub fn with_flow(self, flowing_percent: usize) -> Self {
        Self {
            flowing_percent,
            ..self
        }
    }

    /// Whether look-ups that are to be measured by have shapes that came late too: rooms of two digits, lists that tell the
    /// same of everybody, fields asked for by the first word of their label. Without, their figures can be compared over
    /// time; what is to be learnt from has them in any case.
    pub fn with_all_shapes(self, measures_all_shapes: bool) -> Self {
        Self {
            measures_all_shapes,
            ..self
        }
    }

    /// The sample at the next index.
    ///
    /// # Errors
    /// When the pages cannot hold the task, see [`Generator::sample_at`].
    pub fn sample(
        &mut self,
        task: Task,
        grid: PageGrid,
        n_pages: usize,
    ) -> Result<Sample, PageTooSmall> {
        let index = self.next_index;
        self.next_index += 1;
        self.sample_at(index, task, grid, n_pages)
    }

    /// The sample at an index, independent of the samples made before it.
    ///
    /// # Errors
    /// When the pages cannot hold what the task needs. Reading fits on every page; every task
    /// with one value fits on a page of 24 x 4, every task with two on one of 40 x 6.
    pub fn sample_at(
        &self,
        index: u64,
        task: Task,
        grid: PageGrid,
        n_pages: usize,
    ) -> Result<Sample, PageTooSmall> {
        let whole_grid = PageGrid::new(grid.columns, grid.lines);
        let n_pages = n_pages.max(1);
        let mut draw =
            Draw::new(self.seed, self.split, index).with_all_shapes(self.measures_all_shapes);
        let spacing = task.movable().and_then(|movable| {
            let is_spaced = self.spaced_percent > 0 && draw.chance(self.spaced_percent);
            is_spaced.then(|| Spacing::any(&mut draw, movable, whole_grid))?
        });
        let grid = spacing.map_or(whole_grid, |spacing| spacing.inner(whole_grid));
        let mut given = Vec::new();
        let (mut thought, mut more_turns) = (None, Vec::new());
        let mut page_sample = |page: Option<QuestionedPage>| {
            let page = page?;
            (thought, more_turns) = (page.first.thought, page.more_turns);
            Some((page.text, page.first.question, page.first.answer))
        };
        let made = match task {
            Task::Excerpts(reading) => {
                let made = excerpts::generate(&mut draw, reading, grid, n_pages);
                made.map(|(text, question, answer, unknown)| {
                    given = unknown;
                    (text, question, answer)
                })
            }
            Task::Echo => page_sample(Some(echo::generate(&mut draw, grid, self.most_turns))),
            Task::Read(reading) => Some(read_sample(&mut draw, reading, grid, n_pages)),
            Task::Needle(spec) | Task::NeedleAbsent(spec) => {
                let is_absent = matches!(task, Task::NeedleAbsent(_));
                let page = needle::generate(&mut draw, spec, is_absent, grid, n_pages);
                page_sample(page.map(|page| page.questioned(&mut draw, spec, self.most_turns)))
            }
            Task::Lookup(document) | Task::LookupAbsent(document) => {
                let is_absent = matches!(task, Task::LookupAbsent(_));
                let page = lookup::generate(&mut draw, document, is_absent, grid, n_pages);
                page_sample(page.map(|page| page.questioned(&mut draw, self.most_turns)))
            }
        };
        let (mut text, question, mut answer) =
            made.filter(|(text, ..)| !text.is_empty())
                .ok_or(PageTooSmall {
                    task,
                    grid,
                    n_pages,
                })?;
        if let Some(spacing) = spacing {
            text = spacing.apply(&mut draw, &text, whole_grid);
            if task.family() == Family::Read {
                text.trim_start_matches('\n').clone_into(&mut answer);
            }
        } else if self.flowing_percent > 0 && draw.chance(self.flowing_percent) {
            text = flow::flowing(&mut draw, task, text, whole_grid.columns);
            if draw.learns() && draw.chance(TURNED) {
                let more = more_turns.iter().filter_map(|turn| turn.thought.as_ref());
                text = flow::turned(text, thought.iter().chain(more), whole_grid);
            }
        }
        Ok(Sample {
            task,
            text,
            question,
            thought,
            answer,
            given,
            more_turns,
        })
    }
}

/// Text, question and answer.
type Made = (String, String, String);

fn read_sample(draw: &mut Draw, reading: Reading, grid: PageGrid, n_pages: usize) -> Made {
    let text = read::text(draw, reading, grid, n_pages);
    (text.clone(), read::question(draw, n_pages), text)
}

/// Pages and all that is asked of them.
struct QuestionedPage {
    text: String,
    first: Turn,
    more_turns: Vec<Turn>,
}

impl Turn {
    /// A question whose answer may not be there.
    fn new(question: String, thought: Thought, answer: Option<String>) -> Self {
        Self {
            question,
            thought: Some(thought),
            answer: answer.unwrap_or_else(|| NOT_THERE.to_owned()),
        }
    }
}

/// How many of the further questions have no answer, in percent.
const MORE_ABSENT: usize = 28;
