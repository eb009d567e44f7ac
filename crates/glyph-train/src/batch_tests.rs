use super::{BatchMaker, CELLS_PER_TOKEN, PageShape};
use glyph_model::prompt::{Message, Part, Role};

use crate::cite::Citation;
use crate::data::{Document, Family, Generator, PageGrid, Reading, Split, Task, Thought};
use crate::locate::{Cell, ShownText};
use crate::mini;

/// Pages of the published style.
const SHAPE: PageShape = PageShape {
    columns: 40,
    lines: 8,
    line_px: 28,
};

/// Cells read back from a batch of one row, line by line.
fn cell_text(line_px: usize, task: Task, n_pages: usize) -> (String, String) {
    let shape = PageShape { line_px, ..SHAPE };
    let mut generator = Generator::new(3, Split::Train);
    let sample = generator
        .sample(task, PageGrid::new(40, 8), n_pages)
        .unwrap();
    let mut maker = BatchMaker::new(shape).unwrap();
    let batch = maker.batch(std::slice::from_ref(&sample)).unwrap();
    assert_eq!(
        batch.cells.len(),
        batch.n_images * batch.grid.n_tokens(2) * CELLS_PER_TOKEN
    );
    let slots = 28 / line_px;
    let mut lines = Vec::new();
    for row in batch.cells.chunks(10 * CELLS_PER_TOKEN) {
        for slot in 0..slots {
            let cells = row
                .chunks(CELLS_PER_TOKEN)
                .flat_map(|token| &token[slot * 4..slot * 4 + 4]);
            let line: String = cells
                .filter_map(|class| char::from_u32(class + 32))
                .collect();
            lines.push(line.trim_end().to_owned());
        }
    }
    lines.retain(|line| !line.is_empty());
    (lines.join("\n"), sample.text)
}

#[test]
fn cells_hold_the_text_under_their_tokens() {
    for line_px in [14, 28] {
        for (task, n_pages) in [
            (Task::Read(Reading::Random), 1),
            (Task::Lookup(Document::Form), 3),
        ] {
            let (cells, text) = cell_text(line_px, task, n_pages);
            assert_eq!(cells, text, "{task:?} at {line_px} px");
        }
    }
}

#[test]
fn white_space_of_a_page_is_learnt_cell_by_cell() {
    let mut generator = Generator::new(5, Split::Train).with_spacing(100);
    let mut maker = BatchMaker::new(SHAPE).unwrap();
    let mut n_spaces = 0;
    for reading in [Reading::Prose, Reading::Code, Reading::Random].repeat(4) {
        let task = Task::Read(reading);
        let sample = generator.sample(task, PageGrid::new(40, 8), 1).unwrap();
        let batch = maker.batch(std::slice::from_ref(&sample)).unwrap();
        assert_eq!(batch.n_images, 1, "{sample:?}");
        // One token is one character: the answer and its end.
        let learnt = batch.targets.iter().filter(|target| target.is_answer);
        let learnt: Vec<usize> = learnt.map(|target| target.asking).collect();
        assert_eq!(learnt.len(), sample.answer.len() + 1, "{sample:?}");
        let pointers = batch.pointers.iter();
        let n_shown = pointers.filter(|pointed| learnt.contains(&pointed.asking));
        let letters = sample.answer.chars().filter(|letter| *letter != '\n');
        assert_eq!(n_shown.count(), letters.count(), "{sample:?}");
        n_spaces += sample.answer.matches("  ").count();
    }
    assert!(n_spaces > 20, "{n_spaces}");
}

#[test]
fn running_text_is_wrapped_as_its_lines_were_and_fills_its_pages() {
    let lines = Generator::new(6, Split::HeldOut);
    let maker = BatchMaker::new(SHAPE).unwrap();
    let (mut n_flowing, mut n_empty) = (0, 0);
    for task in [Task::Lookup(Document::Form), Task::Excerpts(Reading::Prose)] {
        for index in 0..10 {
            let sample = |generator: &Generator| {
                let grid = PageGrid::new(40, 8);
                let text = generator.sample_at(index, task, grid, 4).unwrap().text;
                let pages = maker.renderer.pages(&text);
                let lines = pages.flat_map(|page| page.lines).map(|line| line.text);
                let lines: Vec<String> = lines.collect();
                (text, lines)
            };
            let (text, shown_lines) = sample(&lines);
            let (running_text, shown) = sample(&lines.clone().with_flow(100));
            let has_text = |line: &&String| !line.is_empty();
            let with_text = |shown: &[String]| -> Vec<String> {
                shown.iter().filter(has_text).cloned().collect()
            };
            assert_eq!(with_text(&shown), with_text(&shown_lines));
            n_flowing += usize::from(text != running_text);
            n_empty += shown_lines.iter().filter(|line| line.is_empty()).count();
            n_empty -= shown.iter().filter(|line| line.is_empty()).count();
        }
    }
    assert!(n_flowing > 10 && n_empty > 10, "{n_flowing} {n_empty}");
}

