//! `preprocessor_config.json`.

use glyph_page_tokens::{MOST_PIXELS, SizeRules};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{MOST_PATCH_SIDE, MOST_WINDOW_SIDE, check_size, config_error, object, parse_json};
use crate::error::{ModelError, Result};

/// `preprocessor_config.json`: how an image becomes patches.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct PreprocessorConfig {
    #[serde(deserialize_with = "object")]
    size: PixelBounds,
    /// Side of a patch in px.
    pub patch_size: usize,
    /// Frames per temporal patch.
    pub temporal_patch_size: usize,
    /// Patches per side that merge into one token.
    pub merge_size: usize,
    /// Mean of each channel after scaling to 0..1.
    pub image_mean: [f32; 3],
    /// Standard deviation of each channel.
    pub image_std: [f32; 3],
    /// Steps of the reference that can be left out there, and are always done here.
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    do_convert_rgb: Option<bool>,
    /// Factor of the values 0 to 255.
    rescale_factor: Option<f64>,
    /// Filter by its number in PIL.
    resample: Option<i64>,
}

/// The reference's factor of pixel values, and how far another may be off: what rounding to f32 leaves.
const RESCALE_FACTOR: f64 = 1.0 / 255.0;
const RESCALE_TOLERANCE: f64 = 1e-9;

/// PIL's number of the bicubic filter.
const BICUBIC: i64 = 3;

/// `processor_config.json`, as far as it is about images.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProcessorConfig {
    image_processor: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct PixelBounds {
    shortest_edge: usize,
    longest_edge: usize,
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        Self {
            size: PixelBounds {
                shortest_edge: 112 * 112,
                longest_edge: 28 * 28 * 15_000,
            },
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
            do_resize: None,
            do_rescale: None,
            do_normalize: None,
            do_convert_rgb: None,
            rescale_factor: None,
            resample: None,
        }
    }
}

impl PreprocessorConfig {
    /// Parses and checks `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`crate::ModelError::Json`] when it does not parse, [`crate::ModelError::Config`] for a size, a range of pixel
    /// counts or a deviation that cannot work.
    pub fn from_json(json: &str) -> Result<Self> {
        const FILE: &str = "preprocessor_config.json";
        parse_json::<Self>(FILE, json)?.checked(FILE)
    }

    /// Parses and checks `processor_config.json`, into which newer releases of the reference save the settings of
    /// all processors; `None` where it says nothing of images, as older ones have it.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_processor_json(json: &str) -> Result<Option<Self>> {
        const FILE: &str = "processor_config.json";
        let all: ProcessorConfig = parse_json(FILE, json)?;
        let Some(section) = all.image_processor else {
            return Ok(None);
        };
        let config = serde_json::from_value::<Self>(Value::Object(section));
        let config = config.map_err(|error| ModelError::Json {
            file: FILE.to_owned(),
            reason: format!("image_processor: {error}"),
        })?;
        config.checked(FILE).map(Some)
    }

    fn checked(self, file: &str) -> Result<Self> {
        let config = self;
        for (key, value) in [
            ("patch_size", config.patch_size),
            ("temporal_patch_size", config.temporal_patch_size),
            ("merge_size", config.merge_size),
        ] {
            check_size(file, key, value, MOST_PATCH_SIDE)?;
        }
        check_size(
            file,
            "patch_size × merge_size",
            config.factor_px(),
            MOST_WINDOW_SIDE,
        )?;
        let PixelBounds {
            shortest_edge,
            longest_edge,
        } = config.size;
        if shortest_edge == 0 || shortest_edge > longest_edge || longest_edge > MOST_PIXELS {
            return Err(config_error(
                file,
                "size",
                format!("{shortest_edge} to {longest_edge}"),
                format!("must be an ascending range of pixel counts between 1 and {MOST_PIXELS}"),
            ));
        }
        config.check_steps(file)?;
        // A deviation divides; a mean that is no number would spread over every pixel.
        let (means, deviations) = (config.image_mean, config.image_std);
        if !means.iter().all(|mean| mean.is_finite()) {
            let means = format!("{means:?}");
            return Err(config_error(file, "image_mean", means, "must be finite"));
        }
        if !deviations
            .iter()
            .all(|std| *std > f32::EPSILON && std.is_finite())
        {
            let deviations = format!("{deviations:?}");
            return Err(config_error(
                file,
                "image_std",
                deviations,
                "must be positive and finite",
            ));
        }
        Ok(config)
    }

    /// Refuses what the reference can do and this cannot: pages would be read off other values than the model knows.
    fn check_steps(&self, file: &str) -> Result<()> {
        for (key, is_done) in [
            ("do_resize", self.do_resize),
            ("do_rescale", self.do_rescale),
            ("do_normalize", self.do_normalize),
            ("do_convert_rgb", self.do_convert_rgb),
        ] {
            if is_done == Some(false) {
                return Err(config_error(file, key, "false".to_owned(), "must be true"));
            }
        }
        if let Some(factor) = self.rescale_factor
            && (factor - RESCALE_FACTOR).abs() > RESCALE_TOLERANCE
        {
            return Err(config_error(
                file,
                "rescale_factor",
                factor.to_string(),
                "must be 1/255",
            ));
        }
        match self.resample {
            None | Some(BICUBIC) => Ok(()),
            Some(filter) => Err(config_error(
                file,
                "resample",
                filter.to_string(),
                "must be 3, bicubic",
            )),
        }
    }

    /// Fewest px² of all frames of one temporal patch together (`size.shortest_edge`).
    pub fn min_pixels(&self) -> usize {
        self.size.shortest_edge
    }

    /// Most px² of all frames of one temporal patch together (`size.longest_edge`).
    pub fn max_pixels(&self) -> usize {
        self.size.longest_edge
    }

    /// Patches of the largest page, to which larger ones are made smaller; only pages a window high or wide can have more.
    pub fn most_patches(&self) -> usize {
        self.max_pixels() / self.temporal_patch_size / (self.patch_size * self.patch_size)
    }

    /// What the size of an image in px follows from.
    pub fn size_rules(&self) -> SizeRules {
        SizeRules {
            patch_size: self.patch_size,
            merge_size: self.merge_size,
            temporal_patch_size: self.temporal_patch_size,
            min_pixels: self.min_pixels(),
            max_pixels: self.max_pixels(),
        }
    }

    /// The image side in px is a multiple of this.
    pub fn factor_px(&self) -> usize {
        self.patch_size * self.merge_size
    }
}
