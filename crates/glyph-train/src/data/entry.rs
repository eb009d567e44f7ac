//! Entries of documents that are looked up in: what stands on the page, and what may be asked.

use super::draw::Draw;
use super::fact::{Kind, LABEL_HEADS, SINGLE_LABELS, setting_kind, value};
use super::prose::capitalised;
use super::random::email;
use super::words::{ADJECTIVES, FIRST_NAMES, LABEL_WORDS, LAST_NAMES, NOUNS, SETTING_WORDS};
use super::{Misstep, Split, Thought};

/// Two words that name an entry: the two halves of a label, of a setting, of a person's name.
pub(crate) type Key = (&'static str, &'static str);

/// One value that may be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// What is asked for. No two facts of a document have the same subject.
    pub subject: String,
    /// Ways to ask, the usual one first.
    pub questions: Vec<String>,
    /// The answer.
    pub value: String,
    /// What tells the entry from others, as the document writes it.
    pub key: String,
    /// The document's words from the key to the value.
    pub quote: String,
    /// The second word of a form's label of two.
    pub head: Option<&'static str>,
}

impl Fact {
    /// A fact that `line` tells, the key before the value.
    pub(crate) fn told_by(
        line: &str,
        key: &str,
        subject: String,
        questions: Vec<String>,
        value: String,
    ) -> Self {
        let start = line.find(key).unwrap_or_default();
        let end = line
            .rfind(&value)
            .map_or(line.len(), |place| place + value.len());
        Self {
            subject,
            questions,
            key: key.to_owned(),
            quote: line.get(start..end).unwrap_or(line).to_owned(),
            value,
            head: None,
        }
    }

    /// What is thought before the value is said.
    pub(crate) fn thought(&self) -> Thought {
        Thought::of(self.key.clone(), self.quote.clone())
    }

    /// This fact cited for another one that is asked for.
    pub(crate) fn misstep(&self) -> Misstep {
        Misstep {
            key: self.key.clone(),
            quotation: self.quote.clone(),
        }
    }
}

/// Lines of a document that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Key,
    pub lines: Vec<String>,
    pub facts: Vec<Fact>,
}

/// How the fields of a form are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormStyle {
    separator: Separator,
    case: FormCase,
    /// Whether its labels are of one word; such labels are shared by the splits.
    single_labels: bool,
}

/// What parts a label from its value.
#[derive(Clone, Copy, Debug)]
enum Separator {
    Text(&'static str),
    Columns(Columns),
}

/// Stands for a space that wrapping is to leave where it is.
pub(crate) const GAP: &str = "\u{1f}";

/// Labels at the left, and values behind them at one column or ending at one.
#[derive(Clone, Copy, Debug)]
struct Columns {
    label_width: usize,
    value_width: usize,
    /// What the gap is filled with.
    leader: &'static str,
}

impl Columns {
    /// Spaces between a label and its value at least.
    const LEAST_GAP: usize = 2;

    fn line(self, label: &str, value: &str) -> String {
        let behind_label = self.label_width.saturating_sub(label.len());
        let before_value = self.value_width.saturating_sub(value.len());
        let gap = behind_label + Self::LEAST_GAP + before_value;
        let leader = if gap > 4 { self.leader } else { GAP };
        let label = label.replace(' ', GAP);
        let value = value.replace(' ', GAP);
        format!("{label}{GAP}{}{GAP}{value}", leader.repeat(gap - 2))
    }
}

#[derive(Clone, Copy, Debug)]
enum FormCase {
    Sentence,
    Title,
    Upper,
}

/// How settings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingsStyle {
    Toml,
    Ini,
    Yaml,
    Json,
    Env,
}

/// How contacts are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContactStyle {
    /// A line for each attribute.
    is_block: bool,
    /// What all contacts of a list have, in this order; otherwise each has some of its own.
    shared: Option<Attributes>,
    /// Whether each stands on one line of its own.
    pub is_on_one_line: bool,
}

/// What is told of a person: as it is written, as it is asked for, and its values.
type Attribute = (&'static str, &'static str, Kind);

