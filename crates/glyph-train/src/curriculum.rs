//! Which pages and tasks the model sees when.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::batch::PageShape;
use crate::data::{Document, Family, Haystack, NeedleKind, NeedleSpec, Reading, Task, Wording};
use crate::trainee::Parts;

/// One step of the curriculum: the model stays until it is good enough.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// Name in logs.
    pub name: &'static str,
    /// Characters per line and lines per page.
    pub page: (usize, usize),
    /// What is asked beside reading.
    pub level: Level,
    /// Share of batches that are not reading.
    pub task_share: f64,
    /// What to reach on held-out data to go on, see [`Level`].
    pub gate: f64,
}

/// How much is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Characters off the vision tokens alone: before the tower knows letters the decoder has nothing to read.
    /// Its gate is the share of characters known on random strings.
    Letters,
    /// Reading aloud, and on from anywhere. Its gate is the share of next characters known, on random strings and in
    /// excerpts, whichever is less, the latter with an allowance.
    Read,
    /// Reading, and short answers that stand on the one page behind what the question names. Its gate is
    /// the share of needles and look-ups answered exactly.
    Find,
    /// All tasks on one page and several, answers that are not there included. Its gate is that of finding.
    All,
    /// All tasks again, mostly those that are learnt last: look-ups, above all on one page, and needles on many. The
    /// tower reads by then and learns no more, which leaves the time to the decoder. Its gate is that of finding.
    Last,
    /// The same tasks, and where it stands that a question is about: the decoder's last layer learns to read it off the
    /// characters of the question, and those before it to find it. Its gate is that of finding.
    Places,
}

const fn stage(
    name: &'static str,
    page: (usize, usize),
    level: Level,
    task_share: f64,
    gate: f64,
) -> Stage {
    Stage {
        name,
        page,
        level,
        task_share,
        gate,
    }
}

/// From letters over short pages to all tasks. Finding starts on short pages, where few places compete and a page
/// is cheap; longer pages then come almost free. The last stage is for a model that has grown a layer.
pub const STAGES: [Stage; 8] = [
    stage("letters", (16, 4), Level::Letters, 0.0, 0.97),
    stage("read 16×2", (16, 2), Level::Read, 0.6, 0.75),
    stage("read 24×4", (24, 4), Level::Read, 0.6, 0.75),
    stage("find 24×4", (24, 4), Level::Find, 0.7, 0.75),
    stage("find 40×8", (40, 8), Level::Find, 0.75, 0.80),
    stage("all tasks", (40, 8), Level::All, 0.85, 0.90),
    stage("last tasks", (40, 8), Level::Last, 0.8, 2.0),
    stage("places", (40, 8), Level::Places, 0.75, 2.0),
];

/// The first stage whose pages have room for needles and look-ups.
const FIRST_TO_FIND: usize = 3;

/// Questions that may follow the first one about the same pages.
const MORE_TURNS: usize = 4;
/// The same where each question teaches a place.
const MORE_TURNS_OF_PLACES: usize = 6;

/// What one worker's batch of one step holds.
#[derive(Debug, Clone, Copy)]
pub struct BatchPlan {
    /// Geometry of its pages.
    pub shape: PageShape,
    /// Pages of each sample.
    pub n_pages: usize,
    /// Family of tasks; the samples of a batch are alike so that little is padded.
    pub family: Family,
    /// How needles are asked for.
    pub wording: Wording,
    /// What learns.
    pub parts: Parts,
    /// What is read aloud, each as often as its weight says.
    pub readings: Weights<Reading>,
    /// Share of needles and look-ups whose answer is not there.
    pub absent_share: f64,
    /// What needles are hidden in, each as often as its weight says.
    pub haystacks: Weights<Haystack>,
    /// What is looked up in, likewise.
    pub documents: Weights<Document>,
    /// How many samples in a hundred have indents, columns and empty lines.
    pub spaced_percent: usize,
    /// How many of the others are running text.
    pub flowing_percent: usize,
    /// Questions that may follow the first one.
    pub more_turns: usize,
}

type Weights<T> = &'static [(T, usize)];

/// Random strings from the first step: prose can be guessed, random strings must be read.
const READINGS: Weights<Reading> = &[
    (Reading::Random, 2),
    (Reading::Salad, 1),
    (Reading::Prose, 3),
    (Reading::Code, 1),
    (Reading::Repeated, 3),
];

/// With tables, whose gaps have to be counted, and lines that are told apart by their places.
const READINGS_OF_PLACES: Weights<Reading> = &[
    (Reading::Random, 2),
    (Reading::Salad, 1),
    (Reading::Prose, 3),
    (Reading::Code, 1),
    (Reading::Repeated, 2),
    (Reading::Table, 6),
    (Reading::Alike, 14),
];

