//! What counts how much where places are learnt.

use crate::batch::Batch;
use crate::mini;
use crate::misled::label_begins;

/// What counts beside the answers where places are learnt.
#[derive(Debug, Clone, Copy)]
pub struct Emphasis {
    /// How much the place that a question is about counts.
    pub place_share: f64,
    /// Share of the answers that are misled about the place.
    pub misled_share: f64,
}

/// What decides: the first character of a thought and of an answer, by which it is said whether the pages tell it, and
/// the label's line.
const DECISION: f32 = 3.0;
/// The end of a line or of a thought: whether another line is cited.
const LINE_END: f32 = 4.0;
/// A character of a question: what it will ask cannot be known for certain.
const QUESTION: f32 = 0.1;

/// How much each flat position's next token counts.
pub fn weights(batch: &Batch) -> Vec<f32> {
    let mut weights = vec![1.0; batch.n_rows * batch.seq];
    let [think, end_of_thought] = ["<think>", "</think>"].map(mini::special_id);
    let is_tag = |id: u32| [think, end_of_thought].contains(&Some(id));
    let ends_line = |id: u32| Some(id) == end_of_thought || id == u32::from(b'\n');
    for target in &batch.targets {
        weights[target.asking] = if !target.is_answer {
            QUESTION
        } else if batch.ids.get(target.asking).is_some_and(|id| is_tag(*id)) {
            DECISION
        } else if ends_line(target.id) {
            LINE_END
        } else {
            1.0
        };
    }
    for begin in label_begins(batch) {
        weights[begin + 3] = DECISION;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::{DECISION, LINE_END, QUESTION, weights};
    use crate::data::Document;
    use crate::mini;
    use crate::test_batches::lookups;

    #[test]
    fn what_decides_counts_more_than_other_characters_and_questions_less() {
        let batch = lookups(Document::Sentences, 4, 1);
        let weights = weights(&batch);
        let of_next = |id: u32| {
            let asked = batch.targets.iter().find(|target| target.id == id);
            asked.map(|target| weights[target.asking])
        };
        let id_of = |token| mini::special_id(token).unwrap();
        let think = batch.ids.iter().position(|id| *id == id_of("<think>"));
        let think = think.unwrap();
        let label = [0, 1, 2, 3].map(|i| weights[think + i]);
        assert_eq!(label, [DECISION, 1.0, DECISION, 1.0], "1.5 and a space");
        let end_of_thought = batch.ids.iter().position(|id| *id == id_of("</think>"));
        assert_eq!(weights[end_of_thought.unwrap()], DECISION, "told or not");
        assert_eq!(of_next(id_of("</think>")), Some(LINE_END));
        assert_eq!(of_next(u32::from(b'\n')), Some(LINE_END));
        let asked = batch.targets.iter().filter(|target| !target.is_answer);
        assert!(asked.clone().count() > 0);
        assert!(
            asked
                .into_iter()
                .all(|target| weights[target.asking] == QUESTION)
        );
    }
}
