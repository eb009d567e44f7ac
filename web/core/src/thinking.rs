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

#[cfg(test)]
mod tests {
    use super::split_thinking;

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
}
