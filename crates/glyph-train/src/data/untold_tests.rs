use std::collections::HashSet;

use super::super::lookup::{Document, LookupPage, generate};
use super::*;
use crate::data::{PageGrid, Split};

fn pages(split: Split, document: Document) -> Vec<LookupPage> {
    let grid = PageGrid::new(40, 8);
    let pages = (0..200).filter_map(|index| {
        let mut draw = Draw::new(14, split, index);
        generate(&mut draw, document, false, grid, 2)
    });
    pages.collect()
}

/// The share of what is not told, of all pages, of which something holds.
fn share(pages: &[LookupPage], holds: impl Fn(&LookupPage, &Fact) -> bool) -> f64 {
    let (mut n, mut n_untold) = (0, 0);
    for page in pages {
        n_untold += page.not_told.len();
        n += page
            .not_told
            .iter()
            .filter(|fact| holds(page, fact))
            .count();
    }
    n as f64 / n_untold as f64
}

#[test]
fn what_is_not_told_is_not_told() {
    for split in [Split::Train, Split::HeldOut] {
        for document in [
            Document::Form,
            Document::Settings,
            Document::Contacts,
            Document::Sentences,
            Document::Columns,
        ] {
            let pages = pages(split, document);
            let is_told = |page: &LookupPage, fact: &Fact| {
                page.told.iter().any(|told| told.subject == fact.subject)
            };
            assert_eq!(share(&pages, is_told), 0.0, "{document:?}");
        }
    }
}

#[test]
fn it_is_now_and_then_about_what_the_document_tells_something_else_about() {
    let is_key_told = |page: &LookupPage, fact: &Fact| {
        let unwrapped = page.text.replace('\n', " ");
        unwrapped.contains(&fact.key)
    };
    for document in [Document::Contacts, Document::Sentences] {
        let near = share(&pages(Split::Train, document), is_key_told);
        assert!((0.2..0.8).contains(&near), "{near} of {document:?}");
        assert_eq!(share(&pages(Split::HeldOut, document), is_key_told), 0.0);
    }
}

#[test]
fn keys_are_mixed_of_two_that_the_document_has() {
    let is_mixed = |page: &LookupPage, fact: &Fact| {
        let told: HashSet<&str> = page
            .told
            .iter()
            .flat_map(|told| told.key.split(' '))
            .collect();
        let is_new = page.told.iter().all(|told| told.key != fact.key);
        is_new && fact.key.split(' ').all(|word| told.contains(word))
    };
    for document in [Document::Form, Document::Contacts, Document::Sentences] {
        let train = share(&pages(Split::Train, document), is_mixed);
        let held_out = share(&pages(Split::HeldOut, document), is_mixed);
        assert!(
            train > 0.2 && train > held_out + 0.1,
            "{train} against {held_out} of {document:?}"
        );
    }
}

#[test]
fn settings_that_are_not_there_are_often_one_word_of_two() {
    let is_one_of_two = |page: &LookupPage, fact: &Fact| {
        let is_part = |told: &Fact| {
            let told = told.key.to_ascii_lowercase();
            told.starts_with(&fact.key.to_ascii_lowercase())
                || told.ends_with(&fact.key.to_ascii_lowercase())
        };
        page.told.iter().any(is_part)
    };
    let train = share(&pages(Split::Train, Document::Settings), is_one_of_two);
    assert!((0.3..0.7).contains(&train), "{train}");
}
