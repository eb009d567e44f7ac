use super::*;
use crate::data::Split;
use crate::data::fact::SINGLE_LABELS;
use crate::data::words::SETTING_WORDS;
use std::collections::HashSet;

const DOCUMENTS: [Document; 4] = [
    Document::Form,
    Document::Settings,
    Document::Contacts,
    Document::Sentences,
];

fn pages(split: Split, absent: bool, grid: PageGrid, n_pages: usize) -> Vec<LookupPage> {
    (0..300)
        .flat_map(|index| DOCUMENTS.map(|document| (index, document)))
        .map(|(index, document)| {
            let mut draw = Draw::new(11, split, index);
            generate(&mut draw, document, absent, grid, n_pages).unwrap()
        })
        .collect()
}

#[test]
fn what_is_asked_is_told_once() {
    for grid in [PageGrid::new(24, 4), PageGrid::new(40, 16)] {
        for page in pages(Split::Train, false, grid, 1) {
            let value = page.value.unwrap();
            assert!(
                page.text.replace('\n', " ").contains(&value),
                "{value}\n{}",
                page.text
            );
            let tellers: Vec<_> = page
                .told
                .iter()
                .filter(|fact| fact.subject == page.subject)
                .collect();
            assert_eq!(tellers.len(), 1, "{}\n{}", page.subject, page.text);
            assert_eq!(tellers[0].value, value);
        }
    }
}

#[test]
fn what_is_absent_is_not_told() {
    for grid in [PageGrid::new(24, 4), PageGrid::new(40, 16)] {
        for page in pages(Split::HeldOut, true, grid, 1) {
            assert!(page.value.is_none());
            assert!(page.told.iter().all(|fact| fact.subject != page.subject));
            let is_label = !page.subject.contains('/');
            let words = |text: &str| -> Vec<String> {
                text.to_ascii_lowercase()
                    .split(|letter: char| " \n:=\",".contains(letter))
                    .map(str::to_owned)
                    .collect()
            };
            let (text, subject) = (words(&page.text), words(&page.subject));
            let shown = text.windows(subject.len()).any(|window| window == subject);
            assert!(!(is_label && shown), "{}\n{}", page.subject, page.text);
        }
    }
}

#[test]
fn most_absent_questions_have_a_near_miss() {
    let pages = pages(Split::Train, true, PageGrid::new(40, 16), 1);
    let near = pages
        .iter()
        .filter(|page| {
            let subject = page.subject.replace(['/', '_', '-', '.'], " ");
            let words: HashSet<&str> = subject.split(' ').collect();
            let text = page.text.replace(['_', '-', '.'], " ");
            words.iter().filter(|word| text.contains(*word)).count() > 0
        })
        .count();
    assert!(near * 5 > pages.len() * 4, "{near} of {}", pages.len());
}

#[test]
fn answers_of_the_splits_are_disjoint() {
    let answers = |split| -> HashSet<(String, String)> {
        pages(split, false, PageGrid::new(40, 8), 1)
            .into_iter()
            .map(|page| (page.subject, page.value.unwrap()))
            .collect()
    };
    let (train, held_out) = (answers(Split::Train), answers(Split::HeldOut));
    assert!(train.is_disjoint(&held_out));
    let long = |facts: &HashSet<(String, String)>| -> HashSet<String> {
        facts
            .iter()
            .map(|(_, value)| value.clone())
            .filter(|value| value.len() > 2 && value != "true" && value != "false")
            .collect()
    };
    assert!(long(&train).is_disjoint(&long(&held_out)));
    let subjects = |facts: &HashSet<(String, String)>| -> HashSet<String> {
        let is_shared = |subject: &str| SINGLE_LABELS.iter().any(|(label, _)| *label == subject);
        let subjects = facts.iter().map(|(subject, _)| subject.clone());
        subjects.filter(|subject| !is_shared(subject)).collect()
    };
    assert!(subjects(&train).is_disjoint(&subjects(&held_out)));
}

#[test]
fn a_setting_of_one_word_stands_beside_settings_that_hold_it() {
    let grid = PageGrid::new(40, 8);
    let pages: Vec<_> = (0..600)
        .map(|index| {
            let mut draw = Draw::new(12, Split::Train, index);
            generate(&mut draw, Document::Settings, false, grid, 1).unwrap()
        })
        .filter(|page| SETTING_WORDS.contains(&page.subject.as_str()))
        .collect();
    let beside = |page: &&LookupPage| {
        let others = page.told.iter().map(|fact| fact.subject.as_str());
        others
            .filter(|subject| *subject != page.subject)
            .any(|subject| subject.contains(page.subject.as_str()))
    };
    let n_beside = pages.iter().filter(beside).count();
    assert!(pages.len() > 150, "{} of one word", pages.len());
    assert!(
        n_beside * 10 > pages.len() * 7,
        "{n_beside} of {}",
        pages.len()
    );
}

