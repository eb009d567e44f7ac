//! Asking for a form's field by the second word of its label alone, where no other label has it: `What is the total?` of an
//! order's total.

use super::draw::Draw;
use super::entry::Fact;
use super::prose::capitalised;

/// How many of the fields that are not there are asked for so, in percent, where they can be.
const IN_VAIN: usize = 20;

impl Fact {
    /// Adds these ways to ask for a field that `told` holds.
    pub(crate) fn ask_by_head(&mut self, told: &[&Fact]) {
        if let Some(head) = self.head
            && n_labels_with(head, told) == 1
        {
            self.questions.extend(questions(head));
        }
    }

    /// Asks now and then so for a field that `told` does not hold. What is thought then is what was asked for: nobody can
    /// know the first word of the label.
    pub(crate) fn ask_in_vain_by_head(&mut self, draw: &mut Draw, told: &[&Fact]) {
        if let Some(head) = self.head
            && draw.chance(IN_VAIN)
            && n_labels_with(head, told) == 0
        {
            self.questions = questions(head).into();
            self.key = capitalised(head);
        }
    }
}

fn questions(head: &str) -> [String; 3] {
    [
        format!("What is the {head}?"),
        format!("What's the {head}?"),
        format!("{}?", capitalised(head)),
    ]
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
                let mut draw = Draw::new(15, Split::HeldOut, index);
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
}
