//! What holds for the samples of every task.

use super::*;
use std::collections::{HashMap, HashSet};

const GRIDS: [PageGrid; 4] = [
    PageGrid {
        columns: 24,
        lines: 4,
    },
    PageGrid {
        columns: 32,
        lines: 6,
    },
    PageGrid {
        columns: 40,
        lines: 8,
    },
    PageGrid {
        columns: 40,
        lines: 16,
    },
];

const FAMILIES: [Family; 4] = [
    Family::Read,
    Family::Needle,
    Family::Lookup,
    Family::NotThere,
];

fn every_task() -> Vec<Task> {
    FAMILIES.into_iter().flat_map(Family::tasks).collect()
}

fn asks_for_several(task: Task) -> bool {
    matches!(task, Task::Needle(spec) if spec.values > 1)
}

/// What two samples differ in: the noise alone may be equal, and the wording of requests to read.
fn differing(sample: &Sample) -> (&str, &str) {
    (&sample.text, &sample.question)
}

#[test]
fn equal_seeds_give_equal_samples() {
    let generator = Generator::new(5, Split::Train);
    let mut in_turn = Generator::new(5, Split::Train);
    let grid = GRIDS[2];
    for (index, task) in every_task().into_iter().enumerate() {
        let sample = generator.sample_at(index as u64, task, grid, 2).unwrap();
        assert_eq!(sample, in_turn.sample(task, grid, 2).unwrap());
        let other_seed = Generator::new(6, Split::Train).sample_at(index as u64, task, grid, 2);
        assert_ne!(differing(&sample), differing(&other_seed.unwrap()));
        let other_index = generator
            .sample_at(1000 + index as u64, task, grid, 2)
            .unwrap();
        assert_ne!(differing(&sample), differing(&other_index));
    }
}

#[test]
fn text_fits_its_pages_and_is_tidy() {
    for split in [Split::Train, Split::HeldOut] {
        let mut generator = Generator::new(1, split);
        for grid in GRIDS {
            for n_pages in [1, 2, 8] {
                for task in every_task() {
                    if asks_for_several(task) && grid.columns < 40 && n_pages == 1 {
                        continue;
                    }
                    for _ in 0..12 {
                        let sample = generator.sample(task, grid, n_pages).unwrap();
                        check_tidy(&sample, grid, n_pages);
                    }
                }
            }
        }
    }
}

fn check_tidy(sample: &Sample, grid: PageGrid, n_pages: usize) {
    let Sample {
        text,
        question,
        answer,
        ..
    } = sample;
    assert!(sample.pages(grid).len() <= n_pages, "{text}");
    for line in text.split('\n') {
        assert!(!line.is_empty() && line.len() <= grid.columns, "{line:?}");
        assert_eq!(line.trim(), line);
        assert!(!line.contains("  "), "{line:?}");
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line:?}"
        );
    }
    for short in [question, answer] {
        assert!(!short.is_empty() && short.trim() == short);
        assert!(
            short
                .bytes()
                .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
        );
    }
    // What the renderer would wrap again must come out the same.
    assert_eq!(&wrap::wrap(text.lines(), grid.columns).into_text(), text);
}

#[test]
fn pages_are_used_and_mostly_filled() {
    for task in every_task() {
        let generator = Generator::new(2, Split::Train);
        let grid = GRIDS[2];
        let (mut last_page_reached, mut lines) = (0, 0);
        for index in 0..40 {
            let sample = generator.sample_at(index, task, grid, 4).unwrap();
            last_page_reached += usize::from(sample.pages(grid).len() == 4);
            lines += sample.text.lines().count();
        }
        assert!(last_page_reached >= 38, "{task:?}: {last_page_reached}");
        assert!(lines > 40 * 28, "{task:?}: {lines}");
    }
}

#[test]
fn answers_are_on_the_pages_unless_they_are_not_there() {
    let mut generator = Generator::new(3, Split::HeldOut);
    for task in every_task() {
        for _ in 0..40 {
            let sample = generator.sample(task, GRIDS[3], 2).unwrap();
            let text = sample.text.replace('\n', " ");
            let found = sample
                .answer
                .split(", ")
                .all(|part| text.contains(&part.replace('\n', " ")));
            assert_eq!(found, task.family() != Family::NotThere, "{sample:?}");
            assert_eq!(
                sample.answer == NOT_THERE,
                task.family() == Family::NotThere
            );
        }
    }
}

#[test]
fn spaced_pages_hold_the_same_tasks() {
    let grid = GRIDS[2];
    let mut generator = Generator::new(3, Split::Train).with_spacing(100);
    let mut n_spaced = 0;
    for task in every_task() {
        for n_pages in [1, 1, 1, 3, 8] {
            let Sample {
                text,
                question,
                answer,
                ..
            } = &generator.sample(task, grid, n_pages).unwrap();
            assert!(text.lines().count() <= grid.lines_on(n_pages), "{text}");
            assert!(text.lines().all(|line| line.len() <= grid.columns));
            assert!(!question.contains("  "), "{question}");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_there = answer
                .split(", ")
                .all(|part| words(text).contains(&words(part)));
            assert_eq!(
                is_there,
                task.family() != Family::NotThere,
                "{text}\n{answer}"
            );
            n_spaced += usize::from(text.contains("  ") || text.contains("\n\n"));
        }
    }
    assert!(n_spaced > 60, "{n_spaced}");
}

