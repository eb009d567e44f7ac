//! The renderer: one style, one set of fonts, any number of texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::ImageError;

use crate::crop::{self, Finished};
use crate::fonts::{FontError, FontLibrary, FontSubstitution};
use crate::idle::{Owner, RenderMemory};
use crate::layout::{PageFlow, PageLayout};
use crate::metrics::FaceSet;
use crate::page::{Page, PageLine, PngPage};
use crate::raster::{Paint, Rasterizer};
use crate::style::{RenderStyle, Rgb, StyleError};

/// Why a renderer cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
/// Glyph images are kept between texts, in a [`RenderMemory`]. A renderer can be shared between
/// threads; a clone shares the fonts and costs little.
#[derive(Clone)]
pub struct Renderer {
    shared: Arc<Shared>,
}

/// Everything a page needs that does not change.
pub(crate) struct Shared {
    style: RenderStyle,
    faces: FaceSet,
    /// The text colour, then the markers' colours.
    colors: Vec<Rgb>,
    channels: usize,
    substitution: Option<FontSubstitution>,
    /// Has the rasterizers that no thread is using.
    memory: RenderMemory,
    owner: Owner,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.memory.forget(self.owner);
    }
}

impl Renderer {
    /// Makes a renderer with a memory of its own; the style's `font-path` must be in `fonts` or have
    /// a bundled stand-in.
    ///
    /// # Errors
    ///
    /// [`RenderError::Style`] when a value of the style cannot be used ([`RenderStyle::validate`]),
    /// [`RenderError::Font`] when the style's font is missing or a font of the library is unreadable.
    pub fn new(style: RenderStyle, fonts: FontLibrary) -> Result<Renderer, RenderError> {
        Renderer::with_memory(style, fonts, RenderMemory::default())
    }

    /// Makes a renderer that shares its memory with others.
    ///
    /// # Errors
    ///
    /// Those of [`Renderer::new`].
    pub fn with_memory(
        style: RenderStyle,
        fonts: FontLibrary,
        memory: RenderMemory,
    ) -> Result<Renderer, RenderError> {
        style.validate()?;
        let (fonts, substitution) = fonts.resolve(&style.font_path)?;
        let faces = FaceSet::new(&fonts)?;
        let colors: Vec<Rgb> = std::iter::once(style.font_color)
            .chain(style.newline_markup.colors())
            .collect();
        let backgrounds = [
            style.page_bg_color,
            style.para_bg_color,
            style.para_border_color,
        ];
        let is_gray = colors
            .iter()
            .chain(&backgrounds)
            .all(|color| color.is_gray());
        let channels = if is_gray { 1 } else { 3 };
        let shared = Shared {
            style,
            faces,
            colors,
            channels,
            substitution,
            owner: memory.owner(),
            memory,
        };
        Ok(Renderer {
            shared: Arc::new(shared),
        })
    }

    /// The style this renderer was made with.
    pub fn style(&self) -> &RenderStyle {
        &self.shared.style
    }

    /// The pages of a text, each drawn when it is asked for.
    pub fn pages<'a>(&'a self, text: &'a str) -> Pages<'a, Page> {
        self.pages_as(text, Shared::page)
    }

    /// The pages of a text as PNG files, each made when it is asked for.
    pub fn png_pages<'a>(&'a self, text: &'a str) -> Pages<'a, Result<PngPage, ImageError>> {
        self.pages_as(text, Shared::png_page)
    }

    fn pages_as<'a, T>(&'a self, text: &'a str, make: MakePage<T>) -> Pages<'a, T> {
        Pages {
            shared: &self.shared,
            flow: self.flow(text),
            rasterizer: Some(self.shared.take_rasterizer()),
            make,
            pages: 0,
        }
    }

    /// How many pages a text makes: laid out, not drawn.
    pub fn count_pages(&self, text: &str) -> usize {
        self.flow(text).count()
    }

