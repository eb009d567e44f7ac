//! From messages and pictures to what the engine takes, on the caller's thread.

use burn::tensor::Tensor;
use glyph_model::ModelError;
use glyph_model::checkpoint::CheckpointSettings;
use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::{PatchGrid, RgbImage, resize_bicubic, smart_resize};
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
    /// Its patches.
    pub grid: PatchGrid,
    /// Pixels that the model is given of it. A small or narrow page is enlarged for it.
    pub resized_pixels: u64,
}

/// Tokens of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptTokens {
    /// Of text and template.
    pub text: usize,
    /// Of pages and pictures.
    pub image: usize,
}

/// A page of a prompt, of the size that the model sees.
#[derive(Debug)]
pub struct Page {
    pub(crate) key: PageKey,
    pub(crate) grid: PatchGrid,
    pub(crate) source: PageSource,
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
    /// They are to be computed from these, which are cut into patches when the page's turn has come: patches take four
    /// times as much. A page whose features the cache has keeps its pixels too, because the cache may give them up
    /// while the request waits, and a request that waits holds none itself: the memory plan has room for those of
    /// requests that run.
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

impl Page {
    /// Resizes a picture to what the model sees of it.
    pub(crate) fn new(
        preprocessor: &PreprocessorConfig,
        cache: &VisionCache,
        image: RgbImage,
    ) -> Result<Self, EngineError> {
        let key = cache.key(&image);
        let size_px = [image.width_px, image.height_px];
        let (resized_px, grid) = resized(size_px, preprocessor)?;
        let [width_px, height_px] = resized_px;
        let mut image = if resized_px == size_px {
            image
        } else {
            resize_bicubic(&image, width_px, height_px)
        };
        // What decoded or drew it may have taken more than it needed.
        image.rgb.shrink_to_fit();
        Ok(Self {
            key,
            grid,
            source: PageSource::Pixels(image),
        })
    }

    /// Bytes that it takes while its request waits.
    pub fn n_bytes(&self) -> usize {
        match &self.source {
            PageSource::Pixels(image) => image.rgb.len(),
            PageSource::Features(_) => 0,
        }
    }
}

/// Width and height that a picture is resized to, and the patches of that.
pub(crate) fn resized(
    [width_px, height_px]: [usize; 2],
    preprocessor: &PreprocessorConfig,
) -> Result<([usize; 2], PatchGrid), ModelError> {
    let (height_px, width_px) = smart_resize(height_px, width_px, preprocessor)
        .map_err(|reason| ModelError::Image { index: 0, reason })?;
    let side_px = preprocessor.patch_size;
    let grid = PatchGrid {
        rows: height_px / side_px,
        columns: width_px / side_px,
    };
    Ok(([width_px, height_px], grid))
}

/// The prompt of a conversation about pages.
pub(crate) fn chat(
    settings: &CheckpointSettings,
    context_tokens: usize,
    messages: &[Message],
    grids: &[PatchGrid],
) -> Result<Prompt, EngineError> {
    let text = settings.encoder.template.render(messages, true)?;
    check_length(settings, context_tokens, &text)?;
    prompt(settings, &text, grids)
}

/// The tokens of a conversation about pages, also of one that exceeds the context.
pub(crate) fn count(
    settings: &CheckpointSettings,
    context_tokens: usize,
    messages: &[Message],
    grids: &[PatchGrid],
) -> Result<PromptTokens, EngineError> {
    let encoder = &settings.encoder;
    let text = encoder.template.render(messages, true)?;
    if encoder.tokenizer.surely_exceeds(&text, context_tokens)? {
        let of_pages = grids.iter().map(|grid| grid.n_tokens(encoder.merge_size));
        return Ok(PromptTokens {
            // One token of the text stands for each page.
            text: encoder.tokenizer.count(&text)?.saturating_sub(grids.len()),
            image: of_pages.sum(),
        });
    }
    let prompt = prompt(settings, &text, grids)?;
    Ok(PromptTokens {
        text: prompt.n_text_tokens(),
        image: prompt.n_image_tokens(),
    })
}

/// A text to go on with, without template.
pub(crate) fn text(
    settings: &CheckpointSettings,
    context_tokens: usize,
    text: &str,
) -> Result<Prepared, EngineError> {
    check_length(settings, context_tokens, text)?;
    Ok(Prepared {
        prompt: prompt(settings, text, &[])?,
        pages: Vec::new(),
    })
}

/// Refuses a text that is too long in any case before it is tokenised whole, which takes many times its length in memory.
fn check_length(
    settings: &CheckpointSettings,
    context_tokens: usize,
    text: &str,
) -> Result<(), EngineError> {
    let tokenizer = &settings.encoder.tokenizer;
    if tokenizer.surely_exceeds(text, context_tokens)? {
        return Err(EngineError::TextTooLong {
            text_bytes: text.len(),
            context_tokens,
        });
    }
    Ok(())
}

fn prompt(
    settings: &CheckpointSettings,
    text: &str,
    grids: &[PatchGrid],
) -> Result<Prompt, EngineError> {
    let encoder = &settings.encoder;
    let prompt = encoder.expand(&encoder.tokenizer.encode(text)?, grids)?;
    check_ids(settings, &prompt.ids)?;
    Ok(prompt)
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
