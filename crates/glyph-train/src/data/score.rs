//! How answers are measured.

/// Whether an answer is exactly the expected one, white space around it aside.
pub fn canonical_answer_matches(expected: &str, got: &str) -> bool {
    expected.trim() == got.trim()
}

/// Edits (insertions, deletions, substitutions of one character) that turn `got` into
/// `expected`, divided by the length of `expected`.
///
/// Both empty gives 0; an empty `expected` with a non-empty `got` gives 1.
pub fn character_error_rate(expected: &str, got: &str) -> f64 {
    let expected: Vec<char> = expected.chars().collect();
    let got: Vec<char> = got.chars().collect();
    if expected.is_empty() {
        return if got.is_empty() { 0.0 } else { 1.0 };
    }
    edit_distance(&expected, &got) as f64 / expected.len() as f64
}

/// The Levenshtein distance, one row at a time.
fn edit_distance(expected: &[char], got: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=got.len()).collect();
    for (done, wanted) in expected.iter().enumerate() {
        let mut diagonal = done;
        let mut left = done + 1;
        row[0] = left;
        for (cell, found) in row[1..].iter_mut().zip(got) {
            let substituted = diagonal + usize::from(wanted != found);
            diagonal = *cell;
            left = substituted.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_against_the_expected_length() {
        assert_eq!(character_error_rate("kitten", "sitting"), 3.0 / 6.0);
        assert_eq!(character_error_rate("abcd", ""), 1.0);
        assert_eq!(character_error_rate("ab", "xaby"), 1.0);
        assert_eq!(character_error_rate("", ""), 0.0);
        assert_eq!(character_error_rate("", "x"), 1.0);
        assert_eq!(character_error_rate("same", "same"), 0.0);
    }

    #[test]
    fn matches_are_exact_but_for_outer_white_space() {
        assert!(canonical_answer_matches("B12", " B12\n"));
        assert!(!canonical_answer_matches("B12", "b12"));
        assert!(!canonical_answer_matches("B12", "B12."));
    }
}
