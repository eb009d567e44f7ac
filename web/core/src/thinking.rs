//! An answer's thinking apart from the answer.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Thinking and answer of a text that may still grow. Thinking stands between `<think>` and
/// `</think>` at the start of the text.
pub fn split_thinking(text: &str) -> (&str, &str) {
    let Some(rest) = text.trim_start().strip_prefix(OPEN) else {
        return ("", text);
    };
    match rest.split_once(CLOSE) {
        Some((thinking, answer)) => (thinking.trim(), answer.trim_start()),
        None => (rest.trim(), ""),
    }
}

/// The answer to one prompt as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromptAnswer {
    /// As it came, with the thinking that is in it.
    pub raw: String,
    /// What the server told apart as thinking.
    pub reasoning: String,
}

impl PromptAnswer {
    /// Whether there is any thinking.
    pub fn has_thinking(&self) -> bool {
        !self.reasoning.is_empty() || !split_thinking(&self.raw).0.is_empty()
    }

    /// All of the thinking.
    pub fn thinking(&self) -> String {
        format!("{}{}", self.reasoning, split_thinking(&self.raw).0)
    }

    /// The answer alone.
    pub fn answer(&self) -> &str {
        split_thinking(&self.raw).1
    }
}

/// Thinking and answer of several prompts. The thinking of each begins a line; the answers stand as they came.
pub fn joined(prompts: &[PromptAnswer]) -> (String, String) {
    let thinking = prompts.iter().map(PromptAnswer::thinking);
    let thinking: Vec<String> = thinking.filter(|thinking| !thinking.is_empty()).collect();
    let answers = prompts.iter().map(PromptAnswer::answer).collect();
    (thinking.join("\n"), answers)
}

#[cfg(test)]
mod tests {
    use super::{PromptAnswer, joined, split_thinking};

    #[test]
    fn thinking_is_told_from_the_answer() {
        for (text, thinking, answer) in [
            ("42", "", "42"),
            ("<think>six times", "six times", ""),
            (
                "<think>six times seven</think>\n42",
                "six times seven",
                "42",
            ),
            ("a <think>b</think>", "", "a <think>b</think>"),
        ] {
            assert_eq!(split_thinking(text), (thinking, answer), "{text}");
        }
    }

    #[test]
    fn every_answer_has_its_own_thinking() {
        let prompts = [
            ("<think>one</think>A\n", ""),
            ("B\n", ""),
            ("C\n", "apart"),
            ("<think>三</think>\nD\n", ""),
            ("<think>on", ""),
        ]
        .map(|(raw, reasoning)| PromptAnswer {
            raw: raw.to_owned(),
            reasoning: reasoning.to_owned(),
        });
        let (thinking, answers) = joined(&prompts);
        assert_eq!(thinking, "one\napart\n三\non");
        assert_eq!(answers, "A\nB\nC\nD\n");
        let has_thinking = prompts.each_ref().map(PromptAnswer::has_thinking);
        assert_eq!(has_thinking, [true, false, true, true, true]);
        assert_eq!(joined(&[]), (String::new(), String::new()));
    }
}
