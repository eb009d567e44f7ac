//! Renders long text to the page images that the Glyph vision-language model reads.
//!
//! The pages are those of the official renderer (reportlab and poppler): the same configuration
//! keys, line breaks, page breaks, cropping and newline markers. Line breaking follows reportlab's
//! arithmetic on the fonts' own advance widths; glyph images come from cosmic-text.
//!
//! ```
//! use glyph_render::{FontLibrary, RenderStyle, Renderer};
//!
//! let renderer = Renderer::new(RenderStyle::official_en(), FontLibrary::bundled())?;
//! let mut pages = renderer.pages("A long text.\nIts second line.");
//! let page = pages.next().ok_or("a text has at least one page")?;
//! assert_eq!(page.lines[1].text, "Its second line.");
//! assert!(pages.report().missing_glyphs.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canvas;
mod crop;
mod fonts;
mod gray_png;
mod layout;
mod markup;
mod measure;
mod metrics;
mod page;
#[cfg(not(target_family = "wasm"))]
mod parallel;
mod raster;
mod renderer;
mod style;
mod style_json;
mod text;
mod words;
mod wrap_cjk;
mod wrap_latin;

pub use fonts::{CJK_FONT, FontError, FontLibrary, FontSubstitution, MONO_FONT, SANS_FONT};
pub use markup::NewlineMarkup;
pub use page::{Page, PageLine, PngPage};
#[cfg(not(target_family = "wasm"))]
pub use parallel::ParallelPages;
pub use renderer::{Pages, RenderError, RenderReport, Renderer};
pub use style::{Alignment, RenderStyle, Rgb, StyleError};
