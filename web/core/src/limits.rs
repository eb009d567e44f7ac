//! What one question may hold.

/// What who answers takes; `None` where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<usize>,
    /// Pages of one question.
    pub most_pages: Option<usize>,
}

/// What is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// More pages than this.
    Pages(usize),
    /// Their tokens leave no room in a context of so many.
    Tokens(usize),
}

impl Limits {
    /// Why pages of so many tokens cannot be asked about. An answer that can have one token may have fewer
    /// than were wanted, so the longest answer does not count.
    pub fn excess(&self, pages: usize, tokens: usize) -> Option<Excess> {
        let pages = self.most_pages.filter(|most| pages > *most);
        let context = self.context_tokens.filter(|context| tokens >= *context);
        pages.map(Excess::Pages).or(context.map(Excess::Tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::{Excess, Limits};

    #[test]
    fn pages_are_refused_where_they_leave_no_room() {
        let limits = Limits {
            context_tokens: Some(8192),
            most_pages: Some(64),
        };
        assert_eq!(limits.excess(64, 8191), None);
        assert_eq!(limits.excess(64, 8192), Some(Excess::Tokens(8192)));
        assert_eq!(limits.excess(65, 8192), Some(Excess::Pages(64)));
        assert_eq!(Limits::default().excess(1000, 1_000_000), None);
    }
}
