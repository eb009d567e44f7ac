//! Facts that a document does not tell, though it comes close to them.

use super::draw::Draw;
use super::entry::{Entry, Fact, Key};
use super::lookup::{FITTING_TRIES, Room, Style, Topic};

/// How many facts that the document does not tell are made for further questions.
const NOT_TOLD: usize = 3;

/// How many of them are about what the document tells something else about, in percent, where that can be and where there
/// is to learn.
const TOLD_SOMETHING_ELSE: usize = 55;

/// How many first questions without an answer are about a key that the document tells something else about, in percent,
/// where that can be.
const NEAR: usize = 40;

/// The same where there is to learn.
const NEAR_TO_LEARN: usize = 60;

/// How many settings that are not there are one word of a told setting's two, in percent of those mixed of told ones.
const ONE_OF_TWO_WORDS: usize = 60;

/// How often a key is mixed again until it is one that the document does not have.
const MIXING_TRIES: usize = 20;

/// An entry to ask for that will not be in the document, and in some cases an entry about the same key that tells
/// something else.
pub(super) fn asked_in_vain(
    draw: &mut Draw,
    style: &Style,
    topic: Topic,
    room: Room,
) -> Option<(Entry, Option<Entry>)> {
    let mut asked = style.fitting_entry(draw, topic, None, room)?;
    let near_percent = if draw.learns() { NEAR_TO_LEARN } else { NEAR };
    // Drawn the other way round, the documents to be measured by would be others.
    if !style.can_tell_more() || draw.chance(100 - near_percent) {
        return Some((asked, None));
    }
    if draw.has_all_shapes() {
        asked.facts = style.any_facts(draw, topic, asked.key);
    }
    let fact = asked.facts.swap_remove(draw.below(asked.facts.len()));
    asked.facts = vec![fact.clone()];
    for _ in 0..FITTING_TRIES {
        let near = style.entry(draw, topic, asked.key);
        let tells = near.facts.iter().any(|other| other.subject == fact.subject);
        if !tells && room.fits(&near) {
            return Some((asked, Some(near)));
        }
    }
    Some((asked, None))
}

/// Facts of keys that the document does not have, each like the one asked for.
pub(super) fn of_other_keys(
    draw: &mut Draw,
    style: &Style,
    topic: Topic,
    asked: Key,
    keys: &[Key],
    room: Room,
) -> Vec<Fact> {
    (0..NOT_TOLD)
        .filter_map(|_| style.fitting_entry(draw, topic, Some(asked), room))
        .filter(|other| !keys.contains(&other.key))
        .flat_map(|other| other.facts)
        .collect()
}

/// Facts that only whoever compares a whole key and what is told of it sees not to be there: of a key mixed of two that
/// the document has, or something else of one that it has.
pub(super) fn like_what_is_told(
    draw: &mut Draw,
    style: &Style,
    told: &[(Topic, Entry)],
    keys: &[Key],
) -> Vec<Fact> {
    (0..NOT_TOLD)
        .filter_map(|_| {
            let (topic, like) = told.get(draw.below(told.len()))?;
            let key = if style.can_tell_more() && draw.chance(TOLD_SOMETHING_ELSE) {
                like.key
            } else {
                let same_topic = told.iter().filter(|(other, _)| other == topic);
                let of: Vec<Key> = same_topic.map(|(_, entry)| entry.key).collect();
                mixed_or_like(draw, style, *topic, like.key, &of, keys)?
            };
            let untold = style.any_facts(draw, *topic, key).into_iter();
            Some(untold.filter(|fact| !tells(told, &fact.subject)))
        })
        .flatten()
        .collect()
}

/// A key that the document does not have, made of two that it has if any two make one.
fn mixed_or_like(
    draw: &mut Draw,
    style: &Style,
    topic: Topic,
    like: Key,
    told: &[Key],
    keys: &[Key],
) -> Option<Key> {
    let takes_one_word = style.has_keys_of_one_word() && draw.chance(ONE_OF_TWO_WORDS);
    let mixed = (0..MIXING_TRIES).find_map(|_| {
        let other = *told.get(draw.below(told.len()))?;
        let (first, second) = if draw.chance(50) {
            (like, other)
        } else {
            (other, like)
        };
        let key = match (takes_one_word, draw.chance(50)) {
            (true, true) => (like.0, ""),
            (true, false) => (like.1, ""),
            (false, _) => (first.0, second.1),
        };
        let is_whole = !key.0.is_empty() || like.0.is_empty();
        (is_whole && !keys.contains(&key) && style.admits(draw, key)).then_some(key)
    });
    mixed.or_else(|| {
        let key = style.key(draw, topic, Some(like));
        (!keys.contains(&key)).then_some(key)
    })
}

/// Whether some entry tells a fact.
fn tells(told: &[(Topic, Entry)], subject: &str) -> bool {
    let mut facts = told.iter().flat_map(|(_, entry)| &entry.facts);
    facts.any(|fact| fact.subject == subject)
}

#[cfg(test)]
#[path = "untold_tests.rs"]
mod tests;