#[test]
fn further_turns_are_what_the_template_makes_of_them() {
    let mut generator = Generator::new(4, Split::Train).with_more_turns(3);
    let mut maker = BatchMaker::new(SHAPE).unwrap();
    let (mut most, mut n_missteps) = (0, 0);
    for _ in 0..20 {
        let sample = generator
            .sample(Task::Lookup(Document::Form), PageGrid::new(40, 8), 1)
            .unwrap();
        let batch = maker.batch(std::slice::from_ref(&sample)).unwrap();
        let turn = |role, text: &str| Message {
            role,
            content: vec![Part::Text {
                text: text.to_owned(),
            }],
        };
        let mut shown = ShownText::default();
        for (line, text) in sample.text.lines().enumerate() {
            shown.push_line(0, line, text, |column| Cell {
                token: 0,
                cell: column,
            });
        }
        let cited = |thought: &Option<Thought>| {
            let thought = thought.as_ref().unwrap();
            let right = Citation::of(&shown, thought);
            let right = right.unwrap_or_else(|| Citation::uncited(thought));
            let misstep = Citation::of_misstep(&shown, thought);
            let misstep =
                misstep.filter(|misstep| !misstep.text.lines().any(|line| right.cites(line)));
            let n_given = misstep.as_ref().map_or(0, |misstep| misstep.text.len());
            let whole = match misstep {
                Some(misstep) => right.behind(misstep),
                None => right,
            };
            (whole.text, n_given)
        };
        let (thought, n_given) = cited(&sample.thought);
        n_missteps += usize::from(n_given > 0);
        let mut messages = vec![
            Message::pages_and_question(1, &sample.question),
            turn(
                Role::Assistant,
                &mini::full_answer(Some(&thought), &sample.answer),
            ),
        ];
        let full_len = |thought: &str, answer: &str| thought.len() + answer.len() + 3;
        let mut n_answers = full_len(&thought, &sample.answer) - n_given;
        for more in &sample.more_turns {
            messages.push(turn(Role::User, &more.question));
            let (thought, n_given) = cited(&more.thought);
            n_missteps += usize::from(n_given > 0);
            let said = mini::full_answer(Some(&thought), &more.answer);
            messages.push(turn(Role::Assistant, &said));
            n_answers += full_len(&thought, &more.answer) - n_given;
        }
        most = most.max(sample.more_turns.len());
        // The template asks for one more answer behind the last.
        let expected = maker.encoder.encode(&messages, &[batch.grid]).unwrap().ids;
        let n = batch
            .is_filled
            .iter()
            .filter(|is_filled| **is_filled)
            .count();
        assert_eq!(batch.ids[..n], expected[..n]);
        let answers = batch.targets.iter().filter(|target| target.is_answer);
        assert_eq!(answers.count(), n_answers);
        for target in &batch.targets {
            let follows = batch.ids.get(target.asking + 1);
            let is_end = target.id == maker.end_of_answer;
            assert!(is_end || follows == Some(&target.id));
        }
    }
    assert_eq!(most, 3);
    assert!(n_missteps > 5, "{n_missteps}");
}

#[test]
fn pointers_name_the_cell_that_shows_what_is_predicted() {
    for (line_px, task, n_pages) in [
        (14, Task::Read(Reading::Random), 1),
        (28, Task::Read(Reading::Code), 1),
        (14, Task::Excerpts(Reading::Random), 2),
        (14, Task::Lookup(Document::Form), 2),
        (28, Task::Echo, 1),
    ] {
        let shape = PageShape { line_px, ..SHAPE };
        let mut generator = Generator::new(4, Split::Train);
        let samples: Vec<_> = (0..4)
            .map(|_| {
                generator
                    .sample(task, PageGrid::new(40, 8), n_pages)
                    .unwrap()
            })
            .collect();
        let batch = BatchMaker::new(shape).unwrap().batch(&samples).unwrap();
        assert!(batch.pointers.len() > 8, "{task:?}");
        let (mut n_copied, mut n_labels, mut n_shown) = (0, 0, 0);
        for pointed in &batch.pointers {
            let place = pointed.asking / batch.seq * batch.seq + pointed.token;
            let target = batch
                .targets
                .iter()
                .find(|target| target.asking == pointed.asking)
                .unwrap();
            assert!(batch.is_filled[place]);
            let Some(cell) = pointed.cell else {
                n_copied += 1;
                let same = |id: u32| u8::try_from(id).unwrap().to_ascii_lowercase();
                assert_eq!(same(batch.ids[place]), same(target.id), "{task:?}");
                continue;
            };
            let feature = batch.feature_index[place].unwrap();
            let shown = batch.cells[feature * CELLS_PER_TOKEN + cell];
            n_shown += 1;
            if shown + 32 != target.id {
                // A label names the place of something else.
                let byte = u8::try_from(target.id).unwrap();
                assert!(b"0123456789. ".contains(&byte), "{task:?}: {byte}");
                n_labels += 1;
            }
        }
        let is_copied = matches!(task.family(), Family::Lookup | Family::Echo);
        assert_eq!(n_copied > 0, is_copied, "{task:?}");
        if task.family() == Family::Lookup {
            assert!(
                n_labels > 0 && n_labels * 6 < n_shown,
                "{n_labels} of {n_shown}"
            );
        } else {
            assert_eq!(n_labels, 0, "{task:?}");
        }
    }
}
