//! Finished page images.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::error::{ParameterError, ParameterErrorKind};
use image::{ExtendedColorType, ImageEncoder, ImageError};

use crate::crop::Finished;
use crate::text_png;

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
    ///
    /// # Errors
    ///
    /// When `rgb` was changed and does not hold `width_px` times `height_px` pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        let size_px = (self.width_px, self.height_px);
        let (width, height) = (self.width_px as usize, self.height_px as usize);
        let expected = width
            .checked_mul(height)
            .and_then(|size| size.checked_mul(3));
        if width == 0 || expected != Some(self.rgb.len()) {
            return Err(ImageError::Parameter(ParameterError::from_kind(
                ParameterErrorKind::DimensionMismatch,
            )));
        }
        let memory = &mut Vec::new();
        if self.is_gray {
            let gray: Vec<u8> = self.rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
            encode(gray.chunks_exact(width), size_px, 1, memory)
        } else {
            encode(self.rgb.chunks_exact(width * 3), size_px, 3, memory)
        }
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
        let png = encode(page.rows(), (width_px, height_px), page.channels(), memory)?;
        Ok(PngPage {
            index,
            width_px,
            height_px,
            png,
            lines,
        })
    }
}

/// Encodes rows of pixels with one or three bytes each.
fn encode<'a>(
    rows: impl Iterator<Item = &'a [u8]> + Clone,
    size_px: (u32, u32),
    channels: usize,
    memory: &mut Vec<u8>,
) -> Result<Vec<u8>, ImageError> {
    let paper = paper(rows.clone(), channels);
    if let [value, others @ ..] = paper
        && others.iter().all(|other| other == value)
    {
        return Ok(text_png::encode(rows, size_px, channels, *value, memory));
    }
    // On coloured paper, differences from the pixel to the left turn paper into zeros.
    let rgb: Vec<u8> = rows.flatten().copied().collect();
    let mut png = Vec::with_capacity(rgb.len() / 2);
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub).write_image(
        &rgb,
        size_px.0,
        size_px.1,
        ExtendedColorType::Rgb8,
    )?;
    Ok(png)
}

/// The pixel that most of a page consists of, by a majority vote of some. Where none has the
/// majority it is any; the file is larger then, and as right.
fn paper<'a>(rows: impl Iterator<Item = &'a [u8]>, channels: usize) -> &'a [u8] {
    /// Distance of the pixels that vote, both ways: a prime, so that few line heights and column
    /// widths meet it.
    const STEP_PX: usize = 23;
    let pixels = rows
        .step_by(STEP_PX)
        .flat_map(|row| row.chunks_exact(channels).step_by(STEP_PX));
    let (mut winner, mut votes): (&[u8], usize) = (&[], 0);
    for pixel in pixels {
        if votes == 0 {
            winner = pixel;
        }
        if pixel == winner {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    winner
}
