//! A finished page image.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};

/// One page of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Number of the page, from 0.
    pub index: usize,
    /// Width after scaling and cropping.
    pub width_px: u32,
    /// Height after cropping.
    pub height_px: u32,
    /// Pixels, `[height_px, width_px, 3]`, rows from the top, red, green, blue.
    pub rgb: Vec<u8>,
    /// The lines that were drawn, from the top.
    pub lines: Vec<PageLine>,
}

/// A line of text on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct PageLine {
    /// The characters as drawn, newline markers included; runs of spaces are no-break spaces.
    pub text: String,
    /// Left end of the baseline, from the page's left edge.
    pub x_px: f32,
    /// The baseline, from the page's top edge.
    pub baseline_px: f32,
    /// Sum of the advances.
    pub width_px: f32,
}

impl Page {
    /// Encodes the page as a PNG file: gray where every pixel is gray, else RGB.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        let gray = self.gray();
        let (data, color) = match &gray {
            Some(gray) => (gray.as_slice(), ExtendedColorType::L8),
            None => (self.rgb.as_slice(), ExtendedColorType::Rgb8),
        };
        let mut png = Vec::with_capacity(data.len() / 4);
        PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::NoFilter)
            .write_image(data, self.width_px, self.height_px, color)?;
        Ok(png)
    }

    /// One byte a pixel, if no pixel has a hue.
    fn gray(&self) -> Option<Vec<u8>> {
        let pixels = self.rgb.chunks_exact(3);
        let mut gray = Vec::with_capacity(self.rgb.len() / 3);
        for row in self.rgb.chunks(self.width_px as usize * 3) {
            let has_hue = row.chunks_exact(3).any(|p| p[0] != p[1] || p[1] != p[2]);
            if has_hue {
                return None;
            }
            gray.extend(row.chunks_exact(3).map(|pixel| pixel[0]));
        }
        debug_assert_eq!(gray.len(), pixels.len());
        Some(gray)
    }
}
