//! What rendering could not do as asked, for JSON and for standard error.

use std::time::{Duration, Instant};

use glyph_render::{RenderReport, Renderer};
use serde::Serialize;

use crate::output;

/// Most characters that a note lists.
const MOST_LISTED: usize = 20;

/// Characters and fonts that were not drawn as the style says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RenderNotes {
    /// Characters that no font has; each was drawn as a box.
    pub missing_glyphs: Vec<MissingGlyph>,
    /// Fonts that drew what the style's font lacks.
    pub borrowed_glyphs: Vec<BorrowedGlyphs>,
    /// Fonts that stand in for the style's font.
    pub font_substitutions: Vec<Substitution>,
}

/// A character that no font has.
#[derive(Debug, Clone, Serialize)]
pub struct MissingGlyph {
    /// The character.
    pub character: char,
    /// How often it stands in the text.
    pub count: u64,
}

/// Characters drawn with another font.
#[derive(Debug, Clone, Serialize)]
pub struct BorrowedGlyphs {
    /// The font.
    pub font: String,
    /// How many characters it drew.
    pub count: u64,
}

/// A font in place of another.
#[derive(Debug, Clone, Serialize)]
pub struct Substitution {
    /// The style's `font-path`.
    pub requested: String,
    /// The bundled font.
    pub used: String,
}

impl RenderNotes {
    /// From a finished rendering.
    pub fn new(report: RenderReport) -> Self {
        let missing = report.missing_glyphs.into_iter();
        let borrowed = report.borrowed_glyphs.into_iter();
        let substitutions = report.font_substitutions.into_iter();
        Self {
            missing_glyphs: missing
                .map(|(character, count)| MissingGlyph { character, count })
                .collect(),
            borrowed_glyphs: borrowed
                .map(|(font, count)| BorrowedGlyphs { font, count })
                .collect(),
            font_substitutions: substitutions
                .map(|font| Substitution {
                    requested: font.requested,
                    used: font.used,
                })
                .collect(),
        }
    }

    /// Says on standard error what a reader of the pages would not expect.
    pub fn print(&self) {
        for Substitution { requested, used } in &self.font_substitutions {
            output::note(&format!(
                "note: {used} stands in for {requested}; put that file beside a --style file to use it"
            ));
        }
        if let Some(list) = self.missing_list() {
            let n: u64 = self
                .missing_glyphs
                .iter()
                .map(|missing| missing.count)
                .sum();
            output::note(&format!(
                "note: {n} characters are in no font and were drawn as boxes: {list}"
            ));
        }
    }

    fn missing_list(&self) -> Option<String> {
        let name = |MissingGlyph { character, count }: &MissingGlyph| {
            let code = format!("U+{:04X} ×{count}", u32::from(*character));
            if character.is_control() {
                code
            } else {
                format!("{character} {code}")
            }
        };
        let mut names: Vec<String> = self
            .missing_glyphs
            .iter()
            .take(MOST_LISTED)
            .map(name)
            .collect();
        if self.missing_glyphs.len() > MOST_LISTED {
            names.push(format!(
                "and {} more",
                self.missing_glyphs.len() - MOST_LISTED
            ));
        }
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// `count / divisor`, or nothing where that is no figure.
pub fn ratio(count: f64, divisor: f64) -> Option<f64> {
    (divisor > 0.0 && count.is_finite()).then(|| count / divisor)
}

/// Seconds that `work` takes, added to `total_s`.
pub fn timed<T>(total_s: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *total_s += start.elapsed().as_secs_f64();
    result
}

/// How long pages are counted that are only to be told of. Most texts of a hundred megabytes take less.
const LONGEST_COUNT: Duration = Duration::from_secs(2);

/// How many pages a text makes.
///
/// # Errors
/// As many as were counted when that took too long; the text makes more.
pub fn count_pages(renderer: &Renderer, text: &str) -> Result<usize, usize> {
    let start = Instant::now();
    renderer.count_pages_while(text, || start.elapsed() < LONGEST_COUNT)
}

/// A number of pages with its noun.
pub fn count_of_pages(n: usize) -> String {
    if n == 1 {
        "1 page".to_owned()
    } else {
        format!("{n} pages")
    }
}
