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
use super::{MORE_ABSENT, QuestionedPage, Thought, Turn};

/// The noise that RULER repeats, sentence by sentence.
pub const NOISE: [&str; 5] = [
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
];

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
    Thought {
        quotation: Some(told.join(", ")),
        key,
    }
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
    others: Vec<(String, String)>,
    asked: (&'static str, &'static str),
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
            |key: &str| self.others.iter().filter(|(other, _)| other == key).count() == 1;
        let mut others: Vec<&(String, String)> = self
            .others
            .iter()
            .filter(|(key, value)| {
                is_single(key) && unwrapped.contains(&needle(spec.kind, key, value))
            })
            .collect();
        draw.shuffle(&mut others);
        let mut more_turns = Vec::new();
        for (key, value) in others.into_iter().take(most_turns) {
            if draw.chance(MORE_ABSENT) {
                let absent = joined(draw.pair_like(self.asked, &ADJECTIVES, &NOUNS));
                if !unwrapped.contains(&absent) {
                    more_turns.push(Turn::new(
                        question(single, &absent),
                        Thought::of_nothing(absent),
                        None,
                    ));
                }
            }
            let thought = thought(key, std::slice::from_ref(value));
            more_turns.push(Turn::new(
                question(single, key),
                thought,
                Some(value.clone()),
            ));
        }
        more_turns.truncate(most_turns);
        QuestionedPage {
            first: Turn::new(
                question(spec, &self.key),
                thought(&self.key, &self.values),
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
    let mut others = Others {
        kind: spec.kind,
        asked: pair,
        values: hidden.clone(),
        made: Vec::new(),
    };
    for _ in 0..spec.distractors {
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

/// Makes needles of keys that are not asked for, about half of them similar to the key that is.
struct Others {
    kind: NeedleKind,
    asked: (&'static str, &'static str),
    values: Vec<String>,
    made: Vec<(String, String)>,
}

impl Others {
    fn needle(&mut self, draw: &mut Draw) -> String {
        let other = if draw.chance(50) {
            draw.pair_like(self.asked, &ADJECTIVES, &NOUNS)
        } else {
            let asked = self.asked;
            draw.admitted(
                |draw| draw.pair(&ADJECTIVES, &NOUNS),
                |_, other| *other != asked,
            )
        };
        let value = new_value(draw, self.kind, &self.values);
        let key = joined(other);
        let text = needle(self.kind, &key, &value);
        self.values.push(value.clone());
        self.made.push((key, value));
        text
    }
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
mod tests {
    use super::*;
    use crate::data::Split;

    const GRID: PageGrid = PageGrid {
        columns: 40,
        lines: 8,
    };

    #[test]
    fn wording_is_the_official_one() {
        let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Noise);
        assert_eq!(
            question(spec, "big-cat"),
            "A special magic number is hidden within the following text. Make sure to memorize \
             it. I will quiz you about the number afterwards.\nWhat is the special magic number \
             for big-cat mentioned in the provided text?"
        );
        assert_eq!(
            question(spec.with_values(2), "big-cat"),
            "Some special magic numbers are hidden within the following text. Make sure to \
             memorize it. I will quiz you about the numbers afterwards.\nWhat are all the special \
             magic numbers for big-cat mentioned in the provided text?"
        );
        assert_eq!(
            needle(NeedleKind::Words, "big-cat", "red-hat"),
            "One of the special magic words for big-cat is: red-hat."
        );
        assert_eq!(
            answer_prefix(spec, "big-cat"),
            " The special magic number for big-cat mentioned in the provided text is"
        );
    }

    #[test]
    fn values_stand_behind_their_key_in_page_order() {
        let mut draw = Draw::new(9, Split::Train, 0);
        for kind in [NeedleKind::Numbers, NeedleKind::Words] {
            let spec = NeedleSpec::single(kind, Haystack::Prose).with_values(2);
            let page = generate(&mut draw, spec, false, GRID, 2).unwrap();
            let text = page.text.replace('\n', " ");
            let places: Vec<_> = page
                .values
                .iter()
                .map(|value| text.find(&needle(kind, &page.key, value)).unwrap())
                .collect();
            assert_eq!(places.len(), 2);
            assert!(places[0] < places[1]);
        }
    }

    #[test]
    fn an_absent_key_is_nowhere() {
        let mut draw = Draw::new(9, Split::HeldOut, 0);
        for haystack in [Haystack::Noise, Haystack::Prose, Haystack::Needles] {
            let spec = NeedleSpec::single(NeedleKind::Numbers, haystack).with_distractors(2);
            for _ in 0..100 {
                let page = generate(&mut draw, spec, true, GRID, 2).unwrap();
                assert!(page.values.is_empty());
                assert!(!page.text.contains(&page.key));
                assert!(page.text.contains("magic"));
            }
        }
    }

    #[test]
    fn the_longest_needle_fits_the_promised_pages() {
        let longest = |list: &[&'static str]| {
            list.iter()
                .max_by_key(|word| word.len())
                .copied()
                .unwrap_or_default()
        };
        let long = joined((longest(&ADJECTIVES), longest(&NOUNS)));
        let text = needle(NeedleKind::Words, &long, &long);
        assert!(crate::data::wrap::wrap([text.as_str()], 24).line_count() <= 4);
        assert!(crate::data::wrap::wrap([text.as_str(), text.as_str()], 40).line_count() <= 6);
    }

    #[test]
    fn needles_lie_on_every_page() {
        let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Noise);
        let mut seen = [0; 8];
        for index in 0..800 {
            let mut draw = Draw::new(9, Split::Train, index);
            let page = generate(&mut draw, spec, false, GRID, 8).unwrap();
            let line = page
                .text
                .lines()
                .position(|line| line.contains("magic"))
                .unwrap();
            seen[line / GRID.lines] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    }

    #[test]
    fn a_page_too_small_for_a_needle_gives_none() {
        let mut draw = Draw::new(9, Split::Train, 0);
        let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Noise);
        assert!(generate(&mut draw, spec, false, PageGrid::new(16, 2), 1).is_none());
    }
}
