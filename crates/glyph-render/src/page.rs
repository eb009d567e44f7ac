//! Finished page images.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};

use crate::crop::Finished;
use crate::gray_png;

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
    /// Every colour of the style is a gray.
    is_gray: bool,
}

/// One page of a text as a PNG file.
#[derive(Debug, Clone, PartialEq)]
pub struct PngPage {
    /// Number of the page, from 0.
    pub index: usize,
    /// Width after scaling and cropping.
    pub width_px: u32,
    /// Height after cropping.
    pub height_px: u32,
    /// The file: gray where every colour of the style is a gray, else RGB.
    pub png: Vec<u8>,
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
    pub(crate) fn new(index: usize, page: Finished, lines: Vec<PageLine>) -> Page {
        let Finished { width_px, height_px, pixels } = page;
        let is_gray = pixels.len() == width_px as usize * height_px as usize;
        let rgb = if is_gray {
            let mut rgb = vec![0; pixels.len() * 3];
            for (pixel, gray) in rgb.chunks_exact_mut(3).zip(&pixels) {
                pixel.fill(*gray);
            }
            rgb
        } else {
            pixels
        };
        Page { index, width_px, height_px, rgb, lines, is_gray }
    }

    /// Encodes the page as a PNG file: gray where every colour of the style is a gray, else RGB.
    /// [`Renderer::png_pages`](crate::Renderer::png_pages) is faster where only files are wanted.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        let size_px = (self.width_px, self.height_px);
        if self.is_gray {
            let gray: Vec<u8> = self.rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
            encode(&gray, size_px)
        } else {
            encode(&self.rgb, size_px)
        }
    }
}

impl PngPage {
    pub(crate) fn new(
        index: usize,
        page: Finished,
        lines: Vec<PageLine>,
    ) -> Result<PngPage, ImageError> {
        let Finished { width_px, height_px, pixels } = page;
        let png = encode(&pixels, (width_px, height_px))?;
        Ok(PngPage { index, width_px, height_px, png, lines })
    }
}

/// Encodes pixels of one or three channels.
fn encode(pixels: &[u8], (width_px, height_px): (u32, u32)) -> Result<Vec<u8>, ImageError> {
    if pixels.len() == width_px as usize * height_px as usize {
        return Ok(gray_png::encode(pixels, width_px, height_px));
    }
    let mut png = Vec::with_capacity(pixels.len() / 2);
    // Differences from the pixel to the left turn paper into zeros, which the fast compression is
    // made for.
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub).write_image(
        pixels,
        width_px,
        height_px,
        ExtendedColorType::Rgb8,
    )?;
    Ok(png)
}
