//! Documents of keys and values, and questions that look a value up.

use serde::Deserialize;

use super::draw::Draw;
use super::entry::{self, ContactStyle, Entry, Fact, FormStyle, Key, SettingsStyle};
use super::fill::{Filler, Layout};
use super::words::{LABEL_WORDS, NOUNS};
use super::wrap::{PageGrid, longest_word, wrap};
use super::{MORE_ABSENT, Misstep, QuestionedPage, Thought, Turn, prose, told, untold};

/// How often an entry is made again until its words are short enough for the lines.
pub(super) const FITTING_TRIES: usize = 60;

/// How often an entry is made again until its key is a new one.
const NEW_KEY_TRIES: usize = 20;

/// How many of the documents to learn from are full of keys that share a word with the one asked for, in percent. Those
/// to be measured by have one to three such keys.
const FULL_OF_LOOK_ALIKES: usize = 50;

/// In how many of the documents to learn from the further questions are first about what goes over the end of a line, in
/// percent: whoever cites it has to see that a line does not hold the value yet.
const OVER_LINES_FIRST: usize = 60;

/// What kind of document the value stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Document {
    /// Labelled fields: `Invoice number: 83-2210`.
    Form,
    /// A configuration file: TOML, INI, YAML, JSON or environment variables.
    Settings,
    /// People with their phone numbers, addresses and so on.
    Contacts,
    /// Facts told in sentences between other prose.
    Sentences,
    /// Labels and values in two columns with nothing but space or dots between: `Subtotal      $12.50`.
    Columns,
}

/// How the entries of one document are written.
pub(super) enum Style {
    Form(FormStyle),
    Settings(SettingsStyle, &'static str),
    Contacts(ContactStyle),
    Sentences,
}

/// What an entry of a document is about; all entries but those in sentences are alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Thing,
    Person,
}

/// A document with a question about it.
pub(crate) struct LookupPage {
    pub text: String,
    pub question: String,
    /// What the document says about the key, or the key alone.
    pub thought: Thought,
    /// The value; none when the document does not tell it.
    pub value: Option<String>,
    /// What is asked for.
    pub subject: String,
    /// Everything that the document tells.
    pub told: Vec<Fact>,
    /// Facts that it does not tell, though others of its kind.
    pub not_told: Vec<Fact>,
}

impl LookupPage {
    /// Asks for the value, then for up to `most_turns` others.
    pub(super) fn questioned(mut self, draw: &mut Draw, most_turns: usize) -> QuestionedPage {
        let all: Vec<(String, Misstep)> = self
            .told
            .iter()
            .map(|fact| (fact.subject.clone(), fact.misstep()))
            .collect();
        let others = |subject: &str| -> Vec<Misstep> {
            let others = all.iter().filter(|(other, _)| other != subject);
            others.map(|(_, misstep)| misstep.clone()).collect()
        };
        self.thought = self.thought.with_misstep(draw, || others(&self.subject));
        self.told.retain(|fact| fact.subject != self.subject);
        draw.shuffle(&mut self.told);
        if draw.learns() && draw.chance(OVER_LINES_FIRST) {
            let on_one_line =
                |fact: &Fact| self.text.lines().any(|line| line.contains(&fact.quote));
            self.told.sort_by_key(on_one_line);
        }
        let mut more_turns = Vec::new();
        for fact in self.told.into_iter().take(most_turns) {
            if draw.chance(MORE_ABSENT)
                && let Some(absent) = self.not_told.pop()
            {
                let question = any_question(draw, &absent);
                let thought = Thought::of_nothing(absent.key);
                let thought = thought.with_misstep(draw, || others(&absent.subject));
                more_turns.extend(question.map(|question| Turn::new(question, thought, None)));
            }
            let question = any_question(draw, &fact);
            let thought = fact.thought().with_misstep(draw, || others(&fact.subject));
            more_turns
                .extend(question.map(|question| Turn::new(question, thought, Some(fact.value))));
        }
        more_turns.truncate(most_turns);
        QuestionedPage {
            text: self.text,
            first: Turn::new(self.question, self.thought, self.value),
            more_turns,
        }
    }
}

/// One of the ways to ask for a fact, often the usual one.
fn any_question(draw: &mut Draw, fact: &Fact) -> Option<String> {
    let which = if draw.chance(40) {
        0
    } else {
        draw.below(fact.questions.len())
    };
    fact.questions.get(which).cloned()
}

