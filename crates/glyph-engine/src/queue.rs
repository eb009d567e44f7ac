//! Requests that wait, fair between callers.

use std::collections::{HashMap, VecDeque};

/// One line per caller. Whoever runs least is next; among equals, whoever has waited longest for a turn.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    lines: Vec<Line<T>>,
    len: usize,
}

#[derive(Debug)]
struct Line<T> {
    caller: String,
    items: VecDeque<T>,
}

impl<T> FairQueue<T> {
    pub fn new() -> Self {
        Self {
            lines: Vec::new(),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, caller: &str, item: T) {
        self.len += 1;
        match self.lines.iter_mut().find(|line| line.caller == caller) {
            Some(line) => line.items.push_back(item),
            None => self.lines.push(Line {
                caller: caller.to_owned(),
                items: VecDeque::from([item]),
            }),
        }
    }

    /// Takes the next request out if `admit` lets it in; `running` counts each caller's requests that run.
    pub fn pop_if(
        &mut self,
        running: &HashMap<String, usize>,
        admit: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let of = |line: &Line<T>| running.get(&line.caller).copied().unwrap_or(0);
        let (next, _) = self
            .lines
            .iter()
            .enumerate()
            .min_by_key(|(place, line)| (of(line), *place))?;
        if !self.lines[next].items.front().is_some_and(admit) {
            return None;
        }
        // The caller goes to the end of the line of callers.
        let mut line = self.lines.remove(next);
        let item = line.items.pop_front();
        if !line.items.is_empty() {
            self.lines.push(line);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Makes room for one request more of a caller: takes the newest out of the longest line, where that is longer than
    /// the caller's with the new one.
    pub fn displace_for(&mut self, caller: &str) -> Option<T> {
        let own = self.lines.iter().find(|line| line.caller == caller);
        let n_own = own.map_or(0, |line| line.items.len());
        let longest = self.lines.iter_mut().max_by_key(|line| line.items.len())?;
        if longest.items.len() <= n_own + 1 {
            return None;
        }
        let item = longest.items.pop_back();
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes out all requests that `is_gone` names.
    pub fn remove(&mut self, is_gone: impl Fn(&T) -> bool) -> Vec<T> {
        let mut gone = Vec::new();
        for line in &mut self.lines {
            let (out, kept) = std::mem::take(&mut line.items)
                .into_iter()
                .partition::<VecDeque<T>, _>(|item| is_gone(item));
            line.items = kept;
            gone.extend(out);
        }
        self.lines.retain(|line| !line.items.is_empty());
        self.len -= gone.len();
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::FairQueue;

    #[test]
    fn a_caller_with_many_requests_does_not_hold_up_the_others() {
        let mut queue = FairQueue::new();
        for (caller, item) in [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5)] {
            queue.push(caller, item);
        }
        let mut running = HashMap::new();
        let mut order = Vec::new();
        while let Some(item) = queue.pop_if(&running, |_| true) {
            *running
                .entry(if item < 4 { "a" } else { "other" }.to_owned())
                .or_default() += 1;
            order.push(item);
        }
        assert_eq!(order, [1, 4, 5, 2, 3]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn the_longest_line_makes_room_until_all_are_alike() {
        let mut queue = FairQueue::new();
        for item in 1..=4 {
            queue.push("a", item);
        }
        // Who has most has nobody to push out.
        assert_eq!(queue.displace_for("a"), None);
        // The newest go first, and no further than to lines of one length.
        for (new, displaced) in [(5, Some(4)), (6, Some(3)), (7, None)] {
            assert_eq!(queue.displace_for("b"), displaced);
            if displaced.is_some() {
                queue.push("b", new);
            }
        }
        assert_eq!(queue.len(), 4);
        // Of lines of two, one that has none yet gets a place; of lines of one it does not.
        assert_eq!(queue.displace_for("c"), Some(6));
        queue.push("c", 8);
        assert_eq!(queue.displace_for("c"), None);
        assert_eq!(queue.displace_for("d"), Some(2));
        queue.push("d", 9);
        assert_eq!(queue.displace_for("e"), None);
        let nobody = HashMap::new();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_if(&nobody, |_| true)).collect();
        assert_eq!(order, [1, 5, 8, 9]);
    }

    #[test]
    fn who_is_not_let_in_stays_first() {
        let mut queue = FairQueue::new();
        queue.push("a", 1);
        queue.push("b", 2);
        let nobody = HashMap::new();
        assert_eq!(queue.pop_if(&nobody, |_| false), None);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.remove(|item| *item == 1), [1]);
        assert_eq!(queue.pop_if(&nobody, |_| true), Some(2));
        assert_eq!(queue.len(), 0);
    }
}