    /// How many pages a text makes, unless `goes_on` breaks off: it is asked after each page. A single line of millions
    /// of characters takes time with the square of its length where it has a Chinese one (see docs/RENDERING.md).
    ///
    /// # Errors
    ///
    /// The number of pages so far, when it broke off; the text makes more.
    pub fn count_pages_while(
        &self,
        text: &str,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<usize, usize> {
        let mut n_pages = 0;
        for _ in self.flow(text) {
            if n_pages > 0 && !goes_on() {
                return Err(n_pages);
            }
            n_pages += 1;
        }
        Ok(n_pages)
    }

    /// The first character of a text that no font has and that would be drawn as a box, if there is
    /// one. Who can add fonts asks before drawing.
    pub fn first_missing(&self, text: &str) -> Option<char> {
        let is_drawn = |character: &char| !character.is_whitespace() && !character.is_control();
        let mut drawn = text.chars().filter(is_drawn);
        drawn.find(|character| !self.shared.faces.info(*character).covered)
    }

    pub(crate) fn flow<'a>(&'a self, text: &'a str) -> PageFlow<'a> {
        PageFlow::new(text, &self.shared.style, &self.shared.faces)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(crate) fn take_rasterizer(&self) -> Rasterizer {
        let idle = self.memory.take(self.owner);
        idle.unwrap_or_else(|| Rasterizer::new(&self.faces, &self.style))
    }

    pub(crate) fn return_rasterizer(&self, rasterizer: Rasterizer) {
        self.memory.keep(self.owner, rasterizer);
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn style(&self) -> &RenderStyle {
        &self.style
    }

    /// Draws, scales and crops one page.
    fn draw(&self, layout: &PageLayout, rasterizer: &mut Rasterizer) -> (Finished, Vec<PageLine>) {
        let paint = Paint {
            style: &self.style,
            faces: &self.faces,
            colors: &self.colors,
            channels: self.channels,
        };
        let (canvas, lines) = rasterizer.draw(layout, paint);
        (crop::finish(canvas, &self.style, layout.is_last), lines)
    }

    pub(crate) fn page(&self, layout: &PageLayout, rasterizer: &mut Rasterizer) -> Page {
        let (page, lines) = self.draw(layout, rasterizer);
        let made = Page::new(layout.index, &page, lines);
        rasterizer.memory.canvas = page.into_memory();
        made
    }

    pub(crate) fn png_page(
        &self,
        layout: &PageLayout,
        rasterizer: &mut Rasterizer,
    ) -> Result<PngPage, ImageError> {
        let (page, lines) = self.draw(layout, rasterizer);
        let made = PngPage::new(layout.index, &page, lines, &mut rasterizer.memory.png);
        rasterizer.memory.canvas = page.into_memory();
        made
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

/// How a laid-out page becomes what the caller asked for.
pub(crate) type MakePage<T> = fn(&Shared, &PageLayout, &mut Rasterizer) -> T;

/// The pages of one text, drawn one at a time: memory holds one paragraph and one page.
pub struct Pages<'a, T> {
    shared: &'a Shared,
    flow: PageFlow<'a>,
    /// Held until the iterator is dropped.
    rasterizer: Option<Rasterizer>,
    make: MakePage<T>,
    pages: u64,
}

impl<T> Pages<'_, T> {
    /// What happened so far; complete when the iterator is.
    pub fn report(&self) -> RenderReport {
        self.shared.report(&self.flow, self.pages)
    }
}

impl<T> Iterator for Pages<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let layout = self.flow.next()?;
        let rasterizer = self.rasterizer.as_mut()?;
        self.pages += 1;
        Some((self.make)(self.shared, &layout, rasterizer))
    }
}

impl<T> Drop for Pages<'_, T> {
    fn drop(&mut self) {
        if let Some(rasterizer) = self.rasterizer.take() {
            self.shared.return_rasterizer(rasterizer);
        }
    }
}
