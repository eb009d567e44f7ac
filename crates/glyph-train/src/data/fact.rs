//! Values of many kinds, and which kind goes with which label.

use super::draw::Draw;
use super::prose::{capitalised, date, person, price, time};
use super::random::{code, email, password, path, url};
use super::words::{ADJECTIVES, CITIES, FIRST_NAMES, NOUNS, SETTING_WORDS};

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Digits,
    Code,
    Date,
    Time,
    Price,
    Person,
    City,
    Street,
    Email,
    Phone,
    Url,
    Room,
    Word,
    Words,
    Version,
    Password,
    Weight,
    Length,
    Color,
    Percent,
    Count,
    Flag,
    Path,
    Host,
}

/// The second word of a form's label, with the kind of its values.
pub(crate) const LABEL_HEADS: [(&str, Kind); 36] = [
    ("number", Kind::Digits),
    ("number", Kind::Code),
    ("code", Kind::Code),
    ("code", Kind::Digits),
    ("ID", Kind::Code),
    ("ID", Kind::Digits),
    ("key", Kind::Password),
    ("date", Kind::Date),
    ("deadline", Kind::Date),
    ("time", Kind::Time),
    ("start", Kind::Time),
    ("total", Kind::Price),
    ("price", Kind::Price),
    ("amount", Kind::Price),
    ("fee", Kind::Price),
    ("name", Kind::Person),
    ("manager", Kind::Person),
    ("contact", Kind::Person),
    ("owner", Kind::Person),
    ("city", Kind::City),
    ("address", Kind::Street),
    ("e-mail", Kind::Email),
    ("phone", Kind::Phone),
    ("website", Kind::Url),
    ("room", Kind::Room),
    ("type", Kind::Word),
    ("color", Kind::Color),
    ("title", Kind::Words),
    ("label", Kind::Words),
    ("version", Kind::Version),
    ("password", Kind::Password),
    ("PIN", Kind::Digits),
    ("weight", Kind::Weight),
    ("length", Kind::Length),
    ("discount", Kind::Percent),
    ("count", Kind::Count),
];

/// The labels of forms that name their fields by one word. No label is part of another.
pub(crate) const SINGLE_LABELS: [(&str, Kind); 58] = [
    ("Name", Kind::Person),
    ("Customer", Kind::Person),
    ("Seller", Kind::Person),
    ("Buyer", Kind::Person),
    ("Contact", Kind::Person),
    ("Driver", Kind::Person),
    ("Doctor", Kind::Person),
    ("Author", Kind::Person),
    ("Date", Kind::Date),
    ("Due", Kind::Date),
    ("Issued", Kind::Date),
    ("Expires", Kind::Date),
    ("Delivery", Kind::Date),
    ("Born", Kind::Date),
    ("Start", Kind::Time),
    ("End", Kind::Time),
    ("Arrival", Kind::Time),
    ("Departure", Kind::Time),
    ("Boarding", Kind::Time),
    ("Total", Kind::Price),
    ("Tax", Kind::Price),
    ("Shipping", Kind::Price),
    ("Balance", Kind::Price),
    ("Deposit", Kind::Price),
    ("Rent", Kind::Price),
    ("Price", Kind::Price),
    ("Fee", Kind::Price),
    ("Discount", Kind::Percent),
    ("Phone", Kind::Phone),
    ("Fax", Kind::Phone),
    ("E-mail", Kind::Email),
    ("Website", Kind::Url),
    ("Address", Kind::Street),
    ("City", Kind::City),
    ("Destination", Kind::City),
    ("Origin", Kind::City),
    ("Room", Kind::Room),
    ("Floor", Kind::Count),
    ("Quantity", Kind::Count),
    ("Copies", Kind::Count),
    ("Guests", Kind::Count),
    ("Seat", Kind::Code),
    ("Gate", Kind::Room),
    ("Flight", Kind::Code),
    ("Invoice", Kind::Code),
    ("Order", Kind::Code),
    ("Reference", Kind::Code),
    ("Model", Kind::Code),
    ("Serial", Kind::Code),
    ("Account", Kind::Digits),
    ("PIN", Kind::Digits),
    ("Weight", Kind::Weight),
    ("Length", Kind::Length),
    ("Color", Kind::Color),
    ("Type", Kind::Word),
    ("Version", Kind::Version),
    ("Password", Kind::Password),
    ("Project", Kind::Words),
];

const COLORS: [&str; 16] = [
    "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "black", "white",
    "gray", "silver", "gold", "violet", "beige", "navy",
];

const SHADES: [&str; 8] = ["", "", "", "dark", "light", "pale", "bright", "deep"];

