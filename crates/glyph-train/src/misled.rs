//! Answers that are led astray about where what they are asked about stands.
//!
//! A decoder that finds the right line in nineteen of twenty cases learns from the twentieth alone, and looks nowhere
//! else for it. What it has gathered of the place where an answer begins is therefore exchanged for what it gathered
//! for other questions: the last layers then have to read the place off the characters of the question.

use std::collections::HashSet;

use burn::tensor::{Int, Tensor, TensorData};

use crate::batch::Batch;
use crate::mini;

/// Positions behind the one that asks for `<think>` up to the one that asks for the line's number.
const LABEL: usize = 3;

/// Exchanges the hidden states of where about `share` of the answers begin, up to their labels' line.
///
/// # Shapes
/// x `[rows, seq, d]` → the same.
pub fn mislead(x: Tensor<3>, batch: &Batch, share: f64) -> Tensor<3> {
    let [rows, seq, d] = x.dims();
    let from: Vec<i32> = exchanged(batch, share).map(|from| from as i32).collect();
    let from = Tensor::<1, Int>::from_data(TensorData::new(from, [rows * seq]), &x.device());
    let flat = x.reshape([rows * seq, d]);
    flat.select(0, from).reshape([rows, seq, d])
}

/// For each flat position the one whose hidden state it gets.
fn exchanged(batch: &Batch, share: f64) -> impl Iterator<Item = usize> {
    let begins = chosen(&label_begins(batch), batch, share);
    let mut from: Vec<usize> = (0..batch.n_rows * batch.seq).collect();
    let others = begins.iter().cycle().skip(1);
    for (begin, other) in begins.iter().zip(others) {
        // With the end of the turn before it, which may have gathered the place as well.
        for i in 0..=LABEL + 1 {
            from[begin + i - 1] = other + i - 1;
        }
    }
    from.into_iter()
}

/// The flat positions that ask for `<think>` where a label of one digit each, `2.5 `, comes behind it and is to be
/// learnt.
pub fn label_begins(batch: &Batch) -> Vec<usize> {
    let think = mini::special_id("<think>");
    let id = |at: usize| batch.ids.get(at).copied();
    let is_digit = |at: usize| id(at).is_some_and(|id| (48..58).contains(&id));
    let learnt: HashSet<usize> = batch.targets.iter().map(|target| target.asking).collect();
    let answers = batch.targets.iter().filter(|target| target.is_answer);
    answers
        .filter(|target| Some(target.id) == think)
        .map(|target| target.asking)
        .filter(|at| {
            learnt.contains(&(at + 1))
                && is_digit(at + 2)
                && id(at + 3) == Some(u32::from(b'.'))
                && is_digit(at + 4)
                && id(at + 5) == Some(u32::from(b' '))
        })
        .collect()
}

/// About `share` of the answers, others in every batch, but the same whenever it is asked.
fn chosen(begins: &[usize], batch: &Batch, share: f64) -> Vec<usize> {
    const GOLDEN: f64 = 0.618_034;
    let offset = batch.ids.iter().map(|id| f64::from(*id)).sum::<f64>() * GOLDEN;
    let numbered = begins.iter().enumerate();
    numbered
        .filter(|(i, _)| (offset + *i as f64 * GOLDEN).fract() < share)
        .map(|(_, begin)| *begin)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{exchanged, label_begins};
    use crate::batch::Batch;
    use crate::data::Document;
    use crate::test_batches::lookups;

    fn batch() -> Batch {
        lookups(Document::Settings, 12, 1)
    }

    #[test]
    fn hidden_states_are_exchanged_where_answers_begin_and_nowhere_else() {
        let batch = batch();
        let begins = label_begins(&batch);
        assert!(begins.len() > 5, "{begins:?}");
        let from: Vec<usize> = exchanged(&batch, 1.0).collect();
        for (to, from) in from.iter().enumerate() {
            let begin = begins
                .iter()
                .find(|begin| (**begin - 1..**begin + 4).contains(&to));
            match begin {
                Some(begin) => {
                    let other = from + begin - to;
                    assert!(other != *begin && begins.contains(&other), "{to} {from}");
                }
                None => assert_eq!(to, *from),
            }
        }
    }

    #[test]
    fn as_many_are_exchanged_as_asked() {
        let batch = batch();
        let n_exchanged = |share: f64| {
            let moved = exchanged(&batch, share).enumerate();
            moved.filter(|(to, from)| to != from).count() / 5
        };
        assert_eq!(n_exchanged(0.0), 0);
        let n_begins = label_begins(&batch).len();
        assert!(n_begins > 30, "{n_begins}");
        assert_eq!(n_exchanged(1.0), n_begins);
        for (share, wanted) in [(0.25, n_begins / 4), (0.5, n_begins / 2)] {
            let n = n_exchanged(share);
            assert!(n.abs_diff(wanted) <= 2, "{n} of {n_begins} at {share}");
        }
    }
}
