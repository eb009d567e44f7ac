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
//!
//! Pages stream: [`Renderer::pages`] and [`Renderer::png_pages`] draw one page when it is asked
//! for, and hold one. Where there are threads, `pages_parallel` and `png_pages_parallel` draw a few
//! pages ahead on all cores and hand them out in order:
//!
//! ```
//! use glyph_render::{FontLibrary, RenderStyle, Renderer};
//!
//! let renderer = Renderer::new(RenderStyle::official_en(), FontLibrary::bundled())?;
//! let text = "A line of a long text.\n".repeat(1000);
//! let mut bytes = 0;
//! for page in renderer.png_pages_parallel(&text) {
//!     bytes += page?.png.len();
//! }
//! assert_eq!(renderer.count_pages(&text), 13);
//! # assert!(bytes > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canvas;
mod crop;
mod fonts;
mod idle;
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
mod style_check;
mod style_json;
mod text;
mod text_png;
mod words;
mod wrap_cjk;
mod wrap_latin;

pub use fonts::{CJK_FONT, FontError, FontLibrary, FontSubstitution, MONO_FONT, SANS_FONT};
pub use idle::RenderMemory;
pub use markup::NewlineMarkup;
pub use page::{Page, PageLine, PngPage};
#[cfg(not(target_family = "wasm"))]
pub use parallel::ParallelPages;
pub use renderer::{Pages, RenderError, RenderReport, Renderer};
pub use style::{Alignment, RenderStyle, Rgb, StyleError};
pub use style_check::StyleConflict;
