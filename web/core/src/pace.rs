//! How fast the tokens of an answer come.

/// Shorter times say more of the network's buffers than of the model.
const LEAST_MS: f64 = 50.0;

/// Tokens that had come at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Arrival {
    at_ms: f64,
    tokens: f64,
}

/// When the tokens of the answers to one prompt or several came. What lies between two prompts' answers,
/// such as the reading of a page, does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Of the prompts before: tokens behind those that came first, and the time that they took.
    tokens_before: f64,
    ms_before: f64,
    first: Option<Arrival>,
    last: Option<Arrival>,
}

impl Pace {
    /// The next prompt begins.
    pub fn begin_prompt(&mut self) {
        let (tokens_before, ms_before) = self.measured();
        *self = Self {
            tokens_before,
            ms_before,
            first: None,
            last: None,
        };
    }

    /// So many tokens of the prompt's answer have come by now, the newest of them just now.
    pub fn note(&mut self, at_ms: f64, tokens: usize) {
        let tokens = tokens as f64;
        let arrival = Arrival { at_ms, tokens };
        self.first.get_or_insert(arrival);
        self.last = Some(arrival);
    }

    /// The prompt's answer has so many tokens: what was noted were pieces of it.
    pub fn correct(&mut self, tokens: usize) {
        let noted = self.last.map_or(0.0, |last| last.tokens);
        if noted > 0.0 {
            let tokens_per_piece = tokens as f64 / noted;
            for arrival in [&mut self.first, &mut self.last].into_iter().flatten() {
                arrival.tokens *= tokens_per_piece;
            }
        }
    }

    /// Tokens per second behind the first; `None` where too little came apart to be measured.
    pub fn tokens_per_s(&self) -> Option<f64> {
        let (tokens, ms) = self.measured();
        (tokens > 0.0 && ms >= LEAST_MS).then(|| tokens * 1000.0 / ms)
    }

    fn measured(&self) -> (f64, f64) {
        let (tokens, ms) = match (self.first, self.last) {
            (Some(first), Some(last)) => (last.tokens - first.tokens, last.at_ms - first.at_ms),
            _ => (0.0, 0.0),
        };
        (self.tokens_before + tokens, self.ms_before + ms)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn what_came_at_once_has_no_rate() {
        let mut pace = Pace::default();
        assert_eq!(pace.tokens_per_s(), None);
        pace.note(1000.0, 40);
        assert_eq!(pace.tokens_per_s(), None);
        pace.note(1049.0, 41);
        assert_eq!(pace.tokens_per_s(), None);
        pace.note(1500.0, 45);
        assert_eq!(pace.tokens_per_s(), Some(10.0));
    }

    #[test]
    fn the_reading_of_later_pages_does_not_count() {
        let mut pace = Pace::default();
        for start_ms in [0.0, 10_000.0] {
            pace.begin_prompt();
            pace.note(start_ms, 1);
            pace.note(start_ms + 500.0, 6);
        }
        assert_eq!(pace.tokens_per_s(), Some(10.0));
    }

    #[test]
    fn pieces_become_tokens_when_their_number_is_known() {
        let mut pace = Pace::default();
        pace.correct(3);
        pace.note(0.0, 1);
        pace.note(1000.0, 11);
        pace.correct(22);
        assert_eq!(pace.tokens_per_s(), Some(20.0));
    }
}
