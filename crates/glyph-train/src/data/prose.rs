//! English text: sentences of a small grammar, and sentences of random dictionary words that
//! nobody can guess.

use super::draw::Draw;
use super::words::{
    ADJECTIVES, ADVERBS, CITIES, DICTIONARY, FIRST_NAMES, LAST_NAMES, MONTHS, NOUNS, VERBS,
    WEEKDAYS,
};

/// A grammatical sentence of this split.
pub(crate) fn sentence(draw: &mut Draw) -> String {
    draw.line(|draw| {
        let text = match draw.below(4) {
            0 => statement(draw),
            1 => report(draw),
            2 => speech(draw),
            _ => detail(draw),
        };
        capitalised(&text)
    })
}

/// A sentence of random dictionary words of this split.
pub(crate) fn salad(draw: &mut Draw) -> String {
    draw.line(|draw| {
        let count = draw.between(3, 12);
        let mut text = String::new();
        for position in 0..count {
            if position > 0 {
                text.push_str(match draw.below(24) {
                    0 | 1 => ", ",
                    2 => "; ",
                    3 => " - ",
                    4 => ": ",
                    5 => "-",
                    _ => " ",
                });
            }
            let word = draw.word(&DICTIONARY);
            match draw.below(30) {
                0 | 1 => text.push_str(&capitalised(word)),
                2 => text.push_str(&word.to_ascii_uppercase()),
                3 => text.push_str(&format!("\"{word}\"")),
                4 => text.push_str(&format!("({word})")),
                5 => text.push_str(&format!("{word}'s")),
                6 => text.push_str(&number(draw)),
                _ => text.push_str(word),
            }
        }
        text.push(draw.one_of(b".....!?").into());
        capitalised(&text)
    })
}

/// A person's first and last name.
pub(crate) fn person(draw: &mut Draw) -> (&'static str, &'static str) {
    draw.pair(&FIRST_NAMES, &LAST_NAMES)
}

/// The text with its first letter, or the one behind an opening quote, in upper case.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(quote @ ('"' | '\'')) => format!("{quote}{}", capitalised(letters.as_str())),
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// A number of one to four digits, or a longer one with thousands separated.
pub(crate) fn number(draw: &mut Draw) -> String {
    draw.value(|draw| match draw.below(6) {
        0 => {
            let (head, first, second) = (draw.between(1, 3), draw.digits(3), draw.digits(3));
            format!("{},{first},{second}", draw.digits(head))
        }
        1 => format!("{}.{}", draw.below(100), draw.below(100)),
        2 => format!("{},{:03}", draw.between(1, 99), draw.below(1000)),
        _ => {
            let count = draw.between(1, 4);
            draw.digits(count)
        }
    })
}

/// A price such as `$12.50`.
pub(crate) fn price(draw: &mut Draw) -> String {
    draw.value(|draw| {
        let (whole, cents) = (draw.between(1, 999), draw.below(100));
        match draw.below(5) {
            0 => format!("EUR {whole}.{cents:02}"),
            1 => format!(
                "${},{:03}.{cents:02}",
                draw.between(1, 99),
                draw.below(1000)
            ),
            _ => format!("${whole}.{cents:02}"),
        }
    })
}

/// A calendar date in one of several notations.
pub(crate) fn date(draw: &mut Draw) -> String {
    draw.value(|draw| {
        let (year, month, day) = (
            draw.between(1950, 2049),
            draw.between(1, 12),
            draw.between(1, 28),
        );
        let name = MONTHS[month - 1];
        match draw.below(6) {
            0 => format!("{day} {name} {year}"),
            1 => format!("{name} {day}, {year}"),
            2 => format!("{month:02}/{day:02}/{year}"),
            3 => format!("{day:02}.{month:02}.{year}"),
            _ => format!("{year}-{month:02}-{day:02}"),
        }
    })
}

/// A time of day.
pub(crate) fn time(draw: &mut Draw) -> String {
    draw.value(|draw| {
        let minute = draw.below(60);
        if draw.chance(70) {
            format!("{:02}:{minute:02}", draw.below(24))
        } else {
            let half = draw.one_of(&["am", "pm"]);
            format!("{}:{minute:02} {half}", draw.between(1, 12))
        }
    })
}

fn noun(draw: &mut Draw) -> &'static str {
    draw.word(&NOUNS)
}

fn adjective(draw: &mut Draw) -> &'static str {
    draw.word(&ADJECTIVES)
}

fn verb(draw: &mut Draw) -> &'static str {
    draw.word(&VERBS)
}

fn adverb(draw: &mut Draw) -> &'static str {
    draw.word(&ADVERBS)
}

