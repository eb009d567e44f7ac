//! From a conversation to a prompt: images fetched and decoded, documents drawn.

use std::time::{Duration, Instant};

use glyph_engine::{CheckedPage, Engine, EngineError, Page, Prepared, PromptTokens};
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::{Message, Part as PromptPart};

use crate::byte_pool::ByteHold;
use crate::chat::{Conversation, Part, Turn};
use crate::drawing::Drawing;
use crate::error::{ApiError, Code};
use crate::images::{ImageFile, ImageSource, PixelBudget, PixelHold, n_pixels};
use crate::remote::{FetchBudget, RemoteImages};
use crate::state::AppState;

/// The prompt of a caller's conversation, and what its pages take until the model has seen them. `body` is what the
/// request itself takes, until then.
///
/// # Errors
/// Names the part that cannot be used.
pub async fn chat(
    state: &AppState,
    caller: &str,
    conversation: Conversation,
    mut body: ByteHold,
) -> Result<(Prepared, PixelHold), ApiError> {
    let turns = with_images(state, conversation, &mut body).await?;
    let of_work = state.clone();
    state
        .blocking(caller, move || {
            let (messages, pages) = Pages::<Page>::of(&of_work, turns)?;
            drop(body);
            let prepared = of_work.engine().prepare_chat(&messages, pages.kept);
            let prepared = prepared.map_err(|error| ApiError::of_prompt(error, "messages"))?;
            Ok((prepared, pages.budget.into_hold()))
        })
        .await
}

/// The tokens and the number of pages of the prompt that [`chat`] would make.
///
/// # Errors
/// The same.
pub async fn count(
    state: &AppState,
    caller: &str,
    conversation: Conversation,
    mut body: ByteHold,
) -> Result<(PromptTokens, usize), ApiError> {
    let turns = with_images(state, conversation, &mut body).await?;
    let of_work = state.clone();
    state
        .blocking(caller, move || {
            let (messages, pages) = Pages::<PatchGrid>::of(&of_work, turns)?;
            drop(body);
            let tokens = of_work.engine().count_chat(&messages, &pages.kept);
            let tokens = tokens.map_err(|error| ApiError::of_prompt(error, "messages"))?;
            Ok((tokens, pages.kept.len()))
        })
        .await
}

/// The turns of a conversation when all its images are at hand.
async fn with_images(
    state: &AppState,
    conversation: Conversation,
    body: &mut ByteHold,
) -> Result<Vec<Turn>, ApiError> {
    let Conversation(mut turns) = conversation;
    let parts = turns.iter().flat_map(|turn| &turn.parts);
    let n_images = parts.filter(|part| matches!(part, Part::Image(..))).count();
    check_pages(state, n_images)?;
    let mut budget = state.remote_images().map(RemoteImages::budget);
    for part in turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::Image(source, path) = part {
            fetch(state, source, path, budget.as_mut(), body).await?;
        }
    }
    Ok(turns)
}

fn check_pages(state: &AppState, n_pages: usize) -> Result<(), ApiError> {
    let most_pages = state.config().max_pages;
    if n_pages <= most_pages {
        return Ok(());
    }
    Err(EngineError::TooManyPages {
        n_pages,
        most_pages,
    }
    .into())
}

async fn fetch(
    state: &AppState,
    source: &mut ImageSource,
    path: &str,
    budget: Option<&mut FetchBudget>,
    body: &mut ByteHold,
) -> Result<(), ApiError> {
    let ImageSource::Remote(url) = source else {
        return Ok(());
    };
    let Some((images, budget)) = state.remote_images().zip(budget) else {
        let message = format!(
            "{path} is an http(s) URL, which this server does not fetch. Send the image as a data: URL, or start the \
             server with --allow-remote-images"
        );
        return Err(ApiError::of(Code::RemoteImagesDisabled, path, message));
    };
    *source = ImageSource::Bytes(images.fetch(url, path, budget, body).await?);
    Ok(())
}

/// What is kept of a page until all of them are there.
trait Kept: Sized {
    /// Of a page that model and memory plan take.
    fn of(image: RgbImage, checked: &CheckedPage, engine: &Engine) -> Result<Self, EngineError>;

    /// Bytes that it takes.
    fn held_bytes(&self) -> usize;
}

impl Kept for Page {
    fn of(image: RgbImage, _: &CheckedPage, engine: &Engine) -> Result<Self, EngineError> {
        engine.prepare_page(image)
    }

    fn held_bytes(&self) -> usize {
        self.n_bytes()
    }
}

/// Who counts tokens needs no more.
impl Kept for PatchGrid {
    fn of(_: RgbImage, checked: &CheckedPage, _: &Engine) -> Result<Self, EngineError> {
        Ok(checked.grid)
    }

