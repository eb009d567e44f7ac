//! Running text: lines that whoever shows them has to wrap, as a paragraph of most documents is one long line. Where a
//! line is wrapped behind the last one of a page, the next page begins with its rest; behind a line that ends there it
//! begins with an empty line, as the official renderer has it. So both kinds have to be learnt.

use super::Task;
use super::draw::Draw;
use super::lookup::Document;

/// How often what may be one paragraph is one, in percent.
const ONE_PARAGRAPH: usize = 50;

/// What of a task's lines may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// The lines that were wrapped, each to the end of its paragraph.
    Wrapped,
    /// These, or all lines as one paragraph.
    All,
}

impl Runs {
    /// None where lines are what the task is about.
    fn of(task: Task) -> Option<Self> {
        match task {
            Task::Read(_) | Task::Echo => None,
            Task::Needle(_) | Task::NeedleAbsent(_) => Some(Self::All),
            Task::Lookup(document) | Task::LookupAbsent(document) => match document {
                Document::Columns => None,
                Document::Sentences => Some(Self::All),
                Document::Form | Document::Settings | Document::Contacts => Some(Self::Wrapped),
            },
            Task::Excerpts(_) => Some(Self::Wrapped),
        }
    }
}

/// The text of a task as running text; as it is where that is not to be had.
pub(crate) fn flowing(draw: &mut Draw, task: Task, text: String, columns: usize) -> String {
    match Runs::of(task) {
        None => text,
        Some(Runs::All) if draw.chance(ONE_PARAGRAPH) => text.replace('\n', " "),
        Some(_) => unwrapped(&text, columns),
    }
}

/// The text with those lines joined that end because the next word did not fit.
fn unwrapped(text: &str, columns: usize) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut before: Option<&str> = None;
    for line in text.split('\n') {
        let first_word = line.split(' ').next().unwrap_or_default();
        if let Some(before) = before {
            let is_wrapped = !before.is_empty()
                && !first_word.is_empty()
                && before.len() + 1 + first_word.len() > columns;
            joined.push(if is_wrapped { ' ' } else { '\n' });
        }
        joined.push_str(line);
        before = Some(line);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::unwrapped;

    #[test]
    fn only_what_was_wrapped_is_joined() {
        assert_eq!(
            unwrapped("the quick\nfox ran.\nIt", 11),
            "the quick fox ran.\nIt"
        );
        assert_eq!(
            unwrapped("a full line\n\n  indented line", 11),
            "a full line\n\n  indented line"
        );
    }
}
