//! When an answer ends.

use std::collections::HashSet;

/// What ends an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopParams {
    /// Ids that end the answer; they are no part of its text.
    pub stop_ids: Vec<u32>,
    /// Texts that end the answer; it is cut before the first of them.
    pub stop_strings: Vec<String>,
    /// Keeps the stop string in the answer.
    pub include_stop_string: bool,
}

/// Holds back text that may be the start of a stop string.
#[derive(Debug)]
pub struct StopMatcher {
    stop_ids: HashSet<u32>,
    stop_strings: Vec<String>,
    include_stop_string: bool,
    held: String,
    found: bool,
}

impl StopMatcher {
    /// For one answer.
    pub fn new(params: StopParams) -> Self {
        Self {
            stop_ids: params.stop_ids.into_iter().collect(),
            stop_strings: params
                .stop_strings
                .into_iter()
                .filter(|stop| !stop.is_empty())
                .collect(),
            include_stop_string: params.include_stop_string,
            held: String::new(),
            found: false,
        }
    }

    /// Whether a stop string has ended the answer.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Whether an id ends the answer.
    pub fn is_stop_id(&self, id: u32) -> bool {
        self.stop_ids.contains(&id)
    }

    /// Takes text; returns what can be given out, and whether a stop string ended the answer.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self
            .stop_strings
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at, stop.len())))
            .min();
        if let Some((at, len)) = found {
            let end = if self.include_stop_string {
                at + len
            } else {
                at
            };
            self.held.truncate(end);
            self.found = true;
            return (std::mem::take(&mut self.held), true);
        }
        let free = self.held.len() - self.longest_partial_stop();
        let rest = self.held.split_off(free);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Gives out what was held back when the answer ends otherwise.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of the held text that may grow into a stop string.
    fn longest_partial_stop(&self) -> usize {
        let held = self.held.as_bytes();
        self.stop_strings
            .iter()
            .filter_map(|stop| {
                let longest = held.len().min(stop.len().saturating_sub(1));
                (1..=longest)
                    .rev()
                    .find(|len| held[held.len() - len..] == stop.as_bytes()[..*len])
            })
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{StopMatcher, StopParams};

    fn matcher(strings: &[&str], include: bool) -> StopMatcher {
        StopMatcher::new(StopParams {
            stop_strings: strings.iter().map(|s| (*s).to_owned()).collect(),
            include_stop_string: include,
            ..StopParams::default()
        })
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_never_shown() {
        let mut stops = matcher(&["END.", "终止"], false);
        assert_eq!(stops.push("the E"), ("the ".to_owned(), false));
        assert_eq!(stops.push("N"), (String::new(), false));
        assert_eq!(stops.push("EMY E"), ("ENEMY ".to_owned(), false));
        assert_eq!(stops.push("ND. more"), (String::new(), true));
        let mut stops = matcher(&["终止"], false);
        assert_eq!(stops.push("好终"), ("好".to_owned(), false));
        assert_eq!(stops.push("止。"), (String::new(), true));
    }

    #[test]
    fn it_can_be_kept_and_what_was_held_comes_at_the_end() {
        let mut stops = matcher(&["\n\n"], true);
        assert_eq!(stops.push("a\n"), ("a".to_owned(), false));
        assert_eq!(stops.push("\nb"), ("\n\n".to_owned(), true));
        let mut stops = matcher(&["\n\n"], false);
        assert_eq!(stops.push("a\n"), ("a".to_owned(), false));
        assert_eq!(stops.finish(), "\n");
    }
}
