//! Facts told in sentences.

use super::draw::Draw;
use super::entry::{Entry, Fact, Key, single};
use super::fact::{Kind, value};
use super::prose::time;
use super::words::CITIES;

/// A fact told in a sentence about a thing.
pub(crate) fn of_thing(draw: &mut Draw, key: Key) -> Entry {
    let (adjective, noun) = key;
    let thing = format!("{adjective} {noun}");
    let (sentence, subject, questions, value) = match draw.below(6) {
        0 => {
            let value = value(draw, &thing, Kind::Price);
            let questions = vec![
                format!("How much does the {thing} cost?"),
                price_question(&thing),
            ];
            (
                format!("The {thing} costs {value}."),
                "price",
                questions,
                value,
            )
        }
        1 => {
            let value = value(draw, &thing, Kind::Person);
            let questions = vec![
                format!("Who owns the {thing}?"),
                format!("Who does the {thing} belong to?"),
            ];
            (
                format!("The {thing} belongs to {value}."),
                "owner",
                questions,
                value,
            )
        }
        2 => {
            let value = value(draw, &thing, Kind::Room);
            let questions = vec![
                format!("In which room is the {thing}?"),
                format!("Where is the {thing} kept?"),
                format!("What is the room of the {thing}?"),
            ];
            (
                format!("The {thing} is kept in room {value}."),
                "room",
                questions,
                value,
            )
        }
        3 => {
            let value = time(draw);
            let questions = vec![
                format!("When does the {thing} open?"),
                format!("At what time does the {thing} open?"),
            ];
            (
                format!("The {thing} opens at {value}."),
                "opening",
                questions,
                value,
            )
        }
        4 => {
            let value = value(draw, &thing, Kind::City);
            let questions = vec![
                format!("Which city is the {thing} from?"),
                format!("Where does the {thing} come from?"),
            ];
            (
                format!("The {thing} comes from {value}."),
                "city",
                questions,
                value,
            )
        }
        _ => {
            let (asked, kind) = draw.one_of(&[
                ("code", Kind::Code),
                ("number", Kind::Digits),
                ("password", Kind::Password),
                ("weight", Kind::Weight),
                ("length", Kind::Length),
                ("delivery date", Kind::Date),
                ("tag", Kind::Words),
            ]);
            let value = value(draw, &thing, kind);
            let link = draw.one_of(&["of", "for"]);
            let questions = vec![
                format!("What is the {asked} {link} the {thing}?"),
                format!("Find the {asked} {link} the {thing}."),
                format!("What is the {thing}'s {asked}?"),
                format!("What {asked} does the {thing} have?"),
            ];
            let sentence = if draw.chance(50) {
                format!("The {thing} has the {asked} {value}.")
            } else {
                format!("The {asked} {link} the {thing} is {value}.")
            };
            (sentence, asked, questions, value)
        }
    };
    let subject = format!("{thing}/{subject}");
    let fact = Fact::told_by(&sentence, &thing, subject, questions, value);
    single(key, sentence, fact)
}

/// A fact about a person or a journey, told in a sentence.
pub(crate) fn of_person(draw: &mut Draw, key: Key) -> Entry {
    let name = format!("{} {}", key.0, key.1);
    let (sentence, subject, questions, value) = match draw.below(4) {
        0 => {
            let value = value(draw, &name, Kind::City);
            let questions = vec![
                format!("Where does {name} live?"),
                format!("Which city does {name} live in?"),
            ];
            (
                format!("{name} lives in {value}."),
                "home",
                questions,
                value,
            )
        }
        1 => {
            let value = value(draw, &name, Kind::Date);
            let questions = vec![
                format!("When was {name} born?"),
                format!("What is {name}'s date of birth?"),
            ];
            (
                format!("{name} was born on {value}."),
                "birth",
                questions,
                value,
            )
        }
        2 => {
            let value = value(draw, &name, Kind::Room);
            let questions = vec![
                format!("In which room does {name} work?"),
                format!("What is {name}'s room?"),
            ];
            (
                format!("{name} works in room {value}."),
                "room",
                questions,
                value,
            )
        }
        _ => {
            let city = draw.word(&CITIES);
            let value = time(draw);
            let questions = vec![
                format!("When does {name} arrive in {city}?"),
                format!("At what time does {name} arrive in {city}?"),
            ];
            (
                format!("{name} arrives in {city} at {value}."),
                city,
                questions,
                value,
            )
        }
    };
    let subject = format!("{name}/{subject}");
    let fact = Fact::told_by(&sentence, &name, subject, questions, value);
    single(key, sentence, fact)
}

fn price_question(thing: &str) -> String {
    format!("What is the price of the {thing}?")
}
