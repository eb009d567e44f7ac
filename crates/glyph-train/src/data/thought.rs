//! What is thought before an answer, and wrong lines that are looked at before it.

use super::draw::Draw;

/// How many thoughts to learn from that cite a line cite a wrong one before it, in percent.
const MISSTEPS: usize = 15;

/// How many of those about what is not there cite one, in percent.
const MISSTEPS_IN_VAIN: usize = 30;

/// How many of these are about something similar, in percent, where there is such.
const SIMILAR_MISSTEPS: usize = 65;

/// What tells the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thought {
    /// What is asked about, as the pages write it if they have it.
    pub key: String,
    /// The words of the pages from the key to the value, several such quotations parted by commas; none where the pages
    /// do not tell the value, though they may tell something else about the key.
    pub quotation: Option<String>,
    /// What is looked at first and is not it: whoever has cited a wrong line learns to see that it is wrong, and to look
    /// elsewhere or to say that it is not there.
    pub misstep: Option<Misstep>,
}

/// A quotation that does not tell what is asked. It is given, and not to be learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misstep {
    /// What the quotation is about.
    pub key: String,
    /// The words of the pages from there to a value.
    pub quotation: String,
}

impl Thought {
    /// That the pages tell what is asked about a key in these words.
    pub fn of(key: String, quotation: String) -> Self {
        Self {
            key,
            quotation: Some(quotation),
            misstep: None,
        }
    }

    /// That the pages do not tell what is asked about a key.
    pub fn of_nothing(key: String) -> Self {
        Self {
            key,
            quotation: None,
            misstep: None,
        }
    }

    /// Looks at one of `others` first, now and then and where there is to learn; often at one whose key shares a word
    /// with what is asked for.
    pub(super) fn with_misstep(
        self,
        draw: &mut Draw,
        others: impl FnOnce() -> Vec<Misstep>,
    ) -> Self {
        let percent = if self.quotation.is_some() {
            MISSTEPS
        } else {
            MISSTEPS_IN_VAIN
        };
        if !draw.learns() || !draw.chance(percent) {
            return self;
        }
        let others = others();
        let similar: Vec<&Misstep> = others
            .iter()
            .filter(|other| share_a_word(&other.key, &self.key))
            .collect();
        let misstep = if !similar.is_empty() && draw.chance(SIMILAR_MISSTEPS) {
            similar.get(draw.below(similar.len())).copied().cloned()
        } else {
            others.get(draw.below(others.len())).cloned()
        };
        Self { misstep, ..self }
    }

    /// What is thought where no line is cited.
    pub fn uncited(&self) -> &str {
        self.quotation.as_ref().unwrap_or(&self.key)
    }
}

/// Whether two keys have a word in common, as a setting and another one or two people of one name.
fn share_a_word(key: &str, other: &str) -> bool {
    let words = |key: &str| -> Vec<String> {
        key.split([' ', '_', '-', '.'])
            .map(str::to_ascii_lowercase)
            .collect()
    };
    let others = words(other);
    words(key).iter().any(|word| others.contains(word))
}
