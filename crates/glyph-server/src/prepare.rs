//! From a conversation to a prompt: images fetched and decoded, documents drawn.

use std::time::Instant;

use glyph_engine::Prepared;
use glyph_model::preprocess::RgbImage;
use glyph_model::prompt::{Message, Part as PromptPart};

use crate::chat::{Conversation, Part, Turn};
use crate::error::{ApiError, Code};
use crate::images::{self, ImageSource, PixelBudget, PixelHold};
use crate::state::AppState;

/// The prompt of a conversation, and what its pages take until the model has seen them.
///
/// # Errors
/// Names the part that cannot be used.
pub async fn chat(
    state: &AppState,
    conversation: Conversation,
) -> Result<(Prepared, PixelHold), ApiError> {
    let Conversation(mut turns) = conversation;
    let parts = turns.iter().flat_map(|turn| &turn.parts);
    let n_images = parts.filter(|part| matches!(part, Part::Image(..))).count();
    check_pages(state, n_images)?;
    for part in turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::Image(source, path) = part {
            fetch(state, source, path).await?;
        }
    }
    let of_work = state.clone();
    state
        .blocking(move || {
            let mut pages = Pages::new(&of_work);
            let messages = turns.into_iter().map(|turn| pages.message(turn));
            let messages = messages.collect::<Result<Vec<_>, _>>()?;
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

async fn fetch(state: &AppState, source: &mut ImageSource, path: &str) -> Result<(), ApiError> {
    let ImageSource::Remote(url) = source else {
        return Ok(());
    };
    let Some(images) = state.remote_images() else {
        let message = format!(
            "{path} is an http(s) URL, which this server does not fetch. Send the image as a data: URL, or start the \
             server with --allow-remote-images"
        );
        return Err(ApiError::of(Code::RemoteImagesDisabled, path, message));
    };
    *source = ImageSource::Bytes(images.fetch(url, path).await?);
    Ok(())
}

/// The pages of a request in order.
struct Pages<'a> {
    state: &'a AppState,
    images: Vec<RgbImage>,
    budget: PixelBudget,
}

impl<'a> Pages<'a> {
    fn new(state: &'a AppState) -> Self {
        Self {
            state,
            images: Vec::new(),
            budget: state.pixels().budget(),
        }
    }

    fn message(&mut self, turn: Turn) -> Result<Message, ApiError> {
        let mut content = Vec::with_capacity(turn.parts.len());
        for part in turn.parts {
            match part {
                Part::Text(text) => content.push(PromptPart::Text { text }),
                Part::Image(source, path) => {
                    let image = images::decode(&source, &path, &mut self.budget)?;
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

    fn draw(
        &mut self,
        renderer: &glyph_render::Renderer,
        text: &str,
        path: &str,
    ) -> Result<(), ApiError> {
        let start = Instant::now();
        let n_before = self.images.len();
        for page in renderer.pages_parallel(text) {
            // Those that follow are not drawn.
            check_pages(self.state, self.images.len() + 1)?;
            let (width_px, height_px) = (page.width_px, page.height_px);
            self.budget.take(width_px.into(), height_px.into(), path)?;
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
