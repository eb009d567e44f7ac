//! Lines that look alike: lists that count, the same line again, rules, logs.
//!
//! What was read last does not tell where on such a page it stands; only its place does.

use super::draw::Draw;
use super::prose::capitalised;
use super::random;
use super::words::{ADJECTIVES, LABEL_WORDS, NOUNS};

/// Lines that belong together, at most; a page may be one list from its first line to its last.
const MOST_IN_A_ROW: usize = 8;

/// What rules are drawn with.
const RULES: [char; 7] = ['-', '=', '*', '_', '#', '~', '.'];

/// Words that forms, votes and logs repeat.
const ANSWERS: [&str; 8] = ["yes", "no", "ok", "true", "false", "none", "open", "done"];

/// Lists one below the other, `n_lines` lines of `columns` characters at most, of which there is one. Single words are of the
/// split; counters, rules, runs of a character and short answers are the same in every split.
pub(crate) fn text(draw: &mut Draw, columns: usize, n_lines: usize) -> String {
    let is_one_list = draw.chance(50);
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < n_lines {
        let n_rows = match is_one_list {
            true => n_lines,
            false => draw.between(2, MOST_IN_A_ROW),
        };
        let list = match draw.below(8) {
            0 | 1 => counted(draw, n_rows),
            2 => items(draw, n_rows),
            3 => repeated(draw, n_rows),
            4 => log(draw, n_rows),
            5 => numbers(draw, n_rows),
            6 => runs(draw, columns, n_rows),
            _ => ruled(draw, columns, n_rows),
        };
        lines.extend(list.into_iter().filter(|line| line.len() <= columns));
    }
    lines.truncate(n_lines);
    lines.join("\n")
}

/// `item 1`, `item 2` …
fn counted(draw: &mut Draw, n_rows: usize) -> Vec<String> {
    let noun = draw.word(&NOUNS);
    let name = match draw.below(4) {
        0 => String::new(),
        1 => noun.to_owned(),
        2 => capitalised(noun),
        _ => format!("{} {noun}", draw.word(&ADJECTIVES)),
    };
    let (before, after) = draw.one_of(&[
        (" ", ""),
        (" ", ""),
        (" ", ":"),
        (" #", ""),
        (" (", ")"),
        ("-", ""),
    ]);
    let first = match draw.below(3) {
        0 => draw.below(200),
        _ => draw.below(3),
    };
    (first..first + n_rows)
        .map(|number| match name.is_empty() {
            true => format!("{number}{after}").trim_end_matches(')').to_owned(),
            false => format!("{name}{before}{number}{after}"),
        })
        .collect()
}

/// A list of short things, each behind the same sign or its number.
fn items(draw: &mut Draw, n_rows: usize) -> Vec<String> {
    let sign = draw.one_of(&["- ", "* ", "- [ ] ", "- [x] ", "[ ] ", "> ", "", "#"]);
    let verb = match draw.below(3) {
        0 => format!(
            "{} ",
            draw.one_of(&["buy", "see", "call", "fix", "add", "the"])
        ),
        _ => String::new(),
    };
    (1..=n_rows)
        .map(|number| {
            let noun = draw.word(&NOUNS);
            match sign {
                "#" => format!("{number}. {verb}{noun}"),
                sign => format!("{sign}{verb}{noun}"),
            }
        })
        .collect()
}

/// One line again and again, or one of two.
fn repeated(draw: &mut Draw, n_rows: usize) -> Vec<String> {
    let mut line = || match draw.below(4) {
        0 => draw.one_of(&ANSWERS).to_owned(),
        1 => draw.word(&NOUNS).to_owned(),
        2 => random::token(draw),
        _ => format!("The {} {}.", draw.word(&ADJECTIVES), draw.word(&NOUNS)),
    };
    let (one, other) = (line(), line());
    let share = draw.one_of(&[0, 0, 20, 50]);
    (0..n_rows)
        .map(|_| if draw.chance(share) { &other } else { &one }.clone())
        .collect()
}