#[test]
fn what_goes_over_a_line_is_asked_first_more_often_than_not_where_there_is_to_learn() {
    let grid = PageGrid::new(40, 8);
    let share_over_lines = |split| {
        let firsts: Vec<bool> = (0..400)
            .filter_map(|index| {
                let mut draw = Draw::new(13, split, index);
                let page = generate(&mut draw, Document::Sentences, false, grid, 1)?;
                let page = page.questioned(&mut draw, 4);
                let mut told = page
                    .more_turns
                    .iter()
                    .filter(|turn| turn.answer != crate::data::NOT_THERE);
                let quote = told.next()?.thought.clone()?.quotation?;
                Some(page.text.lines().all(|line| !line.contains(&quote)))
            })
            .collect();
        firsts.iter().filter(|over| **over).count() as f64 / firsts.len() as f64
    };
    let (train, held_out) = (
        share_over_lines(Split::Train),
        share_over_lines(Split::HeldOut),
    );
    assert!(train > held_out + 0.15, "{train} against {held_out}");
}

#[test]
fn full_lines_that_a_person_ends_with_end_in_short_numbers_too() {
    let grid = PageGrid::new(40, 8);
    let mut n_lines = 0;
    for index in 0..600 {
        let mut draw = Draw::new(17, Split::Train, index);
        let page = generate(&mut draw, Document::Contacts, false, grid, 1).unwrap();
        let is_end = |line: &str| page.told.iter().any(|fact| fact.quote == line);
        let ends_shortly = |line: &str| {
            let end = line.rsplit(' ').next().unwrap_or_default();
            end.len() <= 2 && end.bytes().all(|byte| byte.is_ascii_digit())
        };
        let lines = page.text.lines().filter(|line| line.len() > 32);
        n_lines += lines
            .filter(|line| ends_shortly(line) && is_end(line))
            .count();
    }
    assert!(n_lines > 200, "{n_lines}");
}

#[test]
fn what_is_not_told_is_thought_without_a_quotation() {
    let grid = PageGrid::new(40, 8);
    let mut n_near = 0;
    for index in 0..200 {
        let mut draw = Draw::new(15, Split::Train, index);
        let Some(page) = generate(&mut draw, Document::Contacts, true, grid, 2) else {
            continue;
        };
        n_near += u32::from(page.text.replace('\n', " ").contains(&page.thought.key));
        let page = page.questioned(&mut draw, 6);
        for turn in std::iter::once(&page.first).chain(&page.more_turns) {
            let is_told = turn.answer != crate::data::NOT_THERE;
            let thought = turn.thought.as_ref().unwrap();
            assert_eq!(thought.quotation.is_some(), is_told, "{turn:?}");
        }
    }
    assert!(n_near > 20, "{n_near} about people who are on the page");
}

#[test]
fn wrong_lines_are_looked_at_first_now_and_then_where_there_is_to_learn() {
    let grid = PageGrid::new(40, 8);
    // Of thoughts that find it and of those that do not: how many there are, and how many look elsewhere first.
    let missteps = |split| {
        let mut counts = [[0_u32; 2]; 2];
        for (index, document) in (0..400).zip(DOCUMENTS.into_iter().cycle()) {
            let mut draw = Draw::new(16, split, index);
            let Some(page) = generate(&mut draw, document, index % 3 == 0, grid, 1) else {
                continue;
            };
            let text = page.text.replace('\n', " ");
            let page = page.questioned(&mut draw, 6);
            for turn in std::iter::once(&page.first).chain(&page.more_turns) {
                let thought = turn.thought.as_ref().unwrap();
                let [n, n_missteps] = &mut counts[usize::from(thought.quotation.is_none())];
                *n += 1;
                if let Some(misstep) = &thought.misstep {
                    *n_missteps += 1;
                    let quotation = misstep.quotation.replace('\n', " ");
                    assert!(text.contains(&quotation), "{misstep:?} in {text}");
                    assert_ne!(Some(&misstep.quotation), thought.quotation.as_ref());
                }
            }
        }
        counts
    };
    let [found, not_found] = missteps(Split::Train);
    assert!(
        found[1] * 8 > found[0] && found[1] * 5 < found[0],
        "{found:?}"
    );
    assert!(
        not_found[1] * 4 > not_found[0] && not_found[1] * 3 < not_found[0],
        "{not_found:?}"
    );
    let measured = missteps(Split::HeldOut).map(|[_, n_missteps]| n_missteps);
    assert_eq!(measured, [0, 0]);
}
