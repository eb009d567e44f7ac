//! RULER's needle in a haystack, in its official wording.
//!
//! The haystack and the needles stand on the pages; the instruction and the question are the
//! prompt. RULER appends an answer prefix to its prompt, see [`answer_prefix`]. The answers here
//! are short: the value alone, several values in the order of the pages, joined with `", "`.

use super::draw::Draw;
use super::fill::{Filler, Layout};
use super::prose;
use super::words::{ADJECTIVES, NOUNS};
use super::wrap::PageGrid;
use super::{MORE_ABSENT, Misstep, QuestionedPage, Thought, Turn};

/// The noise that RULER repeats, sentence by sentence.
pub const NOISE: [&str; 5] = [
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
];

/// How many needles of other keys share a word with the one asked for, in percent.
const SIMILAR: usize = 50;

/// The same where the one asked for is not there and that is to be learnt: keys that have one word of it each.
const SIMILAR_TO_ONE_ABSENT: usize = 80;

/// How many needles of other keys there are at least where the one asked for is not there and that is to be learnt.
const LEAST_BESIDE_ONE_ABSENT: usize = 2;

/// How many further questions about a needle that is not there mix its key of two that are, in percent, where there is
/// to learn.
const MIXED: usize = 60;

/// How often a key is mixed again until no needle has it.
const MIXING_TRIES: usize = 20;

/// What the needles hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeedleKind {
    /// Numbers of seven digits.
    Numbers,
    /// Two words with a hyphen between them.
    Words,
}

/// What surrounds the needles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Haystack {
    /// RULER's five sentences over and over.
    Noise,
    /// Running prose.
    Prose,
    /// More needles, of other keys.
    Needles,
}

/// How much of RULER's prompt the question holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wording {
    /// The instruction, a newline and the question.
    Official,
    /// The question alone.
    QuestionOnly,
}

/// One kind of needle task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeedleSpec {
    /// What is hidden.
    pub kind: NeedleKind,
    /// What it is hidden in.
    pub haystack: Haystack,
    /// Needles of other keys, as many as the pages can hold.
    pub distractors: usize,
    /// Values of the key that is asked for.
    pub values: usize,
    /// How much of the official prompt is used.
    pub wording: Wording,
}

impl NeedleSpec {
    /// One needle, no other keys, the full official wording.
    pub const fn single(kind: NeedleKind, haystack: Haystack) -> Self {
        Self {
            kind,
            haystack,
            distractors: 0,
            values: 1,
            wording: Wording::Official,
        }
    }

    /// The same with `distractors` needles of other keys.
    pub const fn with_distractors(self, distractors: usize) -> Self {
        Self {
            distractors,
            ..self
        }
    }

    /// The same with `values` needles for the key that is asked for.
    pub const fn with_values(self, values: usize) -> Self {
        Self { values, ..self }
    }

    /// The same with another wording of the prompt.
    pub const fn with_wording(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }

    /// RULER drops the plural when exactly one value is asked for.
    fn type_name(self) -> &'static str {
        match (self.kind, self.values > 1) {
            (NeedleKind::Numbers, false) => "number",
            (NeedleKind::Numbers, true) => "numbers",
            (NeedleKind::Words, false) => "word",
            (NeedleKind::Words, true) => "words",
        }
    }
}

/// The sentence that hides a value.
pub fn needle(kind: NeedleKind, key: &str, value: &str) -> String {
    let kind = match kind {
        NeedleKind::Numbers => "numbers",
        NeedleKind::Words => "words",
    };
    format!("One of the special magic {kind} for {key} is: {value}.")
}

/// The words of the needles from the key to the values; the key alone when there are none.
fn thought(key: &str, values: &[String]) -> Thought {
    let key = key.to_owned();
    if values.is_empty() {
        return Thought::of_nothing(key);
    }
    let told: Vec<String> = values
        .iter()
        .map(|value| format!("{key} is: {value}"))
        .collect();
    Thought::of(key, told.join(", "))
}

