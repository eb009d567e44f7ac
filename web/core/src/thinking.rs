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

/// The same for the answers to several prompts that stand behind one another in a text: each begins at
/// one of `starts`, in their order, and has its own thinking.
pub fn split_each(text: &str, starts: &[usize]) -> (String, String) {
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mut all_thinking = String::new();
    let mut answers = String::new();
    for (start, end) in starts.iter().copied().zip(ends) {
        let (thinking, answer) = split_thinking(text.get(start..end).unwrap_or_default());
        if !all_thinking.is_empty() && !thinking.is_empty() {
            all_thinking.push('\n');
        }
        all_thinking.push_str(thinking);
        answers.push_str(answer);
    }
    (all_thinking, answers)
}

#[cfg(test)]
mod tests {
    use super::{split_each, split_thinking};

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
        let parts = [
            "<think>one</think>A\n",
            "B\n",
            "<think>三</think>\nC\n",
            "<think>on",
        ];
        let mut text = String::new();
        let mut starts = Vec::new();
        for part in parts {
            starts.push(text.len());
            text.push_str(part);
        }
        let (thinking, answers) = split_each(&text, &starts);
        assert_eq!(thinking, "one\n三\non");
        assert_eq!(answers, "A\nB\nC\n");
        assert_eq!(split_each("", &[]), (String::new(), String::new()));
    }
}