#[test]
fn running_text_says_the_same_as_lines() {
    let grid = GRIDS[2];
    for split in [Split::Train, Split::HeldOut] {
        let lines = Generator::new(3, split);
        let flowing = lines.clone().with_flow(100);
        let (mut n_flowing, mut n_one_paragraph, mut n_turned) = (0, 0, 0);
        for task in every_task() {
            for index in 0..20 {
                let of_lines = lines.sample_at(index, task, grid, 4).unwrap();
                let flowing = flowing.sample_at(index, task, grid, 4).unwrap();
                let words = |text: &str| text.replace('\n', " ");
                let (said, of_lines_said) = (words(&flowing.text), words(&of_lines.text));
                assert_eq!(said.len(), of_lines_said.len());
                // A paragraph to learn from may begin at another of its sentences.
                let is_turned = said != of_lines_said;
                if is_turned {
                    assert!(!flowing.text.contains('\n'), "{said}");
                    assert!(
                        format!("{of_lines_said} {of_lines_said}").contains(&said),
                        "{said}"
                    );
                }
                n_turned += usize::from(is_turned);
                let is_flowing = flowing.text.lines().any(|line| line.len() > grid.columns);
                n_flowing += usize::from(is_flowing);
                n_one_paragraph += usize::from(is_flowing && !flowing.text.contains('\n'));
                assert_eq!(
                    Sample {
                        text: of_lines.text.clone(),
                        ..flowing
                    },
                    of_lines
                );
            }
        }
        assert!(
            n_flowing > 300 && n_one_paragraph > 150,
            "{n_flowing} {n_one_paragraph}"
        );
        match split {
            Split::Train => assert!(n_turned > 50, "{n_turned}"),
            Split::HeldOut => assert_eq!(n_turned, 0),
        }
    }
}

#[test]
fn needle_answers_and_keys_of_the_splits_are_disjoint() {
    let seen = |split| -> (HashSet<String>, HashSet<String>) {
        let mut generator = Generator::new(4, split);
        let mut answers = HashSet::new();
        let mut questions = HashSet::new();
        for task in Family::Needle.tasks() {
            for _ in 0..150 {
                let sample = generator.sample(task, GRIDS[3], 1).unwrap();
                answers.extend(sample.answer.split(", ").map(str::to_owned));
                questions.insert(sample.question);
            }
        }
        (answers, questions)
    };
    let (train, held_out) = (seen(Split::Train), seen(Split::HeldOut));
    assert!(train.0.is_disjoint(&held_out.0) && train.1.is_disjoint(&held_out.1));
    let is_ours = |answer: &String| match answer.split_once('-') {
        Some((adjective, noun)) => split::is_reserved_compound(&[adjective, noun]),
        None => split::is_reserved(answer),
    };
    assert!(train.0.iter().all(|answer| !is_ours(answer)));
    assert!(held_out.0.iter().all(is_ours));
}

#[test]
fn sentences_of_the_splits_are_disjoint() {
    let seen = |split| -> HashSet<String> {
        let mut draw = Draw::new(1, split, 0);
        (0..4000)
            .flat_map(|_| {
                [
                    prose::sentence(&mut draw),
                    prose::salad(&mut draw),
                    code::line(&mut draw),
                ]
            })
            .filter(|line| line.len() >= 8)
            .collect()
    };
    assert!(seen(Split::Train).is_disjoint(&seen(Split::HeldOut)));
}

#[test]
fn training_never_shows_a_reserved_word() {
    let mut draw = Draw::new(1, Split::Train, 0);
    let mut held_out = Draw::new(1, Split::HeldOut, 0);
    let mut reserved = 0;
    for _ in 0..5000 {
        assert!(!split::is_reserved(draw.word(&words::DICTIONARY)));
        reserved += usize::from(split::is_reserved(held_out.word(&words::DICTIONARY)));
    }
    assert!((2000..3000).contains(&reserved), "{reserved}");
}

#[test]
fn all_printable_characters_are_read() {
    for split in [Split::Train, Split::HeldOut] {
        let mut generator = Generator::new(1, split);
        let mut counts: HashMap<char, usize> = HashMap::new();
        for _ in 0..300 {
            for task in Family::Read.tasks() {
                let sample = generator.sample(task, GRIDS[2], 1).unwrap();
                sample
                    .answer
                    .chars()
                    .for_each(|letter| *counts.entry(letter).or_default() += 1);
            }
        }
        counts.remove(&'\n');
        assert_eq!(counts.len(), 95);
        assert!(counts.values().all(|&count| count > 100), "{counts:?}");
    }
}

#[test]
fn a_tiny_page_can_be_read_but_holds_no_needle() {
    let mut generator = Generator::new(1, Split::Train);
    let grid = PageGrid::new(16, 2);
    let task = Task::Needle(NeedleSpec::single(NeedleKind::Words, Haystack::Noise));
    let refused = generator.sample(task, grid, 1);
    assert_eq!(
        refused,
        Err(PageTooSmall {
            task,
            grid,
            n_pages: 1
        })
    );
    assert!(
        generator
            .sample(Task::Read(Reading::Random), grid, 1)
            .is_ok()
    );
}
