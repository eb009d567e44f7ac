//! A long text in pieces, for work whose memory grows with what it is given at once.

/// Longest piece in bytes.
pub(super) const MOST_BYTES: usize = 1 << 16;

/// The text in pieces of at most 64 KiB, each ending behind a newline where the piece has one.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(piece_len(rest));
        rest = after;
        Some(piece)
    })
}

fn piece_len(text: &str) -> usize {
    if text.len() <= MOST_BYTES {
        return text.len();
    }
    let most = text.floor_char_boundary(MOST_BYTES);
    match text[..most].rfind('\n') {
        Some(newline) => newline + 1,
        None => most,
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, pieces};

    #[test]
    fn pieces_are_short_end_with_lines_and_lose_nothing() {
        for text in [
            String::new(),
            "one line".to_owned(),
            "line of a text\n".repeat(40_000),
            "no newline at all, 中文 ".repeat(20_000),
            format!("a\n{}", "页".repeat(MOST_BYTES)),
        ] {
            let parts: Vec<&str> = pieces(&text).collect();
            assert_eq!(parts.concat(), text);
            assert!(
                parts
                    .iter()
                    .all(|part| (1..=MOST_BYTES).contains(&part.len()))
            );
            assert!(parts.len() <= text.len().div_ceil(MOST_BYTES / 2) + 1);
            if text.starts_with("line") {
                assert!(parts.len() > 1 && parts.iter().all(|part| part.ends_with('\n')));
            }
        }
    }
}
