use super::*;
use crate::data::Split;

const GRID: PageGrid = PageGrid {
    columns: 40,
    lines: 8,
};

#[test]
fn wording_is_the_official_one() {
    let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Noise);
    assert_eq!(
        question(spec, "big-cat"),
        "A special magic number is hidden within the following text. Make sure to memorize \
         it. I will quiz you about the number afterwards.\nWhat is the special magic number \
         for big-cat mentioned in the provided text?"
    );
    assert_eq!(
        question(spec.with_values(2), "big-cat"),
        "Some special magic numbers are hidden within the following text. Make sure to \
         memorize it. I will quiz you about the numbers afterwards.\nWhat are all the special \
         magic numbers for big-cat mentioned in the provided text?"
    );
    assert_eq!(
        needle(NeedleKind::Words, "big-cat", "red-hat"),
        "One of the special magic words for big-cat is: red-hat."
    );
    assert_eq!(
        answer_prefix(spec, "big-cat"),
        " The special magic number for big-cat mentioned in the provided text is"
    );
}

#[test]
fn values_stand_behind_their_key_in_page_order() {
    let mut draw = Draw::new(9, Split::Train, 0);
    for kind in [NeedleKind::Numbers, NeedleKind::Words] {
        let spec = NeedleSpec::single(kind, Haystack::Prose).with_values(2);
        let page = generate(&mut draw, spec, false, GRID, 2).unwrap();
        let text = page.text.replace('\n', " ");
        let places: Vec<_> = page
            .values
            .iter()
            .map(|value| text.find(&needle(kind, &page.key, value)).unwrap())
            .collect();
        assert_eq!(places.len(), 2);
        assert!(places[0] < places[1]);
    }
}

#[test]
fn an_absent_key_is_nowhere() {
    let mut draw = Draw::new(9, Split::HeldOut, 0);
    for haystack in [Haystack::Noise, Haystack::Prose, Haystack::Needles] {
        let spec = NeedleSpec::single(NeedleKind::Numbers, haystack).with_distractors(2);
        for _ in 0..100 {
            let page = generate(&mut draw, spec, true, GRID, 2).unwrap();
            assert!(page.values.is_empty());
            assert!(!page.text.contains(&page.key));
            assert!(page.text.contains("magic"));
        }
    }
}

#[test]
fn the_longest_needle_fits_the_promised_pages() {
    let longest = |list: &[&'static str]| {
        list.iter()
            .max_by_key(|word| word.len())
            .copied()
            .unwrap_or_default()
    };
    let long = joined((longest(&ADJECTIVES), longest(&NOUNS)));
    let text = needle(NeedleKind::Words, &long, &long);
    assert!(crate::data::wrap::wrap([text.as_str()], 24).line_count() <= 4);
    assert!(crate::data::wrap::wrap([text.as_str(), text.as_str()], 40).line_count() <= 6);
}

#[test]
fn needles_lie_on_every_page() {
    let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Noise);
    let mut seen = [0; 8];
    for index in 0..800 {
        let mut draw = Draw::new(9, Split::Train, index);
        let page = generate(&mut draw, spec, false, GRID, 8).unwrap();
        let line = page
            .text
            .lines()
            .position(|line| line.contains("magic"))
            .unwrap();
        seen[line / GRID.lines] += 1;
    }
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
}

#[test]
fn a_page_too_small_for_a_needle_gives_none() {
    let mut draw = Draw::new(9, Split::Train, 0);
    let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Noise);
    assert!(generate(&mut draw, spec, false, PageGrid::new(16, 2), 1).is_none());
}

#[test]
fn an_absent_key_to_learn_from_is_often_mixed_of_two_that_are_there() {
    let spec = NeedleSpec::single(NeedleKind::Words, Haystack::Prose);
    let n_mixed = |split| {
        let is_mixed = |index: &u64| {
            let mut draw = Draw::new(10, split, *index);
            let page = generate(&mut draw, spec.with_distractors(3), true, GRID, 2).unwrap();
            let has = |of: fn(Pair) -> &'static str| {
                page.others
                    .iter()
                    .any(|(other, _)| of(*other) == of(page.asked))
            };
            has(|pair| pair.0) && has(|pair| pair.1)
        };
        (0..300).filter(is_mixed).count()
    };
    let (train, held_out) = (n_mixed(Split::Train), n_mixed(Split::HeldOut));
    assert!(train > held_out + 60, "{train} against {held_out}");
}

#[test]
fn further_absent_keys_are_mixed_of_two_that_are_there_and_are_nowhere() {
    let spec = NeedleSpec::single(NeedleKind::Numbers, Haystack::Needles);
    let (mut n_mixed, mut n) = (0, 0);
    for index in 0..300 {
        let mut draw = Draw::new(11, Split::Train, index);
        let page = generate(&mut draw, spec, false, GRID, 2).unwrap();
        let keys: Vec<Pair> = page.others.iter().map(|(key, _)| *key).collect();
        let text = page.text.replace('\n', " ");
        let page = page.questioned(&mut draw, spec, 6);
        for turn in &page.more_turns {
            let key = &turn.thought.as_ref().unwrap().key;
            // Not every needle that was made has found room.
            let is_told = text.contains(&format!(" {key} is: "));
            assert_eq!(turn.answer == crate::data::NOT_THERE, !is_told, "{key}");
            let (first, second) = key.split_once('-').unwrap();
            n += usize::from(!is_told);
            n_mixed += usize::from(
                !is_told
                    && keys.iter().any(|told| told.0 == first)
                    && keys.iter().any(|told| told.1 == second),
            );
        }
    }
    assert!(n > 100 && n_mixed * 2 > n, "{n_mixed} of {n}");
}