/// Writes a document; with `absent` it does not tell what is asked, though it may come close.
/// `None` when the pages cannot hold an entry.
pub(crate) fn generate(
    draw: &mut Draw,
    document: Document,
    absent: bool,
    grid: PageGrid,
    n_pages: usize,
) -> Option<LookupPage> {
    let style = Style::any(draw, document);
    let (head, foot) = style.frame(draw);
    let frame_lines = wrap(head.iter().chain(&foot).map(String::as_str), grid.columns).line_count();
    let room = Room {
        columns: grid.columns,
        lines: grid.lines_on(n_pages).saturating_sub(frame_lines),
    };
    let topic = if draw.chance(50) {
        Topic::Thing
    } else {
        Topic::Person
    };
    let (asked, near) = if absent {
        untold::asked_in_vain(draw, &style, topic, room)?
    } else {
        (style.fitting_entry(draw, topic, None, room)?, None)
    };
    let mut fact = asked.facts.get(draw.below(asked.facts.len()))?.clone();

    let layout = if document == Document::Sentences {
        Layout::Flow
    } else {
        Layout::Paragraphs
    };
    let mut filler = Filler::new(draw, layout, grid, n_pages);
    filler.frame(head, foot);
    let asked_key = asked.key;
    let mut writer = Writer {
        filler,
        keys: vec![asked_key],
        told: Vec::new(),
    };
    if !absent && !writer.require(topic, asked.clone()) {
        return None;
    }
    if let Some(near) = near {
        writer.require(topic, near);
    }
    for _ in 0..draw.between(1, 3) {
        if let Some(similar) = style.fitting_entry(draw, topic, Some(asked_key), room)
            && writer.is_new(similar.key)
            && !writer.require(topic, similar)
        {
            break;
        }
    }
    let prose_share = match document {
        Document::Sentences => 50,
        Document::Settings => 0,
        _ if draw.chance(20) => 15,
        _ => 0,
    };
    let look_alike =
        (draw.learns() && draw.chance(FULL_OF_LOOK_ALIKES)).then_some((topic, asked_key));
    writer.fill(draw, &style, room, prose_share, look_alike);

    let Writer {
        filler, keys, told, ..
    } = writer;
    let mut text = filler.place(draw);
    if let Some(body) = text.strip_suffix(",\n}") {
        text = format!("{body}\n}}");
    }
    let text = text.replace(entry::GAP, " ");
    let unwrapped = text.replace('\n', " ");
    // Placing may have dropped what no longer fitted.
    let is_shown = |told: &Entry| {
        let written = told.lines.join(" ").replace(entry::GAP, " ");
        unwrapped.contains(written.trim_end_matches(','))
    };
    let told: Vec<(Topic, Entry)> = told
        .into_iter()
        .filter(|(_, entry)| is_shown(entry))
        .collect();
    let facts: Vec<&Fact> = told.iter().flat_map(|(_, entry)| &entry.facts).collect();
    if absent {
        fact.ask_in_vain_by_one_word(draw, &facts);
    } else {
        fact.ask_by_one_word(draw, &facts);
    }
    let question = any_question(draw, &fact)?;
    let thought = if absent {
        Thought::of_nothing(fact.key.clone())
    } else {
        fact.thought()
    };
    let mut not_told = if draw.learns() {
        untold::like_what_is_told(draw, &style, &told, &keys)
    } else {
        untold::of_other_keys(draw, &style, topic, asked_key, &keys, room)
    };
    for fact in &mut not_told {
        fact.ask_in_vain_by_one_word(draw, &facts);
    }
    let mut told: Vec<Fact> = facts.iter().copied().cloned().collect();
    for fact in &mut told {
        fact.ask_by_one_word(draw, &facts);
    }
    Some(LookupPage {
        text,
        question,
        thought,
        value: (!absent).then_some(fact.value),
        subject: fact.subject,
        told,
        not_told,
    })
}

/// The room there is for one entry.
#[derive(Clone, Copy)]
pub(super) struct Room {
    columns: usize,
    lines: usize,
}

impl Room {
    /// Whether an entry needs no more lines than there are, and has no word to be broken.
    pub(super) fn fits(self, entry: &Entry) -> bool {
        let lines = || entry.lines.iter().map(String::as_str);
        lines().all(|line| longest_word(line) <= self.columns)
            && wrap(lines(), self.columns).line_count() <= self.lines
    }

    fn fits_on_one_line(self, entry: &Entry) -> bool {
        entry.lines.iter().all(|line| line.len() <= self.columns)
    }
}

/// A document in the making.
struct Writer {
    filler: Filler,
    keys: Vec<Key>,
    told: Vec<(Topic, Entry)>,
}

impl Writer {
    fn is_new(&self, key: Key) -> bool {
        !self.keys.contains(&key)
    }

    fn require(&mut self, topic: Topic, entry: Entry) -> bool {
        let fits = self.filler.require(entry.lines.join("\n"));
        if fits {
            self.keys.push(entry.key);
            self.told.push((topic, entry));
        }
        fits
    }

