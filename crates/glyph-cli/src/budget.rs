//! Whether prompt and answer fit the context, known before the weights are read.

use glyph_model::preprocess::PatchGrid;
use glyph_model::prompt::Message;

use crate::error::CliError;
use crate::model::Model;
use crate::report::count_of_pages;

/// Tokens of a request and what the model can hold.
#[derive(Debug, Clone)]
pub struct Budget {
    model: String,
    context_tokens: usize,
    /// What the question is called in messages.
    asked: &'static str,
    /// Tokens of question and template without pages.
    text_tokens: usize,
    /// Tokens that the template puts around each page.
    marks_per_page: usize,
    requested_tokens: Option<usize>,
}

/// Pages of a whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllPages {
    /// Counted to the end.
    Exactly(usize),
    /// It took too long to count them all.
    MoreThan(usize),
}

/// The pages that did not fit.
#[derive(Debug, Clone, Copy)]
pub struct Overflow<'a> {
    /// Pages counted so far.
    pub pages: usize,
    /// Vision tokens of those.
    pub vision_tokens: usize,
    /// Pages of the whole request.
    pub all_pages: AllPages,
    /// What to do.
    pub advice: &'a str,
}

impl Budget {
    /// For a question, which messages call `asked`; the answer may have `requested_tokens`, or what is left.
    pub fn new(
        model: &Model,
        (asked, question): (&'static str, &str),
        requested_tokens: Option<usize>,
    ) -> Result<Self, CliError> {
        model.check_question(asked, question)?;
        let encoder = &model.settings.encoder;
        let smallest = PatchGrid {
            rows: encoder.merge_size,
            columns: encoder.merge_size,
        };
        let text_tokens = |grids: &[PatchGrid]| {
            let message = Message::pages_and_question(grids.len(), question);
            let prompt = encoder.encode(&[message], grids);
            let prompt = prompt.map_err(|error| model.files.prompt_error(error))?;
            Ok::<_, CliError>(prompt.n_text_tokens())
        };
        let without_pages = text_tokens(&[])?;
        Ok(Self {
            model: model.files.name(),
            context_tokens: model.context_tokens(),
            asked,
            text_tokens: without_pages,
            marks_per_page: text_tokens(&[smallest])?.saturating_sub(without_pages),
            requested_tokens,
        })
    }

    /// Tokens that the answer needs at least.
    fn least_answer_tokens(&self) -> usize {
        self.requested_tokens.unwrap_or(1)
    }

    /// Whether so many pages of so many vision tokens together leave room for the answer.
    pub fn holds(&self, n_pages: usize, vision_tokens: usize) -> bool {
        let text_tokens = self.text_tokens_with(n_pages);
        self.tokens_left(text_tokens.saturating_add(vision_tokens))
            .is_some()
    }

    /// Tokens of question, template and the marks around so many pages.
    fn text_tokens_with(&self, n_pages: usize) -> usize {
        let marks = self.marks_per_page.saturating_mul(n_pages);
        self.text_tokens.saturating_add(marks)
    }

    /// Tokens that a whole prompt leaves; `None` when they are too few for the answer.
    fn tokens_left(&self, prompt_tokens: usize) -> Option<usize> {
        let left = self.context_tokens.checked_sub(prompt_tokens)?;
        (left >= self.least_answer_tokens()).then_some(left)
    }

    /// Tokens that the answer may have after a whole prompt: as many as were asked for, or what is left but no more than
    /// `default_tokens`; `None` when it does not fit.
    pub fn answer_tokens(&self, prompt_tokens: usize, default_tokens: usize) -> Option<usize> {
        let left = self.tokens_left(prompt_tokens)?;
        Some(self.requested_tokens.unwrap_or(default_tokens.min(left)))
    }

    /// The error for pages that do not fit.
    pub fn overflow(&self, overflow: Overflow<'_>) -> CliError {
        let Overflow {
            pages,
            vision_tokens,
            all_pages,
            advice,
        } = overflow;
        let tokens_per_page = vision_tokens.div_ceil(pages.max(1));
        let (all_pages, all_pages_named, is_exact, about) = match all_pages {
            AllPages::Exactly(n) if n == pages => (n, count_of_pages(n), true, ""),
            AllPages::Exactly(n) => (n, count_of_pages(n), false, "about "),
            AllPages::MoreThan(n) => {
                let named = format!("more than {}", count_of_pages(n));
                (n, named, false, "more than ")
            }
        };
        let all_tokens = if is_exact {
            vision_tokens
        } else {
            tokens_per_page * all_pages
        };
        let fitting = |taken: usize| {
            let room = self.context_tokens.saturating_sub(taken);
            room.checked_div(tokens_per_page + self.marks_per_page)
                .unwrap_or_default()
        };
        let answer_tokens = self.least_answer_tokens();
        let n_fitting = fitting(self.text_tokens.saturating_add(answer_tokens));
        let is_long_question = self.text_tokens > answer_tokens;
        // Pages are not to blame where the question takes more than they do, or their room.
        let is_question = (is_long_question && self.text_tokens > all_tokens)
            || (n_fitting == 0 && fitting(answer_tokens) > 0);
        // Nor where the answer takes all of it.
        let beside_a_page = self
            .context_tokens
            .saturating_sub(self.text_tokens_with(1).saturating_add(tokens_per_page));
        let is_answer = n_fitting == 0 && !is_question && beside_a_page > 0;
        let text_tokens = self.text_tokens_with(all_pages);
        // Fewer tokens for the answer help where the prompt leaves any.
        let left = self
            .context_tokens
            .saturating_sub(text_tokens.saturating_add(all_tokens));
        let shorten = format!("Shorten {}", self.asked);
        let advice = if left > 0 {
            format!("The prompt leaves {about}{left}: ask for no more --max-tokens than that")
        } else if is_answer {
            format!("One such page leaves {beside_a_page}: ask for no more --max-tokens than that")
        } else if pages == 0 {
            shorten
        } else if is_question {
            format!("{n_fitting} such pages fit beside it. {shorten}")
        } else {
            format!("{n_fitting} such pages fit. {advice}")
        };
        CliError::DoesNotFit {
            pages: all_pages_named,
            about,
            vision_tokens: all_tokens,
            text_tokens,
            answer_tokens,
            context_tokens: self.context_tokens,
            model: self.model.clone(),
            advice,
        }
    }
}