/// Lines of a log that differ in their time, a number or a word.
fn log(draw: &mut Draw, n_rows: usize) -> Vec<String> {
    let level = draw.one_of(&["INFO", "WARN", "ERROR", "DEBUG", "GET", "PUT"]);
    let said = format!("{} {}", draw.word(&NOUNS), draw.word(&LABEL_WORDS));
    let (hour, minute) = (draw.below(24), draw.below(60));
    let step_s = draw.one_of(&[1, 1, 2, 5, 10]);
    let first_s = draw.below(60);
    let (has_time, has_number) = (draw.chance(70), draw.chance(60));
    (0..n_rows)
        .map(|row| {
            let time = match has_time {
                true => {
                    let second = first_s + step_s * row;
                    let minute = (minute + second / 60) % 60;
                    format!("{hour:02}:{minute:02}:{:02} ", second % 60)
                }
                false => String::new(),
            };
            let end = match has_number {
                true => format!("={}", row + 1),
                false => format!(" {}", draw.one_of(&ANSWERS)),
            };
            format!("{time}{level} {said}{end}")
        })
        .collect()
}

/// Addresses, and numbers in several notations, that follow one another.
fn numbers(draw: &mut Draw, n_rows: usize) -> Vec<String> {
    let first = draw.below(100);
    let (base, octet) = (draw.digits(3), draw.below(256));
    let notation = draw.below(6);
    (first..first + n_rows)
        .map(|number| match notation {
            0 => format!("10.{octet}.0.{number}"),
            1 => format!("192.168.{}.{number}", octet % 10),
            2 => format!("{:03b}", number - first),
            3 => format!("0x{number:04x}"),
            4 => format!("{base}{number:03}"),
            _ => format!("{}", number * 10),
        })
        .collect()
}

/// Lines of one character each, as separators and blank forms are.
fn runs(draw: &mut Draw, columns: usize, n_rows: usize) -> Vec<String> {
    let characters = b"0123456789abcxyzAXO.-=_*#+~/|";
    let is_same = draw.chance(50);
    let (length, character) = (draw.between(1, columns), draw.characters(characters, 1));
    (0..n_rows)
        .map(|_| match is_same {
            true => character.repeat(length),
            false => draw
                .characters(characters, 1)
                .repeat(draw.between(1, columns)),
        })
        .collect()
}

/// Short lines with rules between them.
fn ruled(draw: &mut Draw, columns: usize, n_rows: usize) -> Vec<String> {
    let rule = draw.one_of(&RULES).to_string();
    let length = draw.one_of(&[3, 5, 10, 20, columns / 2, columns, columns]);
    (0..n_rows)
        .map(|row| match row % 2 {
            0 => format!(
                "{} {}",
                capitalised(draw.word(&LABEL_WORDS)),
                draw.word(&NOUNS)
            ),
            _ => rule.repeat(length.min(columns)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn lines_fit_and_look_alike() {
        let (mut n_pairs, mut n_alike) = (0, 0);
        for split in [Split::Train, Split::HeldOut] {
            for (index, (columns, n_lines)) in
                (0..300).zip([(16, 1), (24, 5), (40, 8)].into_iter().cycle())
            {
                let mut draw = Draw::new(11, split, index);
                let text = text(&mut draw, columns, n_lines);
                let lines: Vec<&str> = text.lines().collect();
                assert_eq!(lines.len(), n_lines, "{text}");
                for line in &lines {
                    assert!(!line.is_empty() && line.len() <= columns, "{line:?}");
                    assert_eq!(line.trim(), *line);
                }
                // Half of the shorter line's characters stand at the same places of the other.
                let alike = |pair: &&[&str]| {
                    let same = pair[0].bytes().zip(pair[1].bytes()).filter(|(a, b)| a == b);
                    2 * same.count() >= pair[0].len().min(pair[1].len())
                };
                n_alike += lines.windows(2).filter(alike).count();
                n_pairs += n_lines - 1;
            }
        }
        assert!(n_alike * 2 > n_pairs, "{n_alike} of {n_pairs}");
    }
}
