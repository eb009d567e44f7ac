//! The font files, each fetched once, when it is first needed.

use std::cell::RefCell;

use glyph_render::{CJK_FONT, FontLibrary, MONO_FONT, SANS_FONT};
use glyph_web_core::messages::FontFile;
use glyph_worker::fetch_bytes;

/// Fonts that every text may need, in the order of the native library: which font helps out for a
/// character follows from it.
const ALWAYS: [&str; 2] = [SANS_FONT, MONO_FONT];

/// What has been fetched.
pub struct Fonts {
    library: FontLibrary,
}

impl Default for Fonts {
    fn default() -> Self {
        Self {
            library: FontLibrary::empty(),
        }
    }
}

impl Fonts {
    /// The fonts at hand.
    pub fn library(&self) -> FontLibrary {
        self.library.clone()
    }

    fn has(&self, name: &str) -> bool {
        self.library.names().any(|known| known == name)
    }
}

/// Fetches the fonts that every text needs.
pub async fn fetch_always(fonts: &RefCell<Fonts>, files: &[FontFile]) -> Result<(), String> {
    for name in ALWAYS {
        fetch(fonts, files, name).await?;
    }
    Ok(())
}

/// Fetches the Chinese and Japanese font; says whether it was not there before.
pub async fn fetch_cjk(fonts: &RefCell<Fonts>, files: &[FontFile]) -> Result<bool, String> {
    fetch(fonts, files, CJK_FONT).await
}

async fn fetch(fonts: &RefCell<Fonts>, files: &[FontFile], name: &str) -> Result<bool, String> {
    if fonts.borrow().has(name) {
        return Ok(false);
    }
    let file = files.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| format!("the page's list of fonts lacks {name}"))?;
    let bytes = fetch_bytes(&file.url).await?;
    let mut fonts = fonts.borrow_mut();
    // Another request may have fetched it meanwhile.
    if fonts.has(name) {
        return Ok(false);
    }
    let added = fonts.library.add_font(name, bytes);
    added.map_err(|error| format!("{}: {error}", file.url))?;
    Ok(true)
}
