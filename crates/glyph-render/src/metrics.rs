//! Which face draws a character and how wide it is.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use cosmic_text::skrifa::{FontRef, MetadataProvider};
use cosmic_text::{FontSystem, fontdb};

use crate::fonts::{FontError, NamedFont};
use crate::measure::pdf_number;

/// Characters per block of the lookup table.
const BLOCK: usize = 256;
/// Blocks that cover all of Unicode.
const BLOCKS: usize = 0x11_0000 / BLOCK;

/// Units per em that a font may have.
const UNITS_PER_EM: RangeInclusive<u16> = 16..=16384;

/// How one character is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CharInfo {
    /// Advance in thousandths of the font size.
    pub(crate) milli_em: f64,
    /// Advance in ems as the official page description rounds it, by which glyphs are placed.
    pub(crate) drawn_em: f64,
    /// Glyph number in its face; 0 is the face's box for missing characters.
    pub(crate) glyph: u16,
    /// Place of the face in [`FaceSet::faces`].
    pub(crate) face: u16,
    /// Whether some face has the character.
    pub(crate) covered: bool,
}

/// One face of the set, as the text engine knows it.
#[derive(Debug, Clone)]
pub(crate) struct Face {
    pub(crate) name: String,
    pub(crate) id: fontdb::ID,
    /// Weight at which a variable face shows its default outlines, the ones the official
    /// renderer embeds.
    pub(crate) weight: fontdb::Weight,
    /// Glyphs in the face.
    pub(crate) glyph_count: usize,
    /// Lowest and highest point of the face's bounding box in ems above the baseline.
    pub(crate) box_em: (f64, f64),
}

/// The faces of a renderer and a table from character to glyph and width.
pub(crate) struct FaceSet {
    pub(crate) database: fontdb::Database,
    pub(crate) faces: Vec<Face>,
    /// Block number of each run of 256 characters; block 0 holds no covered character.
    block_of: Vec<u16>,
    infos: Vec<[CharInfo; BLOCK]>,
}

impl FaceSet {
    /// Reads the character maps of `fonts`; an earlier font wins where several have a character.
    pub(crate) fn new(fonts: &[NamedFont]) -> Result<FaceSet, FontError> {
        let mut database = fontdb::Database::new();
        let mut ids = Vec::new();
        for font in fonts {
            let source = fontdb::Source::Binary(Arc::clone(&font.bytes));
            let loaded = database.load_font_source(source);
            // A collection's first face is the one that the official renderer takes.
            let id = loaded
                .first()
                .copied()
                .ok_or_else(|| FontError::Unreadable {
                    name: font.name.clone(),
                })?;
            ids.push(id);
        }
        let mut system = font_system(&database);
        let missing = CharInfo {
            milli_em: 0.0,
            drawn_em: 0.0,
            glyph: 0,
            face: 0,
            covered: false,
        };
        let mut set = FaceSet {
            database,
            faces: Vec::new(),
            block_of: vec![0; BLOCKS],
            infos: vec![[missing; BLOCK]],
        };
        for (font, id) in fonts.iter().zip(ids) {
            let unreadable = || FontError::Unreadable {
                name: font.name.clone(),
            };
            let weight = fontdb::Weight::NORMAL;
            let loaded = system.get_font(id, weight).ok_or_else(unreadable)?;
            let swash = loaded.as_swash();
            let weight_axis = swash.variations().find_by_tag(u32::from_be_bytes(*b"wght"));
            let weight = weight_axis.map_or(weight, |axis| {
                fontdb::Weight(axis.default_value().round() as u16)
            });
            let metrics = swash.metrics(&[]);
            let advances = swash.glyph_metrics(&[]);
            // Another value is damage, and would make glyphs of any size.
            if !UNITS_PER_EM.contains(&metrics.units_per_em) {
                return Err(unreadable());
            }
            let units_per_em = f64::from(metrics.units_per_em);
            // The same two roundings as the official renderer's, so that sums agree to the bit.
            let per_unit = 1000.0 / units_per_em;
            let mut widths: HashMap<u32, (f64, f64)> = HashMap::new();
            let mut width = |glyph: u16| {
                let units = advances.advance_width(glyph);
                *widths.entry(units.to_bits()).or_insert_with(|| {
                    let units = f64::from(units);
                    let milli_em = if units_per_em == 1000.0 {
                        units
                    } else {
                        units * per_unit
                    };
                    (milli_em, pdf_number(milli_em) * 0.001)
                })
            };
            let face = u16::try_from(set.faces.len())
                .map_err(|_| FontError::TooMany { count: fonts.len() })?;
            if face == 0 {
                let (milli_em, drawn_em) = width(0);
                set.infos[0] = [CharInfo {
                    milli_em,
                    drawn_em,
                    ..missing
                }; BLOCK];
            }
            let index = set.database.face(id).map_or(0, |face| face.index);
            // skrifa's list of the map: unlike swash's it has an end where a damaged map has none.
            let charmap = FontRef::from_index(loaded.data(), index)
                .map_err(|_| unreadable())?
                .charmap();
            for (code, glyph) in charmap.mappings() {
                let glyph = u16::try_from(glyph.to_u32()).unwrap_or(0);
                if glyph != 0 {
                    let (milli_em, drawn_em) = width(glyph);
                    set.insert(
                        code,
                        CharInfo {
                            milli_em,
                            drawn_em,
                            glyph,
                            face,
                            covered: true,
                        },
                    );
                }
            }
            set.faces.push(Face {
                name: font.name.clone(),
                id,
                weight,
                glyph_count: usize::from(metrics.glyph_count),
                box_em: box_em(&loaded),
            });
        }
        // The official renderer draws a no-break space as a space.
        let space = *set.info(' ');
        if space.covered {
            set.replace(0xA0, space);
        }
        Ok(set)
    }

    /// How a character is drawn.
    #[inline]
    pub(crate) fn info(&self, character: char) -> &CharInfo {
        let code = character as usize;
        &self.infos[usize::from(self.block_of[code / BLOCK])][code % BLOCK]
    }

    /// Sum of the advances of `text` in thousandths of the font size, added from left to right.
    #[inline]
    pub(crate) fn milli_em(&self, text: &str) -> f64 {
        let mut sum = 0.0;
        for character in text.chars() {
            sum += self.info(character).milli_em;
        }
        sum
    }

    fn insert(&mut self, code: u32, info: CharInfo) {
        let (block, place) = (code as usize / BLOCK, code as usize % BLOCK);
        if self.block_of[block] == 0 {
            self.block_of[block] = self.infos.len() as u16;
            self.infos.push(self.infos[0]);
        }
        let slot = &mut self.infos[usize::from(self.block_of[block])][place];
        if !slot.covered {
            *slot = info;
        }
    }

    fn replace(&mut self, code: usize, info: CharInfo) {
        let block = usize::from(self.block_of[code / BLOCK]);
        if block != 0 {
            self.infos[block][code % BLOCK] = info;
        }
    }
}

/// A text engine over `database` that looks for no system fonts.
pub(crate) fn font_system(database: &fontdb::Database) -> FontSystem {
    FontSystem::new_with_locale_and_db("en-US".to_owned(), database.clone())
}

/// Lowest and highest point of the face's bounding box in ems above the baseline.
fn box_em(font: &cosmic_text::Font) -> (f64, f64) {
    let metrics = font.metrics();
    let em = |units: f32| f64::from(units) / f64::from(metrics.units_per_em).max(1.0);
    metrics
        .bounds
        .map_or((0.0, 0.0), |bounds| (em(bounds.y_min), em(bounds.y_max)))
}
