//! Strings that can only be read, never guessed.

use super::draw::Draw;
use super::prose::capitalised;
use super::words::{DICTIONARY, SETTING_WORDS};

const DIGITS: &[u8] = b"0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUNCTUATION: &[u8] = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Characters that are easily taken for one another.
const LOOKALIKES: &[u8] = b"0OoQ1Il|!i5S8B2Zz.,:;'`\"-_~uvVrnm6Gg9q";
const TOP_DOMAINS: [&str; 6] = ["com", "org", "net", "io", "de", "co.uk"];

/// A random token of this split, without spaces.
pub(crate) fn token(draw: &mut Draw) -> String {
    // The style is chosen first, so that no style is more likely to be admitted than another.
    let style = draw.below(20);
    draw.value(|draw| match style {
        0..=8 => printable(draw, 10),
        9 => some(draw, DIGITS, 9),
        10 => some(draw, HEX, 12),
        11 => some(draw, ALPHANUMERIC, 10),
        12 => some(draw, LETTERS, 8),
        13 => some(draw, PUNCTUATION, 4),
        14 => some(draw, LOOKALIKES, 8),
        15 => some(draw, LOWER, 9),
        16 => grouped(draw),
        17 => address(draw),
        18 => draw.word(&DICTIONARY).to_ascii_uppercase(),
        _ => wrapped_word(draw),
    })
}

/// A token that is likely to be longer than a line of a small page.
pub(crate) fn long_token(draw: &mut Draw) -> String {
    draw.value(|draw| {
        let length = draw.between(20, 48);
        match draw.below(3) {
            0 => draw.characters(HEX, length),
            1 => draw.characters(ALPHANUMERIC, length),
            _ => printable(draw, length),
        }
    })
}

/// An e-mail address.
pub(crate) fn email(draw: &mut Draw, user: &str) -> String {
    draw.value(|draw| {
        let host = draw.word(&SETTING_WORDS);
        let domain = draw.one_of(&TOP_DOMAINS);
        match draw.below(3) {
            0 => format!("{user}@{host}.{domain}"),
            1 => format!("{user}{}@{host}.{domain}", draw.below(100)),
            _ => format!("{user}@{host}{}.{domain}", draw.below(100)),
        }
    })
}

/// A web address.
pub(crate) fn url(draw: &mut Draw) -> String {
    draw.value(|draw| {
        let (host, path) = (draw.word(&SETTING_WORDS), draw.word(&DICTIONARY));
        let domain = draw.one_of(&TOP_DOMAINS);
        match draw.below(4) {
            0 => format!("https://{host}.{domain}/{path}"),
            1 => format!("http://{host}.{domain}:{}", draw.between(80, 9999)),
            2 => format!("www.{host}.{domain}"),
            _ => format!("{host}.{domain}/{path}?id={}", draw.below(1000)),
        }
    })
}

/// A file path.
pub(crate) fn path(draw: &mut Draw) -> String {
    draw.value(|draw| {
        let (folder, file) = (draw.word(&SETTING_WORDS), draw.word(&DICTIONARY));
        match draw.below(3) {
            0 => format!("/var/{folder}/{file}"),
            1 => format!("~/{folder}/{file}.txt"),
            _ => format!("/{folder}/{file}{}", draw.below(100)),
        }
    })
}

/// A code of mixed letters and digits such as `AB-1234` or `X7K9Q`.
pub(crate) fn code(draw: &mut Draw) -> String {
    draw.value(|draw| {
        const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        const UPPER_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        match draw.below(5) {
            0 => {
                let count = draw.between(2, 5);
                format!(
                    "{}-{}",
                    draw.characters(UPPER, 2),
                    draw.characters(DIGITS, count)
                )
            }
            1 => {
                let count = draw.between(4, 8);
                draw.characters(UPPER_DIGITS, count)
            }
            2 => format!("{}{}", draw.characters(UPPER, 1), draw.between(10, 9999)),
            3 => format!("{}-{}", draw.digits(2), draw.digits(4)),
            _ => format!("{}/{}", draw.digits(4), draw.characters(UPPER_DIGITS, 3)),
        }
    })
}

/// A password of letters, digits and marks.
pub(crate) fn password(draw: &mut Draw) -> String {
    const MARKED: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789!#$%&*+-?@^_~";
    draw.value(|draw| {
        let count = draw.between(5, 12);
        draw.characters(MARKED, count)
    })
}

/// Up to `most` characters of an alphabet.
fn some(draw: &mut Draw, alphabet: &[u8], most: usize) -> String {
    let count = draw.between(1, most);
    draw.characters(alphabet, count)
}

/// Up to `most` characters, each of the 94 visible ones equally likely.
fn printable(draw: &mut Draw, most: usize) -> String {
    let count = draw.between(1, most);
    (0..count)
        .map(|_| char::from(b'!' + draw.below(94) as u8))
        .collect()
}

/// Digits or letters in groups: `12-3456-78`, `a3:ff:09`, `10.0.3.7`.
fn grouped(draw: &mut Draw) -> String {
    let mark = draw.one_of(&["-", ".", ":", "/", "_"]);
    let alphabet = draw.one_of(&[DIGITS, DIGITS, HEX, ALPHANUMERIC]);
    let groups: Vec<String> = (0..draw.between(2, 4))
        .map(|_| some(draw, alphabet, 4))
        .collect();
    groups.join(mark)
}

fn address(draw: &mut Draw) -> String {
    match draw.below(3) {
        0 => {
            let user = draw.word(&DICTIONARY);
            email(draw, user)
        }
        1 => url(draw),
        _ => path(draw),
    }
}

fn wrapped_word(draw: &mut Draw) -> String {
    let word = draw.word(&DICTIONARY);
    match draw.below(7) {
        0 => format!("<{word}>"),
        1 => format!("[{word}]"),
        2 => format!("{{{word}}}"),
        3 => format!("`{word}`"),
        4 => format!("#{word}"),
        5 => format!("${}", word.to_ascii_uppercase()),
        _ => capitalised(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use std::collections::HashMap;

    #[test]
    fn tokens_of_both_splits_are_equally_long() {
        let mean_length = |split| {
            let mut draw = Draw::new(1, split, 0);
            (0..5000).map(|_| token(&mut draw).len()).sum::<usize>() as f64 / 5000.0
        };
        let (train, held_out) = (mean_length(Split::Train), mean_length(Split::HeldOut));
        assert!((train - held_out).abs() < 0.5, "{train} and {held_out}");
    }

    #[test]
    fn every_visible_character_comes_often() {
        let mut draw = Draw::new(1, Split::Train, 0);
        let text: String = (0..20_000).map(|_| token(&mut draw)).collect();
        let mut counts: HashMap<char, usize> = HashMap::new();
        for letter in text.chars() {
            assert!(letter.is_ascii_graphic());
            *counts.entry(letter).or_default() += 1;
        }
        assert_eq!(counts.len(), 94);
        let rarest = counts.values().min().unwrap();
        assert!(
            rarest * 400 > text.len(),
            "the rarest comes {rarest} times in {}",
            text.len()
        );
    }
}
