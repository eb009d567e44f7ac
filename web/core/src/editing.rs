//! How much of a text the page's field may hold: a browser lays out all of it at once, and stands still
//! over a long one.

/// Longest text that is put into the field. Of a file the worker counts the characters; of what the page
/// itself holds the bytes are counted, which are never fewer.
pub const MOST_EDITED: usize = 40_000;

/// Longest text that the person may have in the field all the same, in bytes: laying out takes about a
/// quarter of a second for so much, and many seconds for megabytes.
pub const MOST_EDITED_WHOLE: usize = 200_000;

/// Most bytes that come at one go while somebody types: a word, a sentence of an input method.
const MOST_TYPED: usize = 1000;

/// Whether a text stays in the field that the person has changed there, by its bytes before and after.
/// A little more never takes the field away: whoever types would lose the place.
pub fn stays_in_field(before: usize, after: usize) -> bool {
    let is_edited_whole = before > MOST_EDITED && after <= MOST_EDITED_WHOLE;
    after <= MOST_EDITED || is_edited_whole || after <= before + MOST_TYPED
}

#[cfg(test)]
mod tests {
    use super::{MOST_EDITED, MOST_EDITED_WHOLE, stays_in_field};

    #[test]
    fn a_long_text_that_comes_at_once_does_not_enter_the_field() {
        assert!(stays_in_field(0, MOST_EDITED));
        assert!(!stays_in_field(0, MOST_EDITED + 1));
        assert!(!stays_in_field(100, 4_000_000));
    }

    #[test]
    fn a_word_never_takes_the_field_away() {
        assert!(stays_in_field(MOST_EDITED, MOST_EDITED + 5));
        assert!(stays_in_field(MOST_EDITED_WHOLE, MOST_EDITED_WHOLE + 5));
    }

    #[test]
    fn a_text_that_is_edited_whole_may_grow_to_its_own_limit() {
        assert!(stays_in_field(60_000, 120_000));
        assert!(!stays_in_field(60_000, MOST_EDITED_WHOLE + 1));
        // What was taken out never matters.
        assert!(stays_in_field(300_000, 250_000));
    }
}
