//! The font files, each fetched once, when it is first needed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture, Shared};
use glyph_render::{CJK_FONT, FontLibrary, MONO_FONT, SANS_FONT};
use glyph_web_core::messages::FontFile;
use glyph_worker::fetch_bytes;

use crate::error::RenderFailure;

/// Fonts that every text may need, in the order of the native library: which font helps out for a
/// character follows from it.
const ALWAYS: [&str; 2] = [SANS_FONT, MONO_FONT];

/// A fetch that every drawing waits for that needs the font.
type Fetching = Shared<LocalBoxFuture<'static, Result<(), RenderFailure>>>;

/// What has been fetched and what is being fetched.
#[derive(Clone)]
pub struct Fonts {
    shelf: Rc<RefCell<Shelf>>,
}

struct Shelf {
    library: FontLibrary,
    under_way: BTreeMap<String, Fetching>,
}

impl Default for Fonts {
    fn default() -> Self {
        let shelf = Shelf {
            library: FontLibrary::empty(),
            under_way: BTreeMap::new(),
        };
        Self {
            shelf: Rc::new(RefCell::new(shelf)),
        }
    }
}

impl Fonts {
    /// The fonts at hand.
    pub fn library(&self) -> FontLibrary {
        self.shelf.borrow().library.clone()
    }

    /// Fetches the fonts that every text needs.
    pub async fn fetch_always(&self, files: &[FontFile]) -> Result<(), RenderFailure> {
        for name in ALWAYS {
            self.fetch(files, name).await?;
        }
        Ok(())
    }

    /// Whether the Chinese and Japanese font is at hand.
    pub fn has_cjk(&self) -> bool {
        self.has(CJK_FONT)
    }

    /// Fetches the Chinese and Japanese font.
    pub async fn fetch_cjk(&self, files: &[FontFile]) -> Result<(), RenderFailure> {
        self.fetch(files, CJK_FONT).await
    }

    fn has(&self, name: &str) -> bool {
        let shelf = self.shelf.borrow();
        shelf.library.names().any(|known| known == name)
    }

    async fn fetch(&self, files: &[FontFile], name: &str) -> Result<(), RenderFailure> {
        if self.has(name) {
            return Ok(());
        }
        let under_way = self.shelf.borrow().under_way.get(name).cloned();
        let fetching = match under_way {
            Some(fetching) => fetching,
            None => self.start(files, name)?,
        };
        fetching.await
    }

    fn start(&self, files: &[FontFile], name: &str) -> Result<Fetching, RenderFailure> {
        let file = files.iter().find(|file| file.name == name).cloned();
        let file = file.ok_or_else(|| RenderFailure::Font {
            name: name.to_owned(),
            reason: "the list of fonts beside the page lacks it. Build the page again".to_owned(),
        })?;
        let fonts = self.clone();
        let fetching = async move {
            let bytes = fetch_bytes(&file.url).await;
            let mut shelf = fonts.shelf.borrow_mut();
            // Where it has failed, the next drawing tries again.
            shelf.under_way.remove(&file.name);
            let added = shelf.library.add_font(&file.name, bytes?);
            added.map_err(|error| RenderFailure::Font {
                name: file.name.clone(),
                reason: format!("{}: {error}", file.url),
            })
        };
        let fetching = fetching.boxed_local().shared();
        let mut shelf = self.shelf.borrow_mut();
        shelf.under_way.insert(name.to_owned(), fetching.clone());
        Ok(fetching)
    }
}
