//! Pictures as bytes, and decoding them.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use crate::error::{ModelError, Result};

/// Largest image that is decoded: an A4 page at 600 dpi has half as many pixels.
pub const MOST_DECODED_PIXELS: u64 = 1 << 26;

/// What a decoder may take beside the pixels: a row of them, and what a file carries along. A colour profile of a few
/// kilobytes can unpack to gigabytes; one that is larger than this is passed over.
const MOST_SIDE_BYTES: u64 = 32 << 20;

/// An 8-bit RGB image, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width.
    pub width_px: usize,
    /// Height.
    pub height_px: usize,
    /// `height × width × 3` bytes.
    pub rgb: Vec<u8>,
}

impl RgbImage {
    /// Wraps pixels, checking their number.
    ///
    /// # Errors
    /// [`ModelError::Image`] when a side is zero or the buffer does not hold width × height × 3 bytes.
    pub fn new(width_px: usize, height_px: usize, rgb: Vec<u8>) -> Result<Self> {
        let size = format!("{width_px}×{height_px}");
        if width_px == 0 || height_px == 0 {
            return Err(refused(format!(
                "is {size} px; both sides must be positive"
            )));
        }
        let n_bytes = width_px
            .checked_mul(height_px)
            .and_then(|n| n.checked_mul(3));
        if n_bytes != Some(rgb.len()) {
            let given = rgb.len();
            return Err(refused(format!(
                "{given} bytes do not make {size} RGB pixels"
            )));
        }
        Ok(Self {
            width_px,
            height_px,
            rgb,
        })
    }

    /// Width and height of PNG, JPEG or WebP bytes as they say; no pixel is decoded.
    ///
    /// # Errors
    /// [`ModelError::Image`] with the decoder's message.
    pub fn size_px(bytes: &[u8]) -> Result<[u32; 2]> {
        let size = reader(bytes)?.into_dimensions();
        let (width_px, height_px) = size.map_err(|error| undecodable(&error))?;
        Ok([width_px, height_px])
    }

    /// Decodes PNG, JPEG or WebP bytes; transparency shows white, as in the reference processor.
    ///
    /// # Errors
    /// [`ModelError::Image`] with the decoder's message, and for more than 2²⁶ pixels.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        // A few bytes can claim any size, so the size is read before the pixels.
        let [width_px, height_px] = Self::size_px(bytes)?;
        if u64::from(width_px) * u64::from(height_px) > MOST_DECODED_PIXELS {
            return Err(refused(format!(
                "is {width_px}×{height_px} px; at most {MOST_DECODED_PIXELS} pixels are decoded. Send it smaller"
            )));
        }
        let mut decoder = reader(bytes)?
            .into_decoder()
            .map_err(|error| undecodable(&error))?;
        // A camera that is held upright may store its rows otherwise and say so; the reference turns them too.
        let orientation = decoder.orientation().map_err(|error| undecodable(&error))?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(|error| undecodable(&error))?;
        image.apply_orientation(orientation);
        let (width_px, height_px) = (image.width() as usize, image.height() as usize);
        if !image.color().has_alpha() {
            return Self::new(width_px, height_px, image.into_rgb8().into_raw());
        }
        let image = image.into_rgba8();
        let over_white = |value: u8, alpha: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let rgb = image
            .pixels()
            .flat_map(|image::Rgba([r, g, b, a])| [r, g, b].map(|value| over_white(*value, *a)))
            .collect();
        Self::new(width_px, height_px, rgb)
    }
}

/// Reads a file of any type that is known, within bounds.
fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| undecodable(&error.into()))?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_SIDE_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn undecodable(error: &ImageError) -> ModelError {
    let advice = match error {
        ImageError::Unsupported(_) => "Send PNG, JPEG or WebP",
        _ => "The file is damaged or claims to be larger than it is: save the picture anew",
    };
    // Some decoders end their sentence, or break it into lines.
    let error = error.to_string().replace('\n', " ");
    let error = error.trim_end_matches(['.', ' ']);
    refused(format!("cannot be decoded: {error}. {advice}"))
}

/// An image by itself is the first of its request; the caller who knows better says so.
fn refused(reason: String) -> ModelError {
    ModelError::Image { index: 0, reason }
}
