//! From a conversation to a prompt: images fetched and decoded, documents drawn.

use std::time::Instant;

use glyph_engine::Prepared;
use glyph_model::preprocess::RgbImage;
use glyph_model::prompt::{Message, Part as PromptPart};

use crate::byte_pool::ByteHold;
use crate::chat::{Conversation, Part, Turn};
use crate::drawing::Drawing;
use crate::error::{ApiError, Code};
use crate::images::{ImageFile, ImageSource, PixelBudget, PixelHold, n_pixels};
use crate::remote::{FetchBudget, RemoteImages};
use crate::state::AppState;

/// The prompt of a conversation, and what its pages take until the model has seen them. `body` is what the request itself
/// takes, until then.
///
/// # Errors
/// Names the part that cannot be used.
pub async fn chat(
    state: &AppState,
    conversation: Conversation,
    mut body: ByteHold,
) -> Result<(Prepared, PixelHold), ApiError> {
    let Conversation(mut turns) = conversation;
    let parts = turns.iter().flat_map(|turn| &turn.parts);
    let n_images = parts.filter(|part| matches!(part, Part::Image(..))).count();
    check_pages(state, n_images)?;
    let mut budget = state.remote_images().map(RemoteImages::budget);
    for part in turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::Image(source, path) = part {
            fetch(state, source, path, budget.as_mut(), &mut body).await?;
        }
    }
    let of_work = state.clone();
    state
        .blocking(move || {
            let mut pages = Pages::new(&of_work);
            let messages = turns.into_iter().map(|turn| pages.message(turn));
            let messages = messages.collect::<Result<Vec<_>, _>>()?;
            drop(body);
            let prepared = of_work.engine().prepare_chat(&messages, &pages.images)?;
            Ok((prepared, pages.budget.into_hold()))
        })
        .await
}

fn check_pages(state: &AppState, n_pages: usize) -> Result<(), ApiError> {
    let most_pages = state.config().max_pages;
    if n_pages <= most_pages {
        return Ok(());
    }
    Err(glyph_engine::EngineError::TooManyPages {
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

/// The pages of a request in order.
struct Pages<'a> {
    state: &'a AppState,
    images: Vec<RgbImage>,
    /// Vision tokens of them.
    n_tokens: usize,
    budget: PixelBudget,
}

impl<'a> Pages<'a> {
    fn new(state: &'a AppState) -> Self {
        Self {
            state,
            images: Vec::new(),
            n_tokens: 0,
            budget: state.pixels().budget(),
        }
    }

    fn message(&mut self, turn: Turn) -> Result<Message, ApiError> {
        let mut content = Vec::with_capacity(turn.parts.len());
        for part in turn.parts {
            match part {
                Part::Text(text) => content.push(PromptPart::Text { text }),
                Part::Image(source, path) => {
                    let image = self.picture(&source, &path)?;
                    self.images.push(image);
                    content.push(PromptPart::Image);
                }
                Part::Document { text, style, path } => {
                    let renderer = self.state.renderers().find(style, &text, &path)?;
                    let n_before = self.images.len();
                    self.draw(&renderer, &text, &path)?;
                    let n_pages = self.images.len() - n_before;
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
    fn picture(&mut self, source: &ImageSource, path: &str) -> Result<RgbImage, ApiError> {
        let file = ImageFile::open(source, path)?;
        let (n_tokens, pixels) = self.check(file.size_px(), path)?;
        self.budget.take(pixels, path)?;
        self.n_tokens = n_tokens;
        file.decode()
    }

    /// Holds the size of a page against model and memory plan; returns its tokens with those of the pages before it, and
    /// its pixels, or those that it is enlarged to.
    fn check(&self, size_px: [u32; 2], path: &str) -> Result<(usize, u64), ApiError> {
        let engine = self.state.engine();
        let checked = engine
            .check_page(size_px.map(|side_px| side_px as usize), self.n_tokens)
            .map_err(|error| ApiError::of_page(error, path))?;
        let pixels = n_pixels(size_px).max(checked.resized_pixels);
        Ok((checked.n_tokens, pixels))
    }

    fn draw(
        &mut self,
        renderer: &glyph_render::Renderer,
        text: &str,
        path: &str,
    ) -> Result<(), ApiError> {
        let start = Instant::now();
        let n_before = self.images.len();
        let style = renderer.style();
        // Every text has a page, and one that is not cropped has the size that its style says.
        check_pages(self.state, n_before + 1)?;
        if let Some((width_px, height_px)) = style.whole_page_px() {
            self.check([width_px, height_px], path)?;
        }
        let pages = renderer.pages_parallel(text);
        let mut drawing = Drawing::new(pages, style, self.state.pixels(), path)?;
        while let Some((page, hold)) = drawing.next_page(&self.budget)? {
            // Those that follow are not drawn.
            check_pages(self.state, self.images.len() + 1)?;
            let (width_px, height_px) = (page.width_px, page.height_px);
            let (n_tokens, pixels) = self.check([width_px, height_px], path)?;
            self.budget.keep(hold, pixels, path)?;
            self.n_tokens = n_tokens;
            let image = RgbImage::new(width_px as usize, height_px as usize, page.rgb);
            self.images
                .push(image.map_err(|error| ApiError::internal(&error))?);
        }
        let n_pages = self.images.len() - n_before;
        let seconds = start.elapsed().as_secs_f64();
        self.state.metrics().rendered(n_pages, seconds);
        Ok(())
    }
}