const ATTRIBUTES: [Attribute; 6] = [
    ("phone", "phone number", Kind::Phone),
    ("mail", "e-mail address", Kind::Email),
    ("city", "city", Kind::City),
    ("office", "office", Kind::Room),
    ("born", "date of birth", Kind::Date),
    ("staff no.", "staff number", Kind::Digits),
];

/// What came late.
const MORE_ATTRIBUTES: [Attribute; 2] = [
    ("ext.", "extension", Kind::Count),
    ("desk", "desk", Kind::Room),
];

const MOST_ATTRIBUTES: usize = 3;

/// Different ones, of which so many are told.
type Attributes = ([Attribute; MOST_ATTRIBUTES], usize);

/// How many lists tell the same of everybody, in percent.
const LISTS_OF_THE_SAME: usize = 50;

/// How many of those that are no blocks have each person on one line, in percent: lines as full as those that go on, which
/// end in short numbers. Drawn as they come there are few, and whether a line goes on is then told by its end alone.
const ON_ONE_LINE: usize = 55;

impl ContactStyle {
    pub(crate) fn any(draw: &mut Draw) -> Self {
        let is_list = draw.has_all_shapes() && draw.chance(LISTS_OF_THE_SAME);
        let is_block = match is_list {
            true => draw.chance(20),
            false => draw.one_of(&[false, true]),
        };
        let is_on_one_line = is_list && !is_block && draw.chance(ON_ONE_LINE);
        let shared = match is_on_one_line {
            true => Some(attributes_of_one_line(draw)),
            false => is_list.then(|| some_attributes(draw)),
        };
        Self {
            is_block,
            shared,
            is_on_one_line,
        }
    }

    /// Whether all contacts of the list have the same attributes.
    pub(crate) fn tells_the_same(self) -> bool {
        self.shared.is_some()
    }

    /// The same of contacts that each have attributes of their own.
    pub(crate) fn of_anything(self) -> Self {
        Self {
            shared: None,
            is_on_one_line: false,
            ..self
        }
    }
}

fn some_attributes(draw: &mut Draw) -> Attributes {
    let mut attributes = Vec::from(ATTRIBUTES);
    if draw.has_all_shapes() {
        attributes.extend(MORE_ATTRIBUTES);
    }
    draw.shuffle(&mut attributes);
    let some = std::array::from_fn(|index| attributes[index]);
    (some, draw.between(1, MOST_ATTRIBUTES))
}

/// Two that a line has room for behind a name, the second mostly a short number.
fn attributes_of_one_line(draw: &mut Draw) -> Attributes {
    let [phone, _, city, office, _, staff_number] = ATTRIBUTES;
    let [extension, desk] = MORE_ATTRIBUTES;
    let long = draw.one_of(&[phone, phone, city, staff_number]);
    let short = draw.one_of(&[office, extension, desk]);
    if draw.chance(25) {
        ([short, long, long], 2)
    } else {
        ([long, short, short], 2)
    }
}

impl FormStyle {
    pub(crate) fn any(draw: &mut Draw) -> Self {
        let separator = draw.one_of(&[": ", ": ", ": ", ": ", " = ", " - ", " | ", " -> "]);
        Self::parted_by(Separator::Text(separator), draw)
    }

    /// Labels and values in two columns.
    pub(crate) fn in_columns(draw: &mut Draw) -> Self {
        let columns = Columns {
            label_width: draw.between(8, 20),
            value_width: draw.one_of(&[0, 0, 8, 10, 12, 14]),
            leader: draw.one_of(&[GAP, GAP, GAP, "."]),
        };
        Self::parted_by(Separator::Columns(columns), draw)
    }

    fn parted_by(separator: Separator, draw: &mut Draw) -> Self {
        let case = draw.one_of(&[
            FormCase::Sentence,
            FormCase::Sentence,
            FormCase::Sentence,
            FormCase::Title,
            FormCase::Upper,
        ]);
        Self {
            separator,
            case,
            single_labels: draw.chance(25),
        }
    }
}

