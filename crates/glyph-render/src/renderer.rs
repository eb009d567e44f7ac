//! The renderer: one style, one set of fonts, any number of texts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::crop;
use crate::fonts::{FontError, FontLibrary, FontSubstitution};
use crate::layout::{PageFlow, PageLayout};
use crate::metrics::FaceSet;
use crate::page::Page;
use crate::raster::{Paint, Rasterizer};
use crate::style::{RenderStyle, Rgb, StyleError};

/// Why a renderer cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The style has a value that cannot be used.
    #[error(transparent)]
    Style(#[from] StyleError),
    /// A font is missing or unreadable.
    #[error(transparent)]
    Font(#[from] FontError),
}

/// What happened while a text was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RenderReport {
    /// Characters of the text that were laid out, newlines included.
    pub characters: u64,
    /// Pages that were handed out.
    pub pages: u64,
    /// Characters that no font covers, each with how often it was drawn as a box.
    pub missing_glyphs: BTreeMap<char, u64>,
    /// Fonts that stood in for the style's font for characters it lacks, each with how many
    /// characters it drew. Where they occur, lines may break elsewhere than in the official pages.
    pub borrowed_glyphs: BTreeMap<String, u64>,
    /// The bundled font that stands in for the one the style names, if one does.
    pub font_substitutions: Vec<FontSubstitution>,
}

/// Renders texts to pages in one style.
///
/// Glyph images are kept between texts. A renderer can be shared between threads; a clone shares
/// the fonts and costs little.
#[derive(Clone)]
pub struct Renderer {
    shared: Arc<Shared>,
}

/// Everything a page needs that does not change.
pub(crate) struct Shared {
    style: RenderStyle,
    faces: FaceSet,
    colors: Vec<Rgb>,
    channels: usize,
    substitution: Option<FontSubstitution>,
    /// Rasterizers that no thread is using.
    idle: Mutex<Vec<Rasterizer>>,
}

impl Renderer {
    /// Makes a renderer; the style's `font-path` must be in `fonts` or have a bundled stand-in.
    pub fn new(style: RenderStyle, fonts: FontLibrary) -> Result<Renderer, RenderError> {
        style.validate()?;
        let (fonts, substitution) = fonts.resolve(&style.font_path)?;
        let faces = FaceSet::new(&fonts)?;
        let colors: Vec<Rgb> =
            std::iter::once(style.font_color).chain(style.newline_markup.colors()).collect();
        let backgrounds = [style.page_bg_color, style.para_bg_color, style.para_border_color];
        let is_gray = colors.iter().chain(&backgrounds).all(|color| color.is_gray());
        let channels = if is_gray { 1 } else { 3 };
        let idle = Mutex::new(Vec::new());
        let shared = Shared { style, faces, colors, channels, substitution, idle };
        Ok(Renderer { shared: Arc::new(shared) })
    }

    /// The style this renderer was made with.
    pub fn style(&self) -> &RenderStyle {
        &self.shared.style
    }

    /// The pages of a text, each drawn when it is asked for.
    pub fn pages<'a>(&'a self, text: &'a str) -> Pages<'a> {
        Pages {
            shared: &self.shared,
            flow: self.flow(text),
            rasterizer: Some(self.shared.take_rasterizer()),
            pages: 0,
        }
    }

    pub(crate) fn flow<'a>(&'a self, text: &'a str) -> PageFlow<'a> {
        PageFlow::new(text, &self.shared.style, &self.shared.faces)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(crate) fn take_rasterizer(&self) -> Rasterizer {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Rasterizer::new(&self.faces))
    }

    pub(crate) fn return_rasterizer(&self, rasterizer: Rasterizer) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(rasterizer);
    }

    /// Draws, scales and crops one page.
    pub(crate) fn draw(&self, layout: &PageLayout, rasterizer: &mut Rasterizer) -> Page {
        let paint = Paint {
            style: &self.style,
            faces: &self.faces,
            colors: &self.colors,
            channels: self.channels,
        };
        let (mut canvas, lines) = rasterizer.draw(layout, paint);
        crop::finish(&mut canvas, &self.style, layout.is_last);
        Page {
            index: layout.index,
            width_px: canvas.width_px as u32,
            height_px: canvas.height_px as u32,
            rgb: match canvas.channels {
                1 => canvas.data.iter().flat_map(|gray| [*gray; 3]).collect(),
                _ => canvas.data,
            },
            lines,
        }
    }

    pub(crate) fn report(&self, flow: &PageFlow, pages: u64) -> RenderReport {
        let borrowed = self.faces.faces.iter().zip(&flow.borrowed);
        RenderReport {
            characters: flow.characters_read(),
            pages,
            missing_glyphs: flow.missing.clone(),
            borrowed_glyphs: borrowed
                .filter(|(_, count)| **count > 0)
                .map(|(face, count)| (face.name.clone(), *count))
                .collect(),
            font_substitutions: self.substitution.iter().cloned().collect(),
        }
    }
}

/// The pages of one text, drawn one at a time: memory holds one paragraph and one page.
pub struct Pages<'a> {
    shared: &'a Shared,
    flow: PageFlow<'a>,
    /// Held until the iterator is dropped.
    rasterizer: Option<Rasterizer>,
    pages: u64,
}

impl Pages<'_> {
    /// What happened so far; complete when the iterator is.
    pub fn report(&self) -> RenderReport {
        self.shared.report(&self.flow, self.pages)
    }
}

impl Iterator for Pages<'_> {
    type Item = Page;

    fn next(&mut self) -> Option<Page> {
        let layout = self.flow.next()?;
        let rasterizer = self.rasterizer.as_mut()?;
        self.pages += 1;
        Some(self.shared.draw(&layout, rasterizer))
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        if let Some(rasterizer) = self.rasterizer.take() {
            self.shared.return_rasterizer(rasterizer);
        }
    }
}
