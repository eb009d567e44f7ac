//! From messages and pictures to what the engine takes, on the caller's thread.

use burn::tensor::Tensor;
use glyph_model::ModelError;
use glyph_model::checkpoint::CheckpointSettings;
use glyph_model::preprocess::{ImagePatches, PatchGrid, RgbImage, image_patches};
use glyph_model::prompt::{Message, Prompt};

use crate::error::EngineError;
use crate::vision_cache::{PageKey, VisionCache};

/// A prompt and its pages, checked against the model.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) prompt: Prompt,
    pub(crate) pages: Vec<Page>,
}

/// What a page of some size takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedPage {
    /// Its tokens with those of the pages before it.
    pub n_tokens: usize,
    /// Pixels that the model is given of it. A small or narrow page is enlarged for it.
    pub resized_pixels: u64,
}

/// A page of a prompt.
#[derive(Debug)]
pub(crate) struct Page {
    pub key: PageKey,
    pub grid: PatchGrid,
    pub source: PageSource,
}

/// Where a page's features come from.
#[expect(
    clippy::large_enum_variant,
    reason = "there are few pages, and a tensor is a handle already"
)]
#[derive(Debug)]
pub(crate) enum PageSource {
    /// They have come, and stay alive with the request, which runs.
    Features(Tensor<2>),
    /// They are to be computed from these.
    Patches(ImagePatches),
    /// The cache had them when the request was prepared. A request that waits holds none: the memory plan has room for
    /// those of requests that run. What the cache gives up meanwhile is computed from these.
    Pixels(RgbImage),
}

impl Prepared {
    /// Tokens of text and template.
    pub fn n_text_tokens(&self) -> usize {
        self.prompt.n_text_tokens()
    }

    /// Tokens of pages and pictures.
    pub fn n_image_tokens(&self) -> usize {
        self.prompt.n_image_tokens()
    }

    /// Pages and pictures.
    pub fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// Patches of the largest page.
    pub(crate) fn largest_page_patches(&self) -> usize {
        let patches = self.pages.iter().map(|page| page.grid.n_patches());
        patches.max().unwrap_or(0)
    }
}

/// A conversation about images.
pub(crate) fn chat(
    settings: &CheckpointSettings,
    cache: &VisionCache,
    messages: &[Message],
    images: &[RgbImage],
) -> Result<Prepared, EngineError> {
    let pages = images
        .iter()
        .enumerate()
        .map(|(index, image)| page(settings, cache, index, image))
        .collect::<Result<Vec<_>, EngineError>>()?;
    let grids: Vec<PatchGrid> = pages.iter().map(|page| page.grid).collect();
    let prompt = settings.encoder.encode(messages, &grids)?;
    check_ids(settings, &prompt.ids)?;
    Ok(Prepared { prompt, pages })
}

/// A text to go on with, without template.
pub(crate) fn text(settings: &CheckpointSettings, text: &str) -> Result<Prepared, EngineError> {
    let encoder = &settings.encoder;
    let prompt = encoder.expand(&encoder.tokenizer.encode(text)?, &[])?;
    check_ids(settings, &prompt.ids)?;
    Ok(Prepared {
        prompt,
        pages: Vec::new(),
    })
}

fn page(
    settings: &CheckpointSettings,
    cache: &VisionCache,
    index: usize,
    image: &RgbImage,
) -> Result<Page, EngineError> {
    let key = cache.key(image);
    if let Some(grid) = cache.grid(&key) {
        let source = PageSource::Pixels(image.clone());
        return Ok(Page { key, grid, source });
    }
    let patches = image_patches(image, &settings.preprocessor)
        .map_err(|reason| ModelError::Image { index, reason })?;
    Ok(Page {
        key,
        grid: patches.grid,
        source: PageSource::Patches(patches),
    })
}

fn check_ids(settings: &CheckpointSettings, ids: &[u32]) -> Result<(), EngineError> {
    let vocab_size = settings.config.text_config.vocab_size;
    if ids.is_empty() {
        return Err(ModelError::Parameter {
            name: "prompt",
            value: "0 tokens".to_owned(),
            reason: "must not be empty",
        }
        .into());
    }
    match ids.iter().find(|id| **id as usize >= vocab_size) {
        Some(id) => Err(ModelError::UnknownToken {
            id: *id,
            vocab_size,
        }
        .into()),
        None => Ok(()),
    }
}
