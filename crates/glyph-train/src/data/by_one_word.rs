//! Asking for a form's field by one word of its label, where no other label answers to it: `What is the total?` of an order's
//! total, `When is the delivery?` of its date.

use super::draw::Draw;
use super::entry::Fact;
use super::prose::capitalised;

/// How many of the fields that are not there are asked for by their last word, and how many of the others by their first
/// one, in percent, where they can be.
const IN_VAIN: usize = 20;

impl Fact {
    /// Adds these ways to ask for a field that `told` holds.
    pub(crate) fn ask_by_one_word(&mut self, draw: &Draw, told: &[&Fact]) {
        let Some(head) = self.head else { return };
        if n_labels_with(head, told) == 1 {
            self.questions.extend(by_head(head));
        }
        if draw.has_all_shapes()
            && let Some(asking) = self.asking()
            && n_told(asking, told) == 1
        {
            let questions = asking.questions();
            self.questions.extend(questions);
        }
    }

    /// Asks now and then so for a field that `told` does not hold. What is thought then is what was asked for: nobody can
    /// know the other word of the label.
    pub(crate) fn ask_in_vain_by_one_word(&mut self, draw: &mut Draw, told: &[&Fact]) {
        let Some(head) = self.head else { return };
        if draw.chance(IN_VAIN) && n_labels_with(head, told) == 0 {
            self.questions = by_head(head).into();
            self.key = capitalised(head);
        } else if draw.has_all_shapes()
            && let Some(asking) = self.asking()
            && draw.chance(IN_VAIN)
            && n_told(asking, told) == 0
        {
            let (questions, word) = (asking.questions(), asking.word.to_owned());
            self.questions = questions.into();
            self.key = word;
        }
    }

    /// How it is asked for by the first word of its label, if it can be.
    fn asking(&self) -> Option<Asking<'_>> {
        let (word, _) = self.subject.split_once(' ')?;
        let start = match self.head? {
            "date" | "deadline" | "time" | "start" => "When",
            "city" | "address" | "room" => "Where",
            "total" | "price" | "amount" | "fee" => "How much",
            "name" | "manager" | "contact" | "owner" => "Who",
            _ => return None,
        };
        Some(Asking { start, word })
    }
}

fn by_head(head: &str) -> [String; 3] {
    [
        format!("What is the {head}?"),
        format!("What's the {head}?"),
        format!("{}?", capitalised(head)),
    ]
}

/// A question for what a thing has one of.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Asking<'a> {
    /// `When`.
    start: &'static str,
    /// The first word of the label.
    word: &'a str,
}

impl Asking<'_> {
    /// The same question twice, so that it is asked as often as others.
    fn questions(self) -> [String; 2] {
        let word = self.word.to_ascii_lowercase();
        let start = self.start;
        let is = if self.start == "How much" {
            " is"
        } else {
            "'s"
        };
        [
            format!("{start} is the {word}?"),
            format!("{start}{is} the {word}?"),
        ]
    }
}

/// Fields that answer to it.
fn n_told(asking: Asking<'_>, told: &[&Fact]) -> usize {
    let answers = |fact: &&&Fact| fact.asking() == Some(asking);
    told.iter().filter(answers).count()
}

fn n_labels_with(head: &str, told: &[&Fact]) -> usize {
    let has_head = |fact: &&&Fact| {
        let mut words = fact.subject.split_whitespace();
        words.any(|word| word.eq_ignore_ascii_case(head))
    };
    told.iter().filter(has_head).count()
}

#[cfg(test)]
mod tests {
    use crate::data::draw::Draw;
    use crate::data::lookup::{Document, LookupPage, generate};
    use crate::data::wrap::PageGrid;
    use crate::data::{NOT_THERE, Split};

    const HEAD_ONLY: &str = "What is the ";

    fn pages(absent: bool) -> Vec<LookupPage> {
        (0..2000)
            .filter_map(|index| {
                let mut draw = Draw::new(15, Split::HeldOut, index).with_all_shapes(true);
                generate(&mut draw, Document::Form, absent, PageGrid::new(40, 8), 1)
            })
            .collect()
    }

    /// The word that a question asks for, if it is one.
    fn head(question: &str) -> Option<&str> {
        let asked = question.strip_prefix(HEAD_ONLY)?.strip_suffix('?')?;
        (!asked.contains(' ')).then_some(asked)
    }

    /// Labels of two words that have it as their last one.
    fn n_labels(page: &LookupPage, head: &str) -> usize {
        let ends = |subject: &str| {
            let (_, last) = subject.rsplit_once(' ').unwrap_or(("", subject));
            last.eq_ignore_ascii_case(head)
        };
        page.told.iter().filter(|fact| ends(&fact.subject)).count()
    }

    #[test]
    fn a_head_is_asked_for_alone_only_where_one_label_has_it() {
        let (mut n_asked, mut n_shared) = (0, 0);
        for page in pages(false) {
            if let Some(head) = head(&page.question) {
                assert_eq!(n_labels(&page, head), 1, "{head} in {}", page.text);
                n_asked += u32::from(page.subject.contains(' '));
            } else {
                let (_, last) = page.subject.rsplit_once(' ').unwrap_or_default();
                n_shared += u32::from(n_labels(&page, last) > 1);
            }
        }
        assert!(n_asked > 10 && n_shared > 10, "{n_asked} {n_shared}");
    }

    #[test]
    fn a_head_that_no_label_has_is_asked_for_in_vain() {
        let mut n_asked = 0;
        for page in pages(true) {
            if let Some(head) = head(&page.question) {
                assert_eq!(n_labels(&page, head), 0, "{head} in {}", page.text);
                if page.subject.contains(' ') {
                    let mut draw = Draw::new(16, Split::HeldOut, 0);
                    let page = page.questioned(&mut draw, 4);
                    assert_eq!(page.first.answer, NOT_THERE);
                    n_asked += 1;
                }
            }
        }
        assert!(n_asked > 20, "{n_asked}");
    }

    /// The fields that a question for what a thing has one of could mean: `When is the delivery?`.
    fn answering<'a>(page: &'a LookupPage, question: &str) -> Option<Vec<&'a str>> {
        let (asked, word) = question.strip_suffix('?')?.split_once(" is the ")?;
        let heads: &[&str] = match asked {
            "When" => &["date", "deadline", "time", "start"],
            "Where" => &["city", "address", "room"],
            "How much" => &["total", "price", "amount", "fee"],
            "Who" => &["name", "manager", "contact", "owner"],
            _ => return None,
        };
        if word.contains(' ') || !page.subject.contains(' ') {
            return None;
        }
        let subjects = page.told.iter().map(|fact| fact.subject.as_str());
        let answers = subjects.filter(|subject| {
            let (first, head) = subject.rsplit_once(' ').unwrap_or_default();
            first.eq_ignore_ascii_case(word) && heads.contains(&head)
        });
        Some(answers.collect())
    }

    #[test]
    fn what_a_thing_has_one_of_is_asked_for_by_its_name() {
        let mut n_asked = 0;
        for page in pages(false) {
            if let Some(subjects) = answering(&page, &page.question) {
                assert_eq!(subjects, [&page.subject], "{}", page.text);
                n_asked += 1;
            }
        }
        assert!(n_asked > 20, "{n_asked}");
        let mut n_in_vain = 0;
        for page in pages(true) {
            if let Some(subjects) = answering(&page, &page.question) {
                assert!(subjects.is_empty(), "{} in {}", page.question, page.text);
                n_in_vain += 1;
            }
        }
        assert!(n_in_vain > 20, "{n_in_vain}");
    }
}
