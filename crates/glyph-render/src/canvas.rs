//! A page's pixels while they are drawn.

use crate::style::Rgb;

/// Pixels in one channel where every colour of the style is a gray, else in three.
pub(crate) struct Canvas {
    pub(crate) width_px: usize,
    pub(crate) height_px: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub(crate) channels: usize,
    /// Rows from the top, channels interleaved.
    pub(crate) data: Vec<u8>,
}

/// A rectangle of pixels; the right and bottom edges are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PixelRect {
    pub(crate) left: i64,
    pub(crate) top: i64,
    pub(crate) right: i64,
    pub(crate) bottom: i64,
}

/// Coverage of a glyph, one byte a pixel, placed relative to its origin.
pub(crate) struct Coverage {
    /// Pixels from the origin to the left column.
    pub(crate) left: i32,
    /// Pixels from the baseline up to the top row.
    pub(crate) top: i32,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) data: Box<[u8]>,
}

impl Canvas {
    pub(crate) fn new(width_px: u32, height_px: u32, channels: usize) -> Canvas {
        let (width_px, height_px) = (width_px as usize, height_px as usize);
        Canvas { width_px, height_px, channels, data: vec![255; width_px * height_px * channels] }
    }

    /// Fills a rectangle, cut to the page.
    pub(crate) fn fill(&mut self, rect: PixelRect, color: Rgb) {
        let clamp = |value: i64, limit: usize| value.clamp(0, limit as i64) as usize;
        let (left, right) = (clamp(rect.left, self.width_px), clamp(rect.right, self.width_px));
        let (top, bottom) = (clamp(rect.top, self.height_px), clamp(rect.bottom, self.height_px));
        if left >= right {
            return;
        }
        let pixel = [color.red, color.green, color.blue];
        for row in top..bottom {
            let start = (row * self.width_px + left) * self.channels;
            let end = (row * self.width_px + right) * self.channels;
            for target in self.data[start..end].chunks_exact_mut(self.channels) {
                target.copy_from_slice(&pixel[..self.channels]);
            }
        }
    }

    /// Draws a glyph with its origin at pixel `x`, `y`.
    pub(crate) fn draw(&mut self, glyph: &Coverage, x: i64, y: i64, color: Rgb) {
        let left = x + i64::from(glyph.left);
        let top = y - i64::from(glyph.top);
        let first_column = (-left).clamp(0, glyph.width as i64) as usize;
        let end_column = (self.width_px as i64 - left).clamp(0, glyph.width as i64) as usize;
        let first_row = (-top).clamp(0, glyph.height as i64) as usize;
        let end_row = (self.height_px as i64 - top).clamp(0, glyph.height as i64) as usize;
        if first_column >= end_column {
            return;
        }
        let pixel = [color.red, color.green, color.blue];
        for row in first_row..end_row {
            let source = &glyph.data[row * glyph.width..][first_column..end_column];
            let page_row = (top + row as i64) as usize;
            let page_column = (left + first_column as i64) as usize;
            let start = (page_row * self.width_px + page_column) * self.channels;
            let target = &mut self.data[start..start + source.len() * self.channels];
            if self.channels == 1 {
                for (under, alpha) in target.iter_mut().zip(source) {
                    *under = blend(*under, pixel[0], *alpha);
                }
            } else {
                for (under, alpha) in target.chunks_exact_mut(3).zip(source) {
                    for (under, over) in under.iter_mut().zip(pixel) {
                        *under = blend(*under, over, *alpha);
                    }
                }
            }
        }
    }
}

/// `over` upon `under` with coverage `alpha`, rounded as poppler rounds it.
#[inline]
fn blend(under: u8, over: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    let sum = (255 - alpha) * u32::from(under) + alpha * u32::from(over);
    ((sum + (sum >> 8) + 0x80) >> 8) as u8
}