fn plural(noun: &str) -> String {
    if ["s", "x", "z", "ch", "sh"]
        .iter()
        .any(|ending| noun.ends_with(ending))
    {
        return format!("{noun}es");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

fn with_article(phrase: &str) -> String {
    let article = if phrase.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {phrase}")
}

/// Somebody or something that can be the subject or the object of a sentence.
fn phrase(draw: &mut Draw) -> String {
    let thing = noun(draw);
    match draw.below(7) {
        0 => format!("the {thing}"),
        1 => with_article(thing),
        2 => with_article(&format!("{} {thing}", adjective(draw))),
        3 => format!("{}'s {thing}", draw.word(&FIRST_NAMES)),
        4 => format!(
            "{} {}",
            draw.one_of(&["some", "many", "our", "their"]),
            plural(thing)
        ),
        5 => draw.word(&FIRST_NAMES).to_owned(),
        _ => format!("the {} {thing}", adjective(draw)),
    }
}

fn statement(draw: &mut Draw) -> String {
    let (subject, object) = (phrase(draw), phrase(draw));
    let act = verb(draw);
    match draw.below(5) {
        0 => format!("{subject} {act} {object} {}.", adverb(draw)),
        1 => format!("{subject} {act} {object} in {}.", draw.word(&CITIES)),
        2 => format!(
            "{subject} {act} {object}, but {} {} it.",
            phrase(draw),
            verb(draw)
        ),
        3 => format!(
            "when {subject} {act} {object}, the {} was {}.",
            noun(draw),
            adjective(draw)
        ),
        _ => format!("{subject} {act} {object}."),
    }
}

fn report(draw: &mut Draw) -> String {
    let thing = noun(draw);
    match draw.below(6) {
        0 => format!("the {thing} cost {}, not {}.", price(draw), price(draw)),
        1 => format!(
            "on {}, {} {} at {}.",
            draw.one_of(&WEEKDAYS),
            phrase(draw),
            verb(draw),
            { time(draw) }
        ),
        2 => {
            let (first, last) = person(draw);
            format!(
                "{first} {last} moved to {} on {}.",
                draw.word(&CITIES),
                date(draw)
            )
        }
        3 => {
            format!(
                "about {}% of the {} were {}.",
                draw.below(100),
                plural(thing),
                adjective(draw)
            )
        }
        4 => format!(
            "{} {} were {} by {}.",
            number(draw),
            plural(thing),
            verb(draw),
            date(draw)
        ),
        _ => format!(
            "{}: {} {} left.",
            draw.word(&CITIES),
            number(draw),
            plural(thing)
        ),
    }
}

fn speech(draw: &mut Draw) -> String {
    let (speaker, thing) = (draw.word(&FIRST_NAMES), noun(draw));
    match draw.below(5) {
        0 => format!("\"that {thing} is {},\" said {speaker}.", adjective(draw)),
        1 => format!("{speaker} asked: \"Who {} the {thing}?\"", verb(draw)),
        2 => format!("don't forget the {thing} - it's {}!", adjective(draw)),
        3 => format!("'{}!' they'd {} call.", capitalised(thing), adverb(draw)),
        _ => format!("why is the {thing} so {}?", adjective(draw)),
    }
}

fn detail(draw: &mut Draw) -> String {
    let thing = noun(draw);
    match draw.below(6) {
        0 => format!(
            "{} ({}) {} {}.",
            phrase(draw),
            number(draw),
            verb(draw),
            phrase(draw)
        ),
        1 => format!(
            "the {}-{} {thing} {} worked.",
            adjective(draw),
            noun(draw),
            adverb(draw)
        ),
        2 => format!(
            "we {} {}; they {} it.",
            verb(draw),
            phrase(draw),
            verb(draw)
        ),
        3 => {
            let (first, last) = person(draw);
            let house = draw.between(1, 199);
            format!(
                "{first} {last} lives at {house} {} Street.",
                capitalised(thing)
            )
        }
        4 => format!(
            "the {thing}, the {} and the {} {}.",
            noun(draw),
            noun(draw),
            verb(draw)
        ),
        _ => format!(
            "see page {} [{thing}] & note {}.",
            draw.below(400),
            draw.below(40)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn sentences_start_upper_case_and_end_with_a_mark() {
        let mut draw = Draw::new(3, Split::Train, 0);
        for _ in 0..500 {
            for text in [sentence(&mut draw), salad(&mut draw)] {
                assert!(!text.contains("  ") && text.trim() == text, "{text}");
                assert!(text.ends_with(['.', '!', '?', '"', '\'']), "{text}");
                assert!(
                    !text.starts_with(|letter: char| letter.is_ascii_lowercase()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn phrases_agree() {
        assert_eq!(with_article("old boat"), "an old boat");
        assert_eq!(plural("city"), "cities");
        assert_eq!(plural("key"), "keys");
        assert_eq!(plural("box"), "boxes");
    }
}
