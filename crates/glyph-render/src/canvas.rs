//! A page's pixels while they are drawn.

use crate::style::Rgb;

/// Pixels in one channel where every colour of the style is a gray, else in three.
pub(crate) struct Canvas {
    pub(crate) width_px: usize,
    pub(crate) height_px: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub(crate) channels: usize,
    /// Rows from the top, channels interleaved.
    data: Vec<u8>,
}

/// A rectangle of pixels; the right and bottom edges are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PixelRect {
    pub(crate) left: i64,
    pub(crate) top: i64,
    pub(crate) right: i64,
    pub(crate) bottom: i64,
}

/// Coverage of a glyph, placed relative to its origin on canvases of one size.
pub(crate) struct Coverage {
    /// Pixels from the origin to the left column.
    left: i64,
    /// Pixels from the baseline up to the top row.
    top: i64,
    width_px: usize,
    height_px: usize,
    /// The covered pixels: byte offset in the canvas from the top left pixel, and coverage.
    dots: Vec<(u32, u8)>,
}

impl Coverage {
    /// Takes one byte a pixel, rows from the top, for a canvas of `canvas_width_px`.
    pub(crate) fn new(
        (left, top): (i32, i32),
        (width_px, height_px): (u32, u32),
        mask: &[u8],
        canvas_width_px: u32,
        channels: usize,
    ) -> Coverage {
        let (width_px, height_px) = (width_px as usize, height_px as usize);
        let dots = mask.iter().enumerate().filter(|(_, alpha)| **alpha > 0);
        let offset = |place: usize| {
            let (row, column) = (place / width_px, place % width_px);
            ((row * canvas_width_px as usize + column) * channels) as u32
        };
        Coverage {
            left: i64::from(left),
            top: i64::from(top),
            width_px,
            height_px,
            dots: dots.map(|(place, alpha)| (offset(place), *alpha)).collect(),
        }
    }
}

impl Canvas {
    pub(crate) fn new(width_px: u32, height_px: u32, channels: usize) -> Canvas {
        let (width_px, height_px) = (width_px as usize, height_px as usize);
        Canvas { width_px, height_px, channels, data: vec![255; width_px * height_px * channels] }
    }

    /// Bytes of a row.
    fn stride(&self) -> usize {
        self.width_px * self.channels
    }

    /// The pixels of each row, from the top.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.data.chunks_exact(self.stride())
    }

    /// The pixels of each row, from the top.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let stride = self.stride();
        self.data.chunks_exact_mut(stride)
    }

    /// The pixels of the top left part of the canvas, without gaps between rows.
    pub(crate) fn into_pixels(mut self, width_px: usize, height_px: usize) -> Vec<u8> {
        let (stride, width) = (self.stride(), width_px * self.channels);
        if width < stride {
            for row in 1..height_px {
                let start = row * stride;
                self.data.copy_within(start..start + width, row * width);
            }
        }
        self.data.truncate(width * height_px);
        self.data
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
        let channels = self.channels;
        for row in self.rows_mut().take(bottom).skip(top) {
            for target in row[left * channels..right * channels].chunks_exact_mut(channels) {
                target.copy_from_slice(&pixel[..channels]);
            }
        }
    }

    /// Draws a glyph with its origin at pixel `x`, `y`, cut to the page.
    #[inline]
    pub(crate) fn draw(&mut self, glyph: &Coverage, x: i64, y: i64, color: Rgb) {
        let left = x + glyph.left;
        let top = y - glyph.top;
        let is_inside = left >= 0
            && top >= 0
            && left as usize + glyph.width_px <= self.width_px
            && top as usize + glyph.height_px <= self.height_px;
        if !is_inside {
            return self.draw_cut(glyph, left, top, color);
        }
        let start = top as usize * self.stride() + left as usize * self.channels;
        let target = &mut self.data[start..];
        if self.channels == 1 {
            for (offset, alpha) in &glyph.dots {
                let under = &mut target[*offset as usize];
                *under = blend(*under, color.red, *alpha);
            }
        } else {
            for (offset, alpha) in &glyph.dots {
                blend_pixel(&mut target[*offset as usize..][..3], color, *alpha);
            }
        }
    }

    /// Draws the part of a glyph that is on the page.
    fn draw_cut(&mut self, glyph: &Coverage, left: i64, top: i64, color: Rgb) {
        let stride = self.stride();
        for (offset, alpha) in &glyph.dots {
            let (row, column) = (*offset as usize / stride, *offset as usize % stride / self.channels);
            let (x, y) = (left + column as i64, top + row as i64);
            if x < 0 || y < 0 || x >= self.width_px as i64 || y >= self.height_px as i64 {
                continue;
            }
            let start = y as usize * stride + x as usize * self.channels;
            if self.channels == 1 {
                self.data[start] = blend(self.data[start], color.red, *alpha);
            } else {
                blend_pixel(&mut self.data[start..start + 3], color, *alpha);
            }
        }
    }
}

fn blend_pixel(under: &mut [u8], color: Rgb, alpha: u8) {
    for (under, over) in under.iter_mut().zip([color.red, color.green, color.blue]) {
        *under = blend(*under, over, alpha);
    }
}

/// `over` upon `under` with coverage `alpha`, rounded as poppler rounds it.
#[inline]
fn blend(under: u8, over: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    let sum = (255 - alpha) * u32::from(under) + alpha * u32::from(over);
    ((sum + (sum >> 8) + 0x80) >> 8) as u8
}
