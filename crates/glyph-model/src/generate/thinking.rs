//! Telling what the model thinks from what it answers.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A piece of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SplitAnswer {
    /// What stood between `<think>` and `</think>`.
    pub reasoning: String,
    /// All else.
    pub content: String,
}

/// Where an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but white space has come: a tag may follow.
    Start,
    /// Between the tags.
    Thinking,
    /// Behind `</think>`, before the answer's first letter.
    Between,
    /// In the answer.
    Answer,
}

/// Splits an answer while it comes. An answer that begins with `<think>` thinks until `</think>`, and one that begins with
/// `</think>` has thought nothing; the tags, and the white space around them, are part of neither. Text that may be the
/// beginning of a tag waits for what follows.
#[derive(Debug)]
pub struct ThinkSplitter {
    place: Place,
    held: String,
}

impl SplitAnswer {
    /// Of a whole answer.
    pub fn of(text: &str) -> Self {
        let mut splitter = ThinkSplitter::new();
        let mut split = splitter.push(text);
        split.push(&splitter.finish());
        split
    }

    /// Puts the next piece behind this one.
    pub fn push(&mut self, piece: &Self) {
        self.reasoning.push_str(&piece.reasoning);
        self.content.push_str(&piece.content);
    }
}

impl Default for ThinkSplitter {
    fn default() -> Self {
        Self::new()
    }
}

impl ThinkSplitter {
    /// For one answer.
    pub fn new() -> Self {
        Self {
            place: Place::Start,
            held: String::new(),
        }
    }

    /// Takes text; returns what can be given out.
    pub fn push(&mut self, text: &str) -> SplitAnswer {
        self.held.push_str(text);
        let mut split = SplitAnswer::default();
        loop {
            match self.place {
                Place::Start => {
                    let rest = self.held.trim_start();
                    if let Some(rest) = rest.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.place = Place::Thinking;
                    } else if let Some(rest) = rest.strip_prefix(CLOSE) {
                        self.held = rest.to_owned();
                        self.place = Place::Between;
                    } else if OPEN.starts_with(rest) || CLOSE.starts_with(rest) {
                        return split;
                    } else {
                        self.place = Place::Answer;
                    }
                }
                Place::Thinking => {
                    if let Some((thought, rest)) = self.held.split_once(CLOSE) {
                        split.reasoning.push_str(thought);
                        self.held = rest.to_owned();
                        self.place = Place::Between;
                        continue;
                    }
                    let ready = self.held.len() - partial_len(&self.held, CLOSE);
                    split.reasoning.extend(self.held.drain(..ready));
                    return split;
                }
                Place::Between => {
                    self.held = self.held.trim_start().to_owned();
                    if self.held.is_empty() {
                        return split;
                    }
                    self.place = Place::Answer;
                }
                Place::Answer => {
                    split.content.push_str(&std::mem::take(&mut self.held));
                    return split;
                }
            }
        }
    }

    /// What was held back when the answer ends.
    pub fn finish(&mut self) -> SplitAnswer {
        let rest = std::mem::take(&mut self.held);
        match self.place {
            Place::Thinking => SplitAnswer {
                reasoning: rest,
                ..SplitAnswer::default()
            },
            _ => SplitAnswer {
                content: rest,
                ..SplitAnswer::default()
            },
        }
    }
}

/// Bytes at the end of `text` that may be the beginning of `tag`.
fn partial_len(text: &str, tag: &str) -> usize {
    (1..tag.len())
        .rev()
        .find(|len| text.ends_with(&tag[..*len]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{SplitAnswer, ThinkSplitter};

    fn split(pieces: &[&str]) -> (SplitAnswer, Vec<SplitAnswer>) {
        let mut splitter = ThinkSplitter::new();
        let mut given: Vec<SplitAnswer> = pieces.iter().map(|piece| splitter.push(piece)).collect();
        given.push(splitter.finish());
        let whole = given
            .iter()
            .fold(SplitAnswer::default(), |mut whole, piece| {
                whole.push(piece);
                whole
            });
        (whole, given)
    }

    fn parts(reasoning: &str, content: &str) -> SplitAnswer {
        SplitAnswer {
            reasoning: reasoning.to_owned(),
            content: content.to_owned(),
        }
    }

    #[test]
    fn a_text_splits_alike_however_it_is_cut() {
        for (text, expected) in [
            ("plain", parts("", "plain")),
            ("  plain", parts("", "  plain")),
            ("<think>a < b</think>\n\nyes", parts("a < b", "yes")),
            (
                "\n<think>a</thin b</think>c<think>",
                parts("a</thin b", "c<think>"),
            ),
            ("<think>never ends </thi", parts("never ends </thi", "")),
            ("<thinking>x", parts("", "<thinking>x")),
            ("<th", parts("", "<th")),
            ("</th", parts("", "</th")),
            (" </think>\nyes", parts("", "yes")),
            ("say <think>x</think>", parts("", "say <think>x</think>")),
            ("<think>想</think>答", parts("想", "答")),
            ("", parts("", "")),
        ] {
            let by_char: Vec<String> = text.chars().map(String::from).collect();
            let by_char: Vec<&str> = by_char.iter().map(String::as_str).collect();
            assert_eq!(split(&[text]).0, expected, "{text:?} whole");
            assert_eq!(split(&by_char).0, expected, "{text:?} by character");
        }
    }

    #[test]
    fn no_part_of_a_tag_is_given_out() {
        let (_, given) = split(&["<thi", "nk>ab</", "th", "ink>c"]);
        assert_eq!(
            given,
            [
                parts("", ""),
                parts("ab", ""),
                parts("", ""),
                parts("", "c"),
                parts("", "")
            ]
        );
    }
}