/// The prompt that asks for the values of a key.
pub fn question(spec: NeedleSpec, key: &str) -> String {
    let kind = spec.type_name();
    let (instruction, ask) = if spec.values > 1 {
        (format!("Some special magic {kind} are hidden"), "are all")
    } else {
        (format!("A special magic {kind} is hidden"), "is")
    };
    let question =
        format!("What {ask} the special magic {kind} for {key} mentioned in the provided text?");
    match spec.wording {
        Wording::QuestionOnly => question,
        Wording::Official => format!(
            "{instruction} within the following text. Make sure to memorize it. \
             I will quiz you about the {kind} afterwards.\n{question}"
        ),
    }
}

/// What RULER puts behind the question for the model to continue.
pub fn answer_prefix(spec: NeedleSpec, key: &str) -> String {
    let verb = if spec.values > 1 { "are" } else { "is" };
    let kind = spec.type_name();
    format!(" The special magic {kind} for {key} mentioned in the provided text {verb}")
}

/// A needle task as generated.
pub(crate) struct NeedlePage {
    pub text: String,
    pub key: String,
    /// The values of the key in page order; none when the key is absent.
    pub values: Vec<String>,
    /// Keys and values of the other needles.
    others: Vec<(Pair, String)>,
    asked: Pair,
}

impl NeedlePage {
    /// Asks for the key, then for up to `most_turns` of the others.
    pub(super) fn questioned(
        self,
        draw: &mut Draw,
        spec: NeedleSpec,
        most_turns: usize,
    ) -> QuestionedPage {
        let unwrapped = self.text.replace('\n', " ");
        // The instruction was given with the first question.
        let single = spec.with_values(1).with_wording(Wording::QuestionOnly);
        // A key of several needles has several values.
        let is_single =
            |key: &Pair| self.others.iter().filter(|(other, _)| other == key).count() == 1;
        let mut others: Vec<&(Pair, String)> = self
            .others
            .iter()
            .filter(|(key, value)| {
                is_single(key) && unwrapped.contains(&needle(spec.kind, &joined(*key), value))
            })
            .collect();
        draw.shuffle(&mut others);
        let missteps = |asked: &str| -> Vec<Misstep> {
            let others = others.iter().map(|(key, value)| (joined(*key), value));
            others
                .filter(|(key, _)| key != asked)
                .map(|(key, value)| Misstep {
                    quotation: format!("{key} is: {value}"),
                    key,
                })
                .collect()
        };
        let first_thought = thought(&self.key, &self.values);
        let first_thought = first_thought.with_misstep(draw, || missteps(&self.key));
        let mut more_turns = Vec::new();
        for (key, value) in others.iter().take(most_turns) {
            if draw.chance(MORE_ABSENT) {
                let mixed = if draw.learns() && draw.chance(MIXED) {
                    mixed(draw, &self.others)
                } else {
                    None
                };
                let like_asked =
                    mixed.unwrap_or_else(|| draw.pair_like(self.asked, &ADJECTIVES, &NOUNS));
                let absent = joined(like_asked);
                if !unwrapped.contains(&absent) {
                    let question = question(single, &absent);
                    let thought = Thought::of_nothing(absent.clone());
                    let thought = thought.with_misstep(draw, || missteps(&absent));
                    more_turns.push(Turn::new(question, thought, None));
                }
            }
            let key = joined(*key);
            let thought = thought(&key, std::slice::from_ref(value));
            let thought = thought.with_misstep(draw, || missteps(&key));
            more_turns.push(Turn::new(
                question(single, &key),
                thought,
                Some(value.clone()),
            ));
        }
        more_turns.truncate(most_turns);
        QuestionedPage {
            first: Turn::new(
                question(spec, &self.key),
                first_thought,
                (!self.values.is_empty()).then(|| self.values.join(", ")),
            ),
            text: self.text,
            more_turns,
        }
    }
}

