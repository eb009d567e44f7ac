//! The fonts a renderer may use: the bundled faces and any that the caller adds.

use std::sync::Arc;

use cosmic_text::fontdb;

/// Bundled proportional Latin face with Verdana's proportions.
pub const SANS_FONT: &str = "DejaVuSans.ttf";
/// Bundled monospaced face.
pub const MONO_FONT: &str = "DejaVuSansMono.ttf";
/// Bundled Chinese and Japanese face with half-width Latin.
pub const CJK_FONT: &str = "NotoSansMonoCJKsc-Subset.ttf";

/// Font data shared between the renderers of several threads.
pub(crate) type FontBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Why a font cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FontError {
    /// The bytes are not a TrueType or OpenType font.
    #[error(
        "{name} is not a TrueType or OpenType font that can be read; take another file, or a bundled font: \
         {SANS_FONT}, {MONO_FONT} or {CJK_FONT}"
    )]
    Unreadable {
        /// Name under which the font was added.
        name: String,
    },
    /// No font of the library answers to the style's `font-path`.
    #[error(
        "the style's font-path {requested} is not in the font library, which holds {}; \
         add the font file or name one that it holds",
        list(available)
    )]
    NotFound {
        /// The style's `font-path`.
        requested: String,
        /// Names of the fonts at hand.
        available: Vec<String>,
    },
    /// The library holds more fonts than a renderer can number.
    #[error("the font library holds {count} fonts; take out all but 65536 of them")]
    TooMany {
        /// Fonts in the library.
        count: usize,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no font".to_owned();
    }
    names.join(", ")
}

/// A font that stands in for the one a style asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FontSubstitution {
    /// The style's `font-path`.
    pub requested: String,
    /// The font that is used instead.
    pub used: String,
}

/// Named fonts in order of preference: the style's own first, then the others for the characters
/// that it lacks.
#[derive(Clone)]
pub struct FontLibrary {
    fonts: Vec<NamedFont>,
}

#[derive(Clone)]
pub(crate) struct NamedFont {
    pub(crate) name: String,
    pub(crate) bytes: FontBytes,
}

impl FontLibrary {
    /// The faces that ship with this crate (cargo feature `bundled-fonts`).
    #[cfg(feature = "bundled-fonts")]
    pub fn bundled() -> FontLibrary {
        let font = |name: &str, bytes: &'static [u8]| NamedFont {
            name: name.to_owned(),
            bytes: Arc::new(bytes),
        };
        FontLibrary {
            fonts: vec![
                font(SANS_FONT, include_bytes!("../fonts/DejaVuSans.ttf")),
                font(MONO_FONT, include_bytes!("../fonts/DejaVuSansMono.ttf")),
                font(
                    CJK_FONT,
                    include_bytes!("../fonts/NotoSansMonoCJKsc-Subset.ttf"),
                ),
            ],
        }
    }

    /// A library without fonts.
    pub fn empty() -> FontLibrary {
        FontLibrary { fonts: Vec::new() }
    }

    /// Adds a font file's bytes under the name that styles use: its path or its file name.
    /// A font of the same name is replaced.
    ///
    /// # Errors
    ///
    /// [`FontError::Unreadable`] when the bytes are not a font.
    pub fn add_font(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), FontError> {
        let bytes: FontBytes = Arc::new(bytes);
        let mut database = fontdb::Database::new();
        if database
            .load_font_source(fontdb::Source::Binary(Arc::clone(&bytes)))
            .is_empty()
        {
            return Err(FontError::Unreadable {
                name: name.to_owned(),
            });
        }
        self.fonts.retain(|font| font.name != name);
        self.fonts.push(NamedFont {
            name: name.to_owned(),
            bytes,
        });
        Ok(())
    }

    /// Names of the fonts, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fonts.iter().map(|font| font.name.as_str())
    }

    /// Whether a style with this `font-path` needs no further font file: the font is here, or a
    /// bundled face stands in for it.
    pub fn resolves(&self, font_path: &str) -> bool {
        self.resolve(font_path).is_ok()
    }

    /// All fonts with the one for `font_path` first, and the substitution if there was one.
    pub(crate) fn resolve(
        &self,
        font_path: &str,
    ) -> Result<(Vec<NamedFont>, Option<FontSubstitution>), FontError> {
        let file_name = file_name(font_path);
        let by_name = |wanted: &str| self.fonts.iter().position(|font| font.name == wanted);
        let by_file_name = || {
            self.fonts
                .iter()
                .position(|font| self::file_name(&font.name) == file_name)
        };
        let exact = by_name(font_path).or_else(by_file_name);
        let stand_in = || stand_in(file_name).and_then(by_name);
        let Some(main) = exact.or_else(stand_in) else {
            return Err(FontError::NotFound {
                requested: font_path.to_owned(),
                available: self.names().map(str::to_owned).collect(),
            });
        };
        let mut fonts = self.fonts.clone();
        let main = fonts.remove(main);
        let substitution = exact.is_none().then(|| FontSubstitution {
            requested: font_path.to_owned(),
            used: main.name.clone(),
        });
        fonts.insert(0, main);
        Ok((fonts, substitution))
    }
}

/// The last part of a path with either kind of separator.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The bundled face for a font that the official configurations name and that does not ship here.
fn stand_in(file_name: &str) -> Option<&'static str> {
    let name = file_name.to_ascii_lowercase();
    if name.starts_with("verdana") {
        return Some(SANS_FONT);
    }
    let is_cjk = name.starts_with("sourcehansans") || name.starts_with("notosanscjk");
    is_cjk.then_some(CJK_FONT)
}