/// The key of a form's field, like that of `similar` when there is one.
pub(crate) fn form_key(draw: &mut Draw, similar: Option<Key>, style: FormStyle) -> Key {
    if style.single_labels {
        return ("", draw.one_of(&SINGLE_LABELS).0);
    }
    draw.admitted(
        |draw| {
            let word = draw.any(&LABEL_WORDS);
            let (head, _) = draw.one_of(&LABEL_HEADS);
            match similar {
                Some((first, _)) if draw.chance(50) => (first, head),
                Some((_, second)) => (word, second),
                None => (word, head),
            }
        },
        |split, key| admits_form_key(split, *key),
    )
}

/// Whether a split may ask for a form's field; labels of one word are shared.
pub(crate) fn admits_form_key(split: Split, (word, head): Key) -> bool {
    word.is_empty() || split.admits_compound(&[word, &format!("{word} {head}")])
}

/// A field of a form: `Invoice number: 83-2210`.
pub(crate) fn form_field(draw: &mut Draw, key: Key, style: FormStyle) -> Entry {
    let (word, head) = key;
    let heads = if word.is_empty() {
        &SINGLE_LABELS[..]
    } else {
        &LABEL_HEADS[..]
    };
    let mut kinds: Vec<Kind> = heads
        .iter()
        .filter(|(name, _)| *name == head)
        .map(|&(_, kind)| kind)
        .collect();
    draw.shuffle(&mut kinds);
    let label = format!("{word} {head}").trim_start().to_owned();
    let kind = kinds.first().copied().unwrap_or(Kind::Code);
    let value = value(draw, &label, kind);
    let shown = match style.case {
        FormCase::Sentence => label.clone(),
        FormCase::Title => format!("{word} {}", capitalised(head))
            .trim_start()
            .to_owned(),
        FormCase::Upper => label.to_ascii_uppercase(),
    };
    let asked = match word {
        "" if head == "PIN" => head.to_owned(),
        "" => head.to_ascii_lowercase(),
        _ => format!("{} {head}", word.to_ascii_lowercase()),
    };
    let mut questions = vec![
        format!("What is the {asked}?"),
        format!("{}?", capitalised(&asked)),
        format!("Find the {asked}."),
        format!("What {asked} is given?"),
        format!("Look up the {asked}."),
        format!("What's the {asked}?"),
    ];
    let whose = word.to_ascii_lowercase();
    if !word.is_empty() {
        questions.push(format!("What is the {whose}'s {head}?"));
        questions.push(format!("What is the {head} of the {whose}?"));
    }
    match kind {
        Kind::Price => questions.push(format!("How much is the {asked}?")),
        Kind::Person if head != "name" => questions.push(format!("Who is the {asked}?")),
        // With all shapes it is asked so only where one field answers to it, see `ask_by_one_word`.
        Kind::Person if !word.is_empty() && !draw.has_all_shapes() => {
            questions.push(format!("Who is the {whose}?"));
        }
        _ => {}
    }
    let line = match style.separator {
        Separator::Text(separator) => format!("{shown}{separator}{value}"),
        Separator::Columns(columns) => columns.line(&shown, &value),
    };
    let told = line.replace(GAP, " ");
    let fact = Fact {
        head: (!word.is_empty()).then_some(head),
        ..Fact::told_by(&told, &shown, label, questions, value)
    };
    single(key, line, fact)
}

/// How many settings have a name of one word, in percent.
const ONE_WORD_SETTINGS: usize = 25;

/// The same where there is to learn: one word is easily taken for a part of two.
const ONE_WORD_SETTINGS_TO_LEARN: usize = 45;

/// How many settings that are to be like one of one word have it as one of their two, in percent, where there is to
/// learn.
const WITHIN_TWO_WORDS: usize = 75;

/// A name of a setting, of one word or two.
pub(crate) fn setting_key(draw: &mut Draw, similar: Option<Key>) -> Key {
    let one_word = if draw.learns() {
        ONE_WORD_SETTINGS_TO_LEARN
    } else {
        ONE_WORD_SETTINGS
    };
    match similar {
        Some((word, "")) if draw.learns() && draw.chance(WITHIN_TWO_WORDS) => {
            let word = [word];
            if draw.chance(50) {
                draw.pair(&word, &SETTING_WORDS)
            } else {
                draw.pair(&SETTING_WORDS, &word)
            }
        }
        _ if draw.chance(one_word) => keyed(draw, similar, &SETTING_WORDS, &[""]),
        _ => keyed(draw, similar, &SETTING_WORDS, &SETTING_WORDS),
    }
}