const HAYSTACKS: Weights<Haystack> = &[
    (Haystack::Noise, 1),
    (Haystack::Prose, 2),
    (Haystack::Needles, 1),
];

/// More of what takes longer to learn.
const LAST_HAYSTACKS: Weights<Haystack> = &[
    (Haystack::Noise, 1),
    (Haystack::Prose, 2),
    (Haystack::Needles, 2),
];

const DOCUMENTS: Weights<Document> = &[
    (Document::Form, 1),
    (Document::Settings, 1),
    (Document::Contacts, 1),
    (Document::Sentences, 1),
];

/// More of what takes longer to learn.
const LAST_DOCUMENTS: Weights<Document> = &[
    (Document::Form, 2),
    (Document::Settings, 3),
    (Document::Contacts, 4),
    (Document::Sentences, 4),
];

/// More settings: one word among others that hold it is what stays mistaken longest. And more contacts: whether a line holds
/// what is asked for, or goes on.
const DOCUMENTS_OF_PLACES: Weights<Document> = &[
    (Document::Form, 3),
    (Document::Settings, 4),
    (Document::Contacts, 14),
    (Document::Sentences, 4),
    (Document::Columns, 3),
];

/// Draws what a batch holds; `line_px` is the height of its lines.
pub fn plan(stage_index: usize, line_px: usize, rng: &mut ChaCha8Rng) -> BatchPlan {
    let stage = &STAGES[stage_index];
    let family = if rng.random_bool(stage.task_share) {
        weighted(
            rng,
            match stage.level {
                Level::Letters | Level::Read => &[(Family::Excerpts, 1)],
                Level::Find => &[
                    (Family::Excerpts, 1),
                    (Family::Echo, 1),
                    (Family::Needle, 1),
                    (Family::Lookup, 2),
                ],
                // Look-ups are learnt last: any line of the document could be the one.
                Level::All => &[
                    (Family::Excerpts, 1),
                    (Family::Needle, 3),
                    (Family::Lookup, 5),
                ],
                Level::Last => &[
                    (Family::Excerpts, 1),
                    (Family::Needle, 3),
                    (Family::Lookup, 10),
                ],
                Level::Places => &[
                    (Family::Excerpts, 1),
                    (Family::Needle, 8),
                    (Family::Lookup, 20),
                ],
            },
        )
    } else {
        Family::Read
    };
    // Earlier, smaller pages stay in the mix; needles and look-ups need those of finding.
    let smaller = match family {
        Family::Read | Family::Excerpts => 1..stage_index,
        _ => FIRST_TO_FIND..stage_index,
    };
    let (columns, lines) = if family == Family::Echo {
        STAGES[0].page
    } else if !smaller.is_empty() && rng.random_bool(0.2) {
        STAGES[rng.random_range(smaller)].page
    } else {
        stage.page
    };
    let n_pages = match (stage.level, family) {
        (Level::All, Family::Needle) => *pick(rng, &[1, 1, 1, 2, 3, 4, 6, 8]),
        (Level::All, Family::Lookup | Family::Excerpts) => *pick(rng, &[1, 1, 1, 2, 3, 4]),
        (Level::Last, Family::Needle) => *pick(rng, &[1, 2, 4, 6, 8, 8, 8]),
        (Level::Places, Family::Needle) => *pick(rng, &[1, 2, 4, 4, 6, 8, 8, 8, 8]),
        (Level::Last, Family::Lookup) => *pick(rng, &[1, 1, 1, 1, 1, 1, 2, 3, 4]),
        (Level::Places, Family::Lookup) => *pick(rng, &[1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 4]),
        (Level::Last | Level::Places, Family::Excerpts) => *pick(rng, &[1, 1, 2, 4, 8]),
        _ => 1,
    };
    // The official wording says the same at three times the length.
    let official_share = if stage.level >= Level::All { 0.6 } else { 0.1 };
    let wording = if rng.random_bool(official_share) {
        Wording::Official
    } else {
        Wording::QuestionOnly
    };
    let (haystacks, documents) = match stage.level {
        Level::Last => (LAST_HAYSTACKS, LAST_DOCUMENTS),
        Level::Places => (LAST_HAYSTACKS, DOCUMENTS_OF_PLACES),
        _ => (HAYSTACKS, DOCUMENTS),
    };
    let readings = match (stage.level, family) {
        (Level::Places, Family::Read) => READINGS_OF_PLACES,
        _ => READINGS,
    };
    BatchPlan {
        shape: PageShape {
            columns,
            lines,
            line_px,
        },
        n_pages,
        family,
        wording,
        parts: match (stage.level, family) {
            (Level::Letters, _) => Parts::Tower,
            (Level::Last, _) => Parts::Decoder,
            (Level::Places, _) => Parts::Places,
            _ => Parts::Both,
        },
        readings,
        absent_share: match (stage.level, family) {
            // What is known of a needle that is there is then known of one that is not; at more
            // than this, needles on the eighth page are said not to be there.
            (Level::Places, Family::Needle) => 0.3,
            // More, and look-ups that are there are said not to be.
            (Level::Places, _) => 0.2,
            (Level::All | Level::Last, _) => 0.16,
            _ => 0.25,
        },
        haystacks,
        documents,
        // Reading without is learnt sooner, and these are read from the same cells.
        spaced_percent: match stage.level {
            Level::All | Level::Last => 50,
            Level::Places => 40,
            _ => 0,
        },
        flowing_percent: match stage.level {
            Level::Places => 65,
            _ => 0,
        },
        more_turns: match stage.level {
            Level::Places => MORE_TURNS_OF_PLACES,
            _ => MORE_TURNS,
        },
    }
}

