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

/// Coverage of a glyph, placed relative to its origin on canvases of one width.
pub(crate) struct Coverage {
    /// Pixels from the origin to the left column.
    left: i32,
    /// Pixels from the baseline up to the top row.
    top: i32,
    width_px: u32,
    height_px: u32,
    /// What black ink leaves of white paper. Nearly all glyphs are drawn black on paper that is
    /// still white, with one store for each run.
    runs: Box<[Run]>,
    /// The covered pixels: byte offset as above, and coverage.
    dots: Box<[(u32, u8)]>,
}

/// Neighbouring bytes of which some are covered.
struct Run {
    /// The bytes when black has been drawn on white; white where they are not covered.
    left: [u8; RUN],
    /// White where the bytes are covered.
    covered: [u8; RUN],
    /// Byte offset in the canvas from the glyph's top left pixel.
    offset: u32,
}

/// Bytes in a [`Run`].
const RUN: usize = 8;

impl Coverage {
    /// Takes one byte a pixel, rows from the top, for a canvas of `canvas_width_px`.
    pub(crate) fn new(
        (left, top): (i32, i32),
        (width_px, height_px): (u32, u32),
        mask: &[u8],
        canvas_width_px: u32,
        channels: usize,
    ) -> Coverage {
        let mut dots = Vec::new();
        let mut runs = Vec::new();
        for (row, mask) in mask.chunks_exact(width_px.max(1) as usize).enumerate() {
            let row_start = row * canvas_width_px as usize * channels;
            let covered = mask.iter().enumerate().filter(|(_, alpha)| **alpha > 0);
            dots.extend(
                covered.map(|(column, alpha)| ((row_start + column * channels) as u32, *alpha)),
            );
            let mask: Vec<u8> = mask
                .iter()
                .flat_map(|alpha| std::iter::repeat_n(*alpha, channels))
                .collect();
            let mut start = 0;
            while let Some(skipped) = mask[start..].iter().position(|alpha| *alpha > 0) {
                start += skipped;
                let alpha = |place: usize| mask.get(start + place).copied().unwrap_or(0);
                runs.push(Run {
                    offset: (row_start + start) as u32,
                    left: std::array::from_fn(|place| 255 - alpha(place)),
                    covered: std::array::from_fn(|place| if alpha(place) > 0 { 255 } else { 0 }),
                });
                start = (start + RUN).min(mask.len());
            }
        }
        Coverage {
            left,
            top,
            width_px,
            height_px,
            runs: runs.into(),
            dots: dots.into(),
        }
    }

    /// Memory that the image takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Coverage>() + size_of_val(&*self.runs) + size_of_val(&*self.dots)
    }
}

impl Canvas {
    /// White paper, in `memory` of an earlier canvas.
    pub(crate) fn new(
        width_px: u32,
        height_px: u32,
        channels: usize,
        mut memory: Vec<u8>,
    ) -> Canvas {
        let (width_px, height_px) = (width_px as usize, height_px as usize);
        memory.clear();
        // The run of the last pixel reaches beyond it.
        memory.resize(width_px * height_px * channels + RUN, u8::MAX);
        Canvas {
            width_px,
            height_px,
            channels,
            data: memory,
        }
    }

    /// The memory, for the next canvas.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.data
    }

    /// Bytes of a row.
    fn stride(&self) -> usize {
        self.width_px * self.channels
    }

    /// The pixels of each row, from the top.
    pub(crate) fn rows(
        &self,
    ) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator + Clone {
        self.data.chunks_exact(self.stride())
    }

    /// The pixels of each row, from the top.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let stride = self.stride();
        self.data.chunks_exact_mut(stride)
    }

    /// Fills a rectangle, cut to the page.
    pub(crate) fn fill(&mut self, rect: PixelRect, color: Rgb) {
        let clamp = |value: i64, limit: usize| value.clamp(0, limit as i64) as usize;
        let (left, right) = (
            clamp(rect.left, self.width_px),
            clamp(rect.right, self.width_px),
        );
        let (top, bottom) = (
            clamp(rect.top, self.height_px),
            clamp(rect.bottom, self.height_px),
        );
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
        let left = x + i64::from(glyph.left);
        let top = y - i64::from(glyph.top);
        let is_inside = left >= 0
            && top >= 0
            && left as usize + glyph.width_px as usize <= self.width_px
            && top as usize + glyph.height_px as usize <= self.height_px;
        if !is_inside {
            return self.draw_cut(glyph, left, top, color);
        }
        let start = top as usize * self.stride() + left as usize * self.channels;
        let target = &mut self.data[start..];
        if color == Rgb::BLACK {
            for run in &glyph.runs {
                let start = run.offset as usize;
                let under = target.get_mut(start..start + RUN);
                let Some(under) = under.and_then(|under| under.first_chunk_mut()) else {
                    continue;
                };
                let word = u64::from_ne_bytes(*under);
                let covered = u64::from_ne_bytes(run.covered);
                if word & covered == covered {
                    *under = (word & u64::from_ne_bytes(run.left)).to_ne_bytes();
                } else {
                    for (under, left) in under.iter_mut().zip(run.left) {
                        *under = blend(*under, 0, 255 - left);
                    }
                }
            }
        } else if self.channels == 1 {
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
            let (row, column) = (
                *offset as usize / stride,
                *offset as usize % stride / self.channels,
            );
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