/// A setting in the notation of a configuration file.
pub(crate) fn setting(draw: &mut Draw, key: Key, style: SettingsStyle, joint: &str) -> Entry {
    let name = if key.1.is_empty() && style == SettingsStyle::Env {
        key.0.to_ascii_uppercase()
    } else if style == SettingsStyle::Env {
        format!("{}_{}", key.0, key.1).to_ascii_uppercase()
    } else if key.1.is_empty() {
        key.0.to_owned()
    } else if joint.is_empty() {
        format!("{}{}", key.0, capitalised(key.1))
    } else {
        format!("{}{joint}{}", key.0, key.1)
    };
    let kind = setting_kind(draw);
    let value = value(draw, &name, kind);
    let bare = matches!(kind, Kind::Count | Kind::Digits | Kind::Flag);
    let quoted = if bare {
        value.clone()
    } else {
        format!("\"{value}\"")
    };
    let line = match style {
        SettingsStyle::Toml => format!("{name} = {quoted}"),
        SettingsStyle::Ini => format!("{name} = {value}"),
        SettingsStyle::Yaml => format!("{name}: {value}"),
        SettingsStyle::Json => format!("\"{name}\": {quoted},"),
        SettingsStyle::Env => format!("{name}={value}"),
    };
    let questions = vec![
        format!("What is the value of {name}?"),
        format!("Find the value of {name}."),
        format!("What is {name} set to?"),
        format!("{name}?"),
        format!("What is {name}?"),
    ];
    let fact = Fact::told_by(&line, &name, name.clone(), questions, value);
    single(key, line, fact)
}

/// A person's name.
pub(crate) fn contact_key(draw: &mut Draw, similar: Option<Key>) -> Key {
    keyed(draw, similar, &FIRST_NAMES, &LAST_NAMES)
}

/// A person with some of: phone, e-mail, city, office, birthday, and so on.
pub(crate) fn contact(draw: &mut Draw, key: Key, style: ContactStyle) -> Entry {
    let (first, last) = key;
    let name = format!("{first} {last}");
    let (attributes, count) = style.shared.unwrap_or_else(|| some_attributes(draw));
    let (mut lines, mut facts) = (vec![name.clone()], Vec::new());
    for (shown, asked, kind) in attributes.into_iter().take(count) {
        let subject = format!("{name}/{asked}");
        let value = if kind == Kind::Email && draw.chance(60) {
            let user = format!("{}.{}", &first[..1], last).to_ascii_lowercase();
            email(draw, &user)
        } else {
            value(draw, &subject, kind)
        };
        let questions = vec![
            format!("What is {name}'s {asked}?"),
            format!("{name}'s {asked}?"),
            format!("What is the {asked} of {name}?"),
            format!("Find the {asked} of {name}."),
        ];
        if style.is_block {
            lines.push(format!("{}: {value}", capitalised(shown)));
        } else {
            lines[0].push_str(&format!(", {shown} {value}"));
        }
        let so_far = lines.join("\n");
        facts.push(Fact::told_by(&so_far, &name, subject, questions, value));
    }
    Entry { key, lines, facts }
}

/// A thing: an adjective and a noun.
pub(crate) fn thing_key(draw: &mut Draw, similar: Option<Key>) -> Key {
    keyed(draw, similar, &ADJECTIVES, &NOUNS)
}

/// A key of two lists, sharing one word with `similar` when there is one.
fn keyed(
    draw: &mut Draw,
    similar: Option<Key>,
    first: &[&'static str],
    second: &[&'static str],
) -> Key {
    match similar {
        Some(key) => draw.pair_like(key, first, second),
        None => draw.pair(first, second),
    }
}

/// An entry of one line that tells one fact.
pub(crate) fn single(key: Key, line: String, fact: Fact) -> Entry {
    Entry {
        key,
        lines: vec![line],
        facts: vec![fact],
    }
}