    fn held_bytes(&self) -> usize {
        0
    }
}

/// The pages of a request in order.
struct Pages<'a, T> {
    state: &'a AppState,
    kept: Vec<T>,
    /// Vision tokens of them.
    n_tokens: usize,
    budget: PixelBudget,
}

impl<'a, T: Kept> Pages<'a, T> {
    /// The messages of a conversation, and its pages.
    fn of(state: &'a AppState, turns: Vec<Turn>) -> Result<(Vec<Message>, Self), ApiError> {
        let mut pages = Self {
            state,
            kept: Vec::new(),
            n_tokens: 0,
            budget: state.pixels().budget(),
        };
        let messages = turns.into_iter().map(|turn| pages.message(turn));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        Ok((messages, pages))
    }

    fn message(&mut self, turn: Turn) -> Result<Message, ApiError> {
        let mut content = Vec::with_capacity(turn.parts.len());
        for part in turn.parts {
            match part {
                Part::Text(text) => content.push(PromptPart::Text { text }),
                Part::Image(source, path) => {
                    self.picture(&source, &path)?;
                    content.push(PromptPart::Image);
                }
                Part::Document { text, style, path } => {
                    let renderer = self.state.renderers().find(style, &text, &path)?;
                    let n_before = self.kept.len();
                    self.draw(&renderer, &text, &path)?;
                    let n_pages = self.kept.len() - n_before;
                    content.extend(std::iter::repeat_n(PromptPart::Image, n_pages));
                }
            }
        }
        Ok(Message {
            role: turn.role,
            content,
        })
    }

    /// Decodes a picture, if model and memory plan take one of its size.
    fn picture(&mut self, source: &ImageSource, path: &str) -> Result<(), ApiError> {
        let file = ImageFile::open(source, path)?;
        let (checked, pixels) = self.check(file.size_px(), path)?;
        let hold = self.budget.take(pixels, path)?;
        self.keep(file.decode()?, &checked, hold, path)
    }

    /// Holds the size of a page against model and memory plan; returns what it takes, and its pixels, or those that it is
    /// enlarged to.
    fn check(&self, size_px: [u32; 2], path: &str) -> Result<(CheckedPage, u64), ApiError> {
        let engine = self.state.engine();
        let checked = engine
            .check_page(size_px.map(|side_px| side_px as usize), self.n_tokens)
            .map_err(|error| ApiError::of_page(error, path))?;
        Ok((checked, n_pixels(size_px).max(checked.resized_pixels)))
    }

    /// Keeps a page, and of what was held for making it what it takes until the model has seen it.
    fn keep(
        &mut self,
        image: RgbImage,
        checked: &CheckedPage,
        mut hold: PixelHold,
        path: &str,
    ) -> Result<(), ApiError> {
        let page = T::of(image, checked, self.state.engine());
        let page = page.map_err(|error| ApiError::of_page(error, path))?;
        hold.shrink_to_bytes(page.held_bytes());
        self.budget.keep(hold);
        self.n_tokens = checked.n_tokens;
        self.kept.push(page);
        Ok(())
    }

    fn draw(
        &mut self,
        renderer: &glyph_render::Renderer,
        text: &str,
        path: &str,
    ) -> Result<(), ApiError> {
        let n_before = self.kept.len();
        let style = renderer.style();
        // Every text has a page, and one that is not cropped has the size that its style says.
        check_pages(self.state, n_before + 1)?;
        if let Some((width_px, height_px)) = style.whole_page_px() {
            self.check([width_px, height_px], path)?;
        }
        let pages = renderer.pages_parallel(text);
        let mut drawing = Drawing::new(pages, style, self.state.pixels(), path)?;
        // What is waited for; while a page is made the size that the model sees the next ones are drawn.
        let mut time_drawn = Duration::ZERO;
        loop {
            let start = Instant::now();
            let next = drawing.next_page(&self.budget)?;
            time_drawn += start.elapsed();
            let Some((page, hold)) = next else {
                break;
            };
            // Those that follow are not drawn.
            check_pages(self.state, self.kept.len() + 1)?;
            let (width_px, height_px) = (page.width_px, page.height_px);
            let (checked, pixels) = self.check([width_px, height_px], path)?;
            let hold = self.budget.fit(hold, pixels, path)?;
            let image = RgbImage::new(width_px as usize, height_px as usize, page.rgb);
            let image = image.map_err(|error| ApiError::internal(&error))?;
            self.keep(image, &checked, hold, path)?;
        }
        let n_pages = self.kept.len() - n_before;
        let metrics = self.state.metrics();
        metrics.rendered(n_pages, time_drawn.as_secs_f64());
        Ok(())
    }
}
