//! Running text: lines that whoever shows them has to wrap, as a paragraph of most documents is one long line. Where a
//! line is wrapped behind the last one of a page, the next page begins with its rest; behind a line that ends there it
//! begins with an empty line, as the official renderer has it. So both kinds have to be learnt.

use super::draw::Draw;
use super::lookup::Document;
use super::wrap::wrap;
use super::{PageGrid, Task, Thought};

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

/// One paragraph, begun at that sentence with which most of what the thoughts quote goes on on the next page: there lines
/// that are wrapped go on at the top, and lines of their own one below it. What stood before that sentence comes last, so
/// the text stays as it is where its order is what a thought quotes.
pub(crate) fn turned<'a>(
    text: String,
    thoughts: impl Iterator<Item = &'a Thought>,
    grid: PageGrid,
) -> String {
    let quotations: Vec<&str> = thoughts
        .filter_map(|thought| thought.quotation.as_deref())
        .collect();
    let holds_all = |text: &str| quotations.iter().all(|quotation| text.contains(quotation));
    if text.contains('\n') || !holds_all(&text) {
        return text;
    }
    let n_crossing = |text: &String| {
        let lines = wrap([text.as_str()], grid.columns).into_text();
        let lines: Vec<&str> = lines.lines().collect();
        let pages: Vec<String> = lines
            .chunks(grid.lines)
            .map(|page| page.join(" "))
            .collect();
        let crosses = |quotation: &&&str| !pages.iter().any(|page| page.contains(**quotation));
        quotations.iter().filter(crosses).count()
    };
    let begins = text.match_indices(". ").map(|(end, _)| end + 2);
    let turned = begins.map(|begin| {
        let (last, first) = text.split_at(begin);
        format!("{first} {}", last.trim_end())
    });
    turned
        .filter(|turned| holds_all(turned))
        .max_by_key(n_crossing)
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{turned, unwrapped};
    use crate::data::{PageGrid, Thought};

    #[test]
    fn what_is_quoted_comes_to_stand_on_two_pages() {
        let text = "It is so. The tag of the cat is red. Here we go. There and back again.";
        let quoting = |quotation: &str| [Thought::of("cat".to_owned(), quotation.to_owned())];
        let grid = PageGrid::new(14, 2);
        let of_one = quoting("The tag of the cat is red.");
        let turned_text = turned(text.to_owned(), of_one.iter(), grid);
        // Its lines: `There and back`, `again. It is`, `so. The tag of`, `the cat is`, and on the next page `red. Here we`.
        assert_eq!(
            turned_text,
            "There and back again. It is so. The tag of the cat is red. Here we go."
        );
        let in_order = quoting("is so. The tag, Here we go");
        assert_eq!(turned(text.to_owned(), in_order.iter(), grid), text);
    }

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
