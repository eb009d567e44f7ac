//! Questions written by hand: what the generators ask is worded as what they teach, and says nothing of other words.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::data::{Document, NOT_THERE, Sample, Task};

/// A page and what is asked about it.
#[derive(Deserialize)]
struct Page {
    kind: Document,
    lines: Vec<String>,
    /// Questions with their answers.
    asked: Vec<(String, String)>,
}

impl Page {
    fn sample(&self, (question, answer): &(String, String)) -> Sample {
        Sample {
            task: match answer.as_str() {
                NOT_THERE => Task::LookupAbsent(self.kind),
                _ => Task::Lookup(self.kind),
            },
            text: self.lines.join("\n"),
            question: question.clone(),
            thought: None,
            answer: answer.clone(),
            given: Vec::new(),
            more_turns: Vec::new(),
        }
    }
}

/// The first question about each page, then the second about each, and so on; `n` of them at most.
///
/// # Errors
/// Pages that cannot be read.
pub(crate) fn samples(n: usize) -> Result<Vec<Sample>> {
    let pages: Vec<Page> =
        serde_json::from_str(include_str!("written.json")).context("written.json")?;
    let longest = pages.iter().map(|page| page.asked.len()).max();
    let rounds = 0..longest.unwrap_or_default();
    let samples = rounds.flat_map(|round| {
        let asked = |page: &Page| page.asked.get(round).map(|asked| page.sample(asked));
        pages.iter().filter_map(asked).collect::<Vec<_>>()
    });
    Ok(samples.take(n).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::samples;
    use crate::data::{NOT_THERE, Task};

    #[test]
    fn what_is_expected_stands_on_the_page_and_the_page_is_one() {
        let samples = samples(usize::MAX).unwrap();
        assert!(samples.len() >= 60, "{}", samples.len());
        for sample in &samples {
            let is_absent = matches!(sample.task, Task::LookupAbsent(_));
            assert_eq!(is_absent, sample.answer == NOT_THERE);
            let text = sample.text.replace('\n', " ");
            let stands_alone = text.match_indices(&sample.answer).any(|(at, answer)| {
                let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
                is_end(text[..at].chars().next_back())
                    && is_end(text[at + answer.len()..].chars().next())
            });
            assert!(is_absent || stands_alone, "{sample:?}");
            let lines: Vec<&str> = sample.text.lines().collect();
            assert!(lines.len() <= 8 && lines.iter().all(|line| line.len() <= 40));
            assert!(sample.text.is_ascii() && sample.question.is_ascii());
        }
        assert!(samples.iter().filter(|s| s.answer == NOT_THERE).count() >= 8);
    }

    #[test]
    fn the_first_are_of_different_pages() {
        let samples = samples(5).unwrap();
        assert_eq!(samples.len(), 5);
        let texts: BTreeSet<String> = samples.into_iter().map(|sample| sample.text).collect();
        assert_eq!(texts.len(), 5);
    }
}