    /// Fills the pages with prose and other entries, every second one of them like `look_alike` if there is one.
    fn fill(
        &mut self,
        draw: &mut Draw,
        style: &Style,
        room: Room,
        prose_share: usize,
        look_alike: Option<(Topic, Key)>,
    ) {
        let Self { filler, keys, told } = self;
        filler.fill(|| {
            if draw.chance(prose_share) {
                return prose::sentence(draw);
            }
            let topic = if draw.chance(50) {
                Topic::Thing
            } else {
                Topic::Person
            };
            let new = (0..NEW_KEY_TRIES).find_map(|_| {
                let (topic, similar) = match look_alike {
                    Some((topic, asked)) if draw.chance(50) => (topic, Some(asked)),
                    _ => (topic, None),
                };
                style
                    .fitting_entry(draw, topic, similar, room)
                    .filter(|other| !keys.contains(&other.key))
                    .map(|other| (topic, other))
            });
            match new {
                Some((topic, other)) => {
                    keys.push(other.key);
                    let text = other.lines.join("\n");
                    told.push((topic, other));
                    text
                }
                None => prose::sentence(draw),
            }
        });
    }
}

impl Style {
    fn any(draw: &mut Draw, document: Document) -> Self {
        match document {
            Document::Form => Self::Form(FormStyle::any(draw)),
            Document::Columns => Self::Form(FormStyle::in_columns(draw)),
            Document::Settings => {
                let style = draw.one_of(&[
                    SettingsStyle::Toml,
                    SettingsStyle::Ini,
                    SettingsStyle::Yaml,
                    SettingsStyle::Json,
                    SettingsStyle::Env,
                ]);
                Self::Settings(style, draw.one_of(&["_", "_", "_", "-", ".", ""]))
            }
            Document::Contacts => Self::Contacts(ContactStyle::any(draw)),
            Document::Sentences => Self::Sentences,
        }
    }

    /// Whether several entries can tell different facts of one key.
    pub(super) fn can_tell_more(&self) -> bool {
        matches!(self, Self::Contacts(_) | Self::Sentences)
    }

    /// Whether some of its keys are one word that may be a part of another key.
    pub(super) fn has_keys_of_one_word(&self) -> bool {
        matches!(self, Self::Settings(..))
    }

    pub(super) fn key(&self, draw: &mut Draw, topic: Topic, similar: Option<Key>) -> Key {
        match (self, topic) {
            (Self::Form(style), _) => entry::form_key(draw, similar, *style),
            (Self::Settings(..), _) => entry::setting_key(draw, similar),
            (Self::Contacts(_), _) | (Self::Sentences, Topic::Person) => {
                entry::contact_key(draw, similar)
            }
            (Self::Sentences, Topic::Thing) => entry::thing_key(draw, similar),
        }
    }

    pub(super) fn entry(&self, draw: &mut Draw, topic: Topic, key: Key) -> Entry {
        match self {
            Self::Form(style) => entry::form_field(draw, key, *style),
            Self::Settings(style, joint) => entry::setting(draw, key, *style, joint),
            Self::Contacts(style) => entry::contact(draw, key, *style),
            Self::Sentences => match topic {
                Topic::Thing => told::of_thing(draw, key),
                Topic::Person => told::of_person(draw, key),
            },
        }
    }

    /// Facts of a key as some document could tell them, whether this one does or not.
    pub(super) fn any_facts(&self, draw: &mut Draw, topic: Topic, key: Key) -> Vec<Fact> {
        match self {
            Self::Contacts(style) => entry::contact(draw, key, style.of_anything()).facts,
            _ => self.entry(draw, topic, key).facts,
        }
    }

    /// Whether this split may ask for a key.
    pub(super) fn admits(&self, draw: &Draw, key: Key) -> bool {
        match self {
            Self::Form(_) => entry::admits_form_key(draw.split(), key),
            _ => draw.split().admits_compound(&[key.0, key.1]),
        }
    }

    /// An entry that there is room for.
    pub(super) fn fitting_entry(
        &self,
        draw: &mut Draw,
        topic: Topic,
        similar: Option<Key>,
        room: Room,
    ) -> Option<Entry> {
        let is_on_one_line = matches!(self, Self::Contacts(style) if style.is_on_one_line);
        let fitting = (0..FITTING_TRIES)
            .map(|_| {
                let key = self.key(draw, topic, similar);
                self.entry(draw, topic, key)
            })
            .find(|entry| room.fits(entry) && (!is_on_one_line || room.fits_on_one_line(entry)));
        match self {
            // Small pages have no room for all that a list tells of everybody.
            Self::Contacts(style) if fitting.is_none() && style.tells_the_same() => {
                Self::Contacts(style.of_anything()).fitting_entry(draw, topic, similar, room)
            }
            _ => fitting,
        }
    }

    /// The first and the last line of the document.
    fn frame(&self, draw: &mut Draw) -> (Option<String>, Option<String>) {
        match self {
            Self::Settings(SettingsStyle::Json, _) => (Some("{".to_owned()), Some("}".to_owned())),
            Self::Settings(SettingsStyle::Toml | SettingsStyle::Ini, _) if draw.chance(60) => {
                (Some(format!("[{}]", draw.word(&NOUNS))), None)
            }
            Self::Form(_) | Self::Contacts(_) if draw.chance(40) => {
                let sheet = draw.one_of(&["form", "sheet", "list", "report", "record"]);
                (Some(format!("{} {sheet}", draw.word(&LABEL_WORDS))), None)
            }
            _ => (None, None),
        }
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