/// Draws the task of one sample.
pub fn task(plan: &BatchPlan, rng: &mut ChaCha8Rng) -> Task {
    let reading = weighted(rng, plan.readings);
    let is_absent = rng.random_bool(plan.absent_share);
    match plan.family {
        Family::Read => Task::Read(reading),
        Family::Excerpts => Task::Excerpts(reading),
        Family::Echo => Task::Echo,
        Family::Lookup | Family::NotThere => {
            let document = weighted(rng, plan.documents);
            if is_absent {
                Task::LookupAbsent(document)
            } else {
                Task::Lookup(document)
            }
        }
        Family::Needle => {
            let kind = *pick(rng, &[NeedleKind::Numbers, NeedleKind::Words]);
            let haystack = weighted(rng, plan.haystacks);
            let fits_two = plan.shape.columns >= 40 && plan.shape.lines >= 6;
            let spec = NeedleSpec::single(kind, haystack)
                .with_distractors(rng.random_range(0..4))
                .with_wording(plan.wording);
            if is_absent {
                Task::NeedleAbsent(spec)
            } else if fits_two && rng.random_bool(0.2) {
                Task::Needle(spec.with_values(2))
            } else {
                Task::Needle(spec)
            }
        }
    }
}

/// One of some, each as often as its weight says.
fn weighted<T: Copy>(rng: &mut ChaCha8Rng, of: &[(T, usize)]) -> T {
    let each = of
        .iter()
        .flat_map(|(one, weight)| std::iter::repeat_n(*one, *weight));
    *pick(rng, &each.collect::<Vec<_>>())
}

fn pick<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::{BatchPlan, Level, STAGES, plan};
    use crate::data::Family;
    use crate::place::{LINES, PAGES};
    use crate::trainee::Parts;

    const LINE_PX: usize = 28;

    /// What 300 steps of a stage may hold.
    fn plans(stage: usize) -> Vec<BatchPlan> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..300).map(|_| plan(stage, LINE_PX, &mut rng)).collect()
    }

    #[test]
    fn each_stage_teaches_its_parts_alone() {
        for (i, stage) in STAGES.iter().enumerate() {
            let parts = match stage.level {
                Level::Letters => Parts::Tower,
                Level::Read | Level::Find | Level::All => Parts::Both,
                Level::Last => Parts::Decoder,
                Level::Places => Parts::Places,
            };
            for plan in plans(i) {
                assert_eq!(plan.parts, parts, "{}", stage.name);
            }
        }
        assert_eq!(STAGES[STAGES.len() - 1].level, Level::Places);
    }

    #[test]
    fn places_are_told_on_as_many_pages_and_lines_as_there_are() {
        let plans = plans(STAGES.len() - 1);
        let most = |of: fn(&BatchPlan) -> usize| plans.iter().map(of).max();
        // Lines that are written for so many pages may need one more, see `Sample::text`.
        assert_eq!(most(|plan| plan.n_pages).map(|most| most + 1), Some(PAGES));
        assert!(most(|plan| plan.shape.lines) <= Some(LINES));
    }

    #[test]
    fn the_share_of_batches_that_read_is_what_the_stage_says() {
        for (i, stage) in STAGES.iter().enumerate() {
            let n_reading = plans(i)
                .iter()
                .filter(|plan| plan.family == Family::Read)
                .count();
            let wanted = 300.0 * (1.0 - stage.task_share);
            assert!(
                (n_reading as f64 - wanted).abs() <= 30.0,
                "{n_reading} of 300 in {}",
                stage.name
            );
        }
    }
}