/// A value of a kind, such that this split admits it under the label.
pub(crate) fn value(draw: &mut Draw, label: &str, kind: Kind) -> String {
    draw.admitted(
        |draw| match kind {
            // Neither of the two flags may be admitted; a number then stands for the choice.
            Kind::Flag if draw.chance(40) => any_value(draw, Kind::Count),
            _ => any_value(draw, kind),
        },
        |split, value| split.admits_fact(label, value),
    )
}

/// A value for a setting: mostly short numbers, words, paths and hosts.
pub(crate) fn setting_kind(draw: &mut Draw) -> Kind {
    draw.one_of(&[
        Kind::Count,
        Kind::Count,
        Kind::Digits,
        Kind::Word,
        Kind::Word,
        Kind::Flag,
        Kind::Version,
        Kind::Path,
        Kind::Host,
        Kind::Url,
        Kind::Password,
        Kind::Code,
        Kind::Percent,
        Kind::Email,
    ])
}

fn any_value(draw: &mut Draw, kind: Kind) -> String {
    match kind {
        Kind::Digits => {
            let count = draw.between(3, 9);
            draw.digits(count)
        }
        Kind::Code => code(draw),
        Kind::Date => date(draw),
        Kind::Time => time(draw),
        Kind::Price => price(draw),
        Kind::Person => {
            let (first, last) = person(draw);
            format!("{first} {last}")
        }
        Kind::City => draw.word(&CITIES).to_owned(),
        Kind::Street => {
            let street = capitalised(draw.word(&NOUNS));
            let way = draw.one_of(&["Street", "Road", "Lane", "Avenue"]);
            let number = draw.between(1, 299);
            if draw.has_all_shapes() && draw.chance(30) {
                format!("{street} {way} {number}")
            } else {
                format!("{number} {street} {way}")
            }
        }
        Kind::Email => {
            let user = draw.word(&FIRST_NAMES).to_ascii_lowercase();
            email(draw, &user)
        }
        Kind::Phone => match draw.below(3) {
            0 => format!("555-{:04}", draw.below(10_000)),
            1 => format!(
                "+{} {} {}",
                draw.between(1, 99),
                draw.digits(3),
                draw.digits(4)
            ),
            _ => format!(
                "({}) {}-{:04}",
                draw.digits(3),
                draw.digits(3),
                draw.below(10_000)
            ),
        },
        Kind::Url => url(draw),
        Kind::Room => {
            let letter = draw.characters(b"ABCDEFGH", 1);
            let n_shapes = if draw.has_all_shapes() { 9 } else { 3 };
            match draw.below(n_shapes) {
                0 => format!("{letter}{}", draw.between(1, 499)),
                1 => format!("{}.{:02}", draw.between(1, 9), draw.between(1, 60)),
                2 => draw.between(100, 999).to_string(),
                3 | 4 => format!("{}{letter}", draw.between(1, 99)),
                _ => draw.between(1, 99).to_string(),
            }
        }
        Kind::Word => draw.word(&ADJECTIVES).to_owned(),
        Kind::Words => format!("{} {}", draw.word(&ADJECTIVES), draw.word(&NOUNS)),
        Kind::Version => {
            format!("{}.{}.{}", draw.below(20), draw.below(40), draw.below(100))
        }
        Kind::Password => password(draw),
        Kind::Weight => measure(draw, ["kg", "g", "lb"]),
        Kind::Length => measure(draw, ["cm", "m", "km"]),
        Kind::Color => {
            let color = draw.one_of(&COLORS);
            match draw.one_of(&SHADES) {
                "" => color.to_owned(),
                shade => format!("{shade} {color}"),
            }
        }
        Kind::Percent if draw.has_all_shapes() && draw.chance(40) => {
            format!("{}%", draw.between(1, 99))
        }
        Kind::Percent => format!("{}.{}%", draw.below(100), draw.below(10)),
        Kind::Count => {
            let count = draw.between(1, 4);
            draw.digits(count)
        }
        Kind::Flag => draw.one_of(&["true", "false"]).to_owned(),
        Kind::Path => path(draw),
        Kind::Host => {
            format!("{}-{}.{}", draw.word(&SETTING_WORDS), draw.below(100), {
                draw.one_of(&["local", "lan", "test"])
            })
        }
    }
}

fn measure(draw: &mut Draw, units: [&'static str; 3]) -> String {
    let unit = draw.one_of(&units);
    if draw.has_all_shapes() && draw.chance(30) {
        return format!("{} {unit}", draw.between(1, 199));
    }
    format!("{}.{} {unit}", draw.below(200), draw.below(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn values_are_tidy_and_of_their_split() {
        for split in [Split::Train, Split::HeldOut] {
            let mut draw = Draw::new(6, split, 0);
            for (label, kind) in LABEL_HEADS {
                for _ in 0..30 {
                    let value = value(&mut draw, label, kind);
                    assert!(!value.is_empty() && value.trim() == value);
                    assert!(split.admits_fact(label, &value), "{label}: {value}");
                }
            }
        }
    }
}
