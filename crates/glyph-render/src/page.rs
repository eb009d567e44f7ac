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
    pub(crate) fn new(index: usize, page: &Finished, lines: Vec<PageLine>) -> Page {
        let Finished {
            width_px,
            height_px,
            ..
        } = *page;
        Page {
            index,
            width_px,
            height_px,
            rgb: page.to_rgb(),
            lines,
            is_gray: page.is_gray(),
        }
    }

    /// Encodes the page as a PNG file: gray where every colour of the style is a gray, else RGB.
    /// [`Renderer::png_pages`](crate::Renderer::png_pages) is faster where only files are wanted.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        if !self.is_gray {
            return encode_rgb(&self.rgb, self.width_px, self.height_px);
        }
        let gray: Vec<u8> = self.rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
        let rows = gray.chunks_exact(self.width_px as usize);
        Ok(gray_png::encode(
            rows,
            self.width_px,
            self.height_px,
            &mut Vec::new(),
        ))
    }
}

impl PngPage {
    pub(crate) fn new(
        index: usize,
        page: &Finished,
        lines: Vec<PageLine>,
        memory: &mut Vec<u8>,
    ) -> Result<PngPage, ImageError> {
        let Finished {
            width_px,
            height_px,
            ..
        } = *page;
        let png = if page.is_gray() {
            gray_png::encode(page.rows(), width_px, height_px, memory)
        } else {
            encode_rgb(&page.to_rgb(), width_px, height_px)?
        };
        Ok(PngPage {
            index,
            width_px,
            height_px,
            png,
            lines,
        })
    }
}

fn encode_rgb(rgb: &[u8], width_px: u32, height_px: u32) -> Result<Vec<u8>, ImageError> {
    let mut png = Vec::with_capacity(rgb.len() / 2);
    // Differences from the pixel to the left turn paper into zeros, which the fast compression is
    // made for.
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub).write_image(
        rgb,
        width_px,
        height_px,
        ExtendedColorType::Rgb8,
    )?;
    Ok(png)
}
