//! What the official renderer does to a page after drawing it: scale, then cut to the ink.

use crate::canvas::Canvas;
use crate::style::RenderStyle;

/// Difference from the background above which a pixel counts as ink.
const INK_TOLERANCE: f64 = 5.0;

/// A drawn page with the part of it that is handed out: the top left one.
pub(crate) struct Finished {
    canvas: Canvas,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
}

impl Finished {
    /// Whether a pixel is one gray byte; else it is red, green and blue.
    pub(crate) fn is_gray(&self) -> bool {
        self.canvas.channels == 1
    }

    /// Bytes of a pixel.
    pub(crate) fn channels(&self) -> usize {
        self.canvas.channels
    }

    /// The pixels of each row, from the top.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let width = self.width_px as usize * self.canvas.channels;
        self.canvas
            .rows()
            .take(self.height_px as usize)
            .map(move |row| &row[..width])
    }

    /// The memory of the canvas, for the next page.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.canvas.into_memory()
    }

    /// Red, green and blue of all pixels.
    pub(crate) fn to_rgb(&self) -> Vec<u8> {
        if !self.is_gray() {
            return self.rows().flatten().copied().collect();
        }
        let mut rgb = vec![0; self.width_px as usize * self.height_px as usize * 3];
        for (target, row) in rgb
            .chunks_exact_mut(self.width_px as usize * 3)
            .zip(self.rows())
        {
            for (pixel, gray) in target.chunks_exact_mut(3).zip(row) {
                pixel.fill(*gray);
            }
        }
        rgb
    }
}

/// Scales a page and finds the edges at which it is cropped.
pub(crate) fn finish(mut canvas: Canvas, style: &RenderStyle, is_last: bool) -> Finished {
    if style.horizontal_scale != 1.0 {
        canvas = scale_width(&canvas, style.scaled_width_px() as usize);
    }
    let crops_height = style.auto_crop_last_page && is_last;
    let ink = if style.auto_crop_width || crops_height {
        find_ink(&canvas)
    } else {
        None
    };
    let (mut width_px, mut height_px) = (canvas.width_px, canvas.height_px);
    if let Some(ink) = ink {
        if style.auto_crop_width {
            width_px = cut(ink.last_column as f64 + 1.0 + style.margin_x_pt, width_px);
        }
        if crops_height {
            height_px = cut(ink.last_row as f64 + style.margin_y_pt, height_px);
        }
    }
    Finished {
        canvas,
        width_px: width_px as u32,
        height_px: height_px as u32,
    }
}

/// A cut edge: rounded half to even, within the page, and at least one pixel.
fn cut(edge_px: f64, limit_px: usize) -> usize {
    edge_px.min(limit_px as f64).round_ties_even().max(1.0) as usize
}

struct Ink {
    last_column: usize,
    last_row: usize,
}

/// Finds the last column and row with ink; `None` on a page without any.
fn find_ink(canvas: &Canvas) -> Option<Ink> {
    let gray = |pixel: &[u8]| match pixel {
        [red, green, blue] => {
            // Pillow's fixed-point luma.
            let sum = u32::from(*red) * 19595 + u32::from(*green) * 38470 + u32::from(*blue) * 7471;
            ((sum + 0x8000) >> 16) as u8
        }
        _ => pixel[0],
    };
    let mut corner: Vec<u8> = canvas
        .rows()
        .take(2)
        .flat_map(|row| row.chunks(canvas.channels).take(2).map(gray))
        .collect();
    corner.sort_unstable();
    let middle = corner.len() / 2;
    let background = match corner.len() % 2 {
        0 => (f64::from(corner[middle - 1]) + f64::from(corner[middle])) / 2.0,
        _ => f64::from(corner[middle]),
    };
    let is_ink: [bool; 256] =
        std::array::from_fn(|value| (value as f64 - background).abs() > INK_TOLERANCE);
    let has_ink = |pixels: &[u8]| {
        pixels
            .chunks_exact(canvas.channels)
            .any(|pixel| is_ink[usize::from(gray(pixel))])
    };
    let last_row = canvas.rows().rposition(has_ink)?;
    let first = canvas.rows().next()?.get(..canvas.channels)?;
    let paper = first[0];
    // Rows whose bytes all equal `paper` hold no ink.
    let skips_paper = first.iter().all(|value| *value == paper) && !is_ink[usize::from(paper)];
    let mut last_column = 0;
    for pixels in canvas.rows().take(last_row + 1) {
        // Only what lies right of the ink found so far can move the edge, and most of it is paper.
        let right = &pixels[(last_column + 1).min(canvas.width_px) * canvas.channels..];
        if skips_paper && right.iter().fold(0, |sum, pixel| sum | (pixel ^ paper)) == 0 {
            continue;
        }
        let last = right
            .chunks_exact(canvas.channels)
            .rposition(|pixel| is_ink[usize::from(gray(pixel))]);
        last_column += last.map_or(0, |last| last + 1);
    }
    Some(Ink {
        last_column,
        last_row,
    })
}

/// Resizes the width with Pillow's bicubic filter.
fn scale_width(canvas: &Canvas, width_px: usize) -> Canvas {
    /// Fraction bits of Pillow's 8-bit filter weights.
    const WEIGHT_BITS: u32 = 32 - 8 - 2;
    const SUPPORT: f64 = 2.0;
    /// Columns whose weights are held at once.
    const BLOCK_COLUMNS: usize = 1024;
    let scale = canvas.width_px as f64 / width_px as f64;
    let filter_scale = scale.max(1.0);
    let support = SUPPORT * filter_scale;
    let weights_of = |column: usize| -> (usize, Vec<i64>) {
        let center = (column as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(canvas.width_px);
        let weights: Vec<f64> = (first..end)
            .map(|source| bicubic((source as f64 - center + 0.5) / filter_scale))
            .collect();
        let sum: f64 = weights.iter().sum();
        let fixed = weights.iter().map(|weight| {
            let weight = weight / sum * f64::from(1_u32 << WEIGHT_BITS);
            (weight + 0.5_f64.copysign(weight)) as i64
        });
        (first, fixed.collect())
    };
    let channels = canvas.channels;
    let mut scaled = Canvas::new(
        width_px as u32,
        canvas.height_px as u32,
        channels,
        Vec::new(),
    );
    for start in (0..width_px).step_by(BLOCK_COLUMNS) {
        let end = width_px.min(start + BLOCK_COLUMNS);
        let columns: Vec<(usize, Vec<i64>)> = (start..end).map(weights_of).collect();
        for (source, target) in canvas.rows().zip(scaled.rows_mut()) {
            let target = &mut target[start * channels..end * channels];
            for (pixel, (first, weights)) in target.chunks_mut(channels).zip(&columns) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let mut sum = 1_i64 << (WEIGHT_BITS - 1);
                    for (place, weight) in weights.iter().enumerate() {
                        let source = source[(first + place) * channels + channel];
                        sum += i64::from(source) * weight;
                    }
                    *value = (sum >> WEIGHT_BITS).clamp(0, 255) as u8;
                }
            }
        }
    }
    scaled
}

/// The cubic convolution kernel with a = −0.5.
fn bicubic(distance: f64) -> f64 {
    const A: f64 = -0.5;
    let x = distance.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