/// Hides needles; with `absent` none of them has the key that is asked for. `None` when the
/// pages cannot hold the needles that are needed.
pub(crate) fn generate(
    draw: &mut Draw,
    spec: NeedleSpec,
    absent: bool,
    grid: PageGrid,
    n_pages: usize,
) -> Option<NeedlePage> {
    let pair = draw.pair(&ADJECTIVES, &NOUNS);
    let key = joined(pair);
    let layout = match spec.haystack {
        Haystack::Prose => Layout::Flow,
        Haystack::Noise if draw.chance(40) => Layout::Flow,
        Haystack::Noise | Haystack::Needles => Layout::Paragraphs,
    };
    let mut filler = Filler::new(draw, layout, grid, n_pages);
    let mut hidden = Vec::new();
    if !absent {
        for _ in 0..spec.values.max(1) {
            let value = new_value(draw, spec.kind, &hidden);
            if !filler.require(needle(spec.kind, &key, &value)) {
                return None;
            }
            hidden.push(value);
        }
    }
    let learns_absence = absent && draw.learns();
    let (n_distractors, similar_percent) = if learns_absence {
        let n_distractors = spec.distractors.max(LEAST_BESIDE_ONE_ABSENT);
        (n_distractors, SIMILAR_TO_ONE_ABSENT)
    } else {
        (spec.distractors, SIMILAR)
    };
    let mut others = Others {
        kind: spec.kind,
        asked: pair,
        similar_percent,
        values: hidden.clone(),
        made: Vec::new(),
    };
    for _ in 0..n_distractors {
        let other = others.needle(draw);
        if !filler.require(other) {
            break;
        }
    }
    let mut noise = NOISE.iter().cycle();
    filler.fill(|| match (spec.haystack, layout) {
        (Haystack::Prose, _) => draw.admitted(prose::sentence, |_, text| !text.contains(&key)),
        (Haystack::Needles, _) => others.needle(draw),
        (Haystack::Noise, Layout::Paragraphs) => NOISE.join(" "),
        (Haystack::Noise, Layout::Flow) => noise
            .next()
            .map_or_else(String::new, |text| (*text).to_owned()),
    });
    if spec.haystack == Haystack::Noise {
        // What a whole round of the noise no longer fits into.
        filler.fill(|| {
            noise
                .next()
                .map_or_else(String::new, |text| (*text).to_owned())
        });
    }
    let text = filler.place(draw);
    let unwrapped = text.replace('\n', " ");
    hidden.sort_by_key(|value| unwrapped.find(value.as_str()));
    Some(NeedlePage {
        text,
        key,
        values: hidden,
        others: others.made,
        asked: pair,
    })
}

/// An adjective and a noun.
type Pair = (&'static str, &'static str);

/// Makes needles of keys that are not asked for, some of them similar to the key that is.
struct Others {
    kind: NeedleKind,
    asked: Pair,
    similar_percent: usize,
    values: Vec<String>,
    made: Vec<(Pair, String)>,
}

impl Others {
    fn needle(&mut self, draw: &mut Draw) -> String {
        let other = if draw.chance(self.similar_percent) {
            draw.pair_like(self.asked, &ADJECTIVES, &NOUNS)
        } else {
            let asked = self.asked;
            draw.admitted(
                |draw| draw.pair(&ADJECTIVES, &NOUNS),
                |_, other| *other != asked,
            )
        };
        let value = new_value(draw, self.kind, &self.values);
        let text = needle(self.kind, &joined(other), &value);
        self.values.push(value.clone());
        self.made.push((other, value));
        text
    }
}

/// A key that no needle has, of the first word of one and the second of another.
fn mixed(draw: &mut Draw, needles: &[(Pair, String)]) -> Option<Pair> {
    let any = |draw: &mut Draw| Some(needles.get(draw.below(needles.len()))?.0);
    (0..MIXING_TRIES).find_map(|_| {
        let key = (any(draw)?.0, any(draw)?.1);
        let is_new = needles.iter().all(|(other, _)| *other != key);
        (is_new && draw.split().admits_compound(&[key.0, key.1])).then_some(key)
    })
}

fn joined((adjective, noun): (&str, &str)) -> String {
    format!("{adjective}-{noun}")
}

/// A value that is not among `taken`.
fn new_value(draw: &mut Draw, kind: NeedleKind, taken: &[String]) -> String {
    draw.admitted(
        |draw| match kind {
            NeedleKind::Numbers => draw.value(|draw| draw.digits(7)),
            NeedleKind::Words => joined(draw.pair(&ADJECTIVES, &NOUNS)),
        },
        |_, value| !taken.contains(value),
    )
}

#[cfg(test)]
#[path = "needle_tests.rs"]
mod tests;
