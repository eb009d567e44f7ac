//! What the official renderer does to a page after drawing it: scale, then cut to the ink.

use crate::canvas::Canvas;
use crate::style::RenderStyle;

/// Difference from the background above which a pixel counts as ink.
const INK_TOLERANCE: f64 = 5.0;

/// Scales and crops a page in place.
pub(crate) fn finish(canvas: &mut Canvas, style: &RenderStyle, is_last: bool) {
    let width_px = (canvas.width_px as f64 * style.horizontal_scale) as usize;
    if style.horizontal_scale != 1.0 {
        *canvas = scale_width(canvas, width_px.max(1));
    }
    let crops_height = style.auto_crop_last_page && is_last;
    if !style.auto_crop_width && !crops_height {
        return;
    }
    let Some(ink) = find_ink(canvas) else { return };
    let mut size = (canvas.width_px, canvas.height_px);
    if style.auto_crop_width {
        size.0 = cut(ink.last_column as f64 + 1.0 + style.margin_x_pt, size.0);
    }
    if crops_height {
        size.1 = cut(ink.last_row as f64 + style.margin_y_pt, size.1);
    }
    crop(canvas, size.0, size.1);
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
    let stride = canvas.width_px * canvas.channels;
    let gray = |pixel: &[u8]| match pixel {
        [red, green, blue] => {
            // Pillow's fixed-point luma.
            let sum = u32::from(*red) * 19595 + u32::from(*green) * 38470 + u32::from(*blue) * 7471;
            ((sum + 0x8000) >> 16) as u8
        }
        _ => pixel[0],
    };
    let mut corner: Vec<u8> = canvas
        .data
        .chunks(stride)
        .take(2)
        .flat_map(|row| row.chunks(canvas.channels).take(2).map(gray))
        .collect();
    corner.sort_unstable();
    let middle = corner.len() / 2;
    let background = match corner.len() % 2 {
        0 => (f64::from(corner[middle - 1]) + f64::from(corner[middle])) / 2.0,
        _ => f64::from(corner[middle]),
    };
    let is_ink: [bool; 256] = std::array::from_fn(|value| {
        (value as f64 - background).abs() > INK_TOLERANCE
    });
    let mut ink: Option<Ink> = None;
    for (row, pixels) in canvas.data.chunks(stride).enumerate() {
        // Only what lies right of the ink found so far can move the edge.
        let last = pixels
            .chunks(canvas.channels)
            .rposition(|pixel| is_ink[usize::from(gray(pixel))]);
        if let Some(last) = last {
            let last_column = ink.map_or(last, |ink| ink.last_column.max(last));
            ink = Some(Ink { last_column, last_row: row });
        }
    }
    ink
}

fn crop(canvas: &mut Canvas, width_px: usize, height_px: usize) {
    let stride = canvas.width_px * canvas.channels;
    let new_stride = width_px * canvas.channels;
    if new_stride != stride {
        for row in 1..height_px {
            canvas.data.copy_within(row * stride..row * stride + new_stride, row * new_stride);
        }
    }
    canvas.data.truncate(new_stride * height_px);
    (canvas.width_px, canvas.height_px) = (width_px, height_px);
}

/// Resizes the width with Pillow's bicubic filter.
fn scale_width(canvas: &Canvas, width_px: usize) -> Canvas {
    /// Fraction bits of Pillow's 8-bit filter weights.
    const WEIGHT_BITS: u32 = 32 - 8 - 2;
    const SUPPORT: f64 = 2.0;
    let scale = canvas.width_px as f64 / width_px as f64;
    let filter_scale = scale.max(1.0);
    let support = SUPPORT * filter_scale;
    let columns: Vec<(usize, Vec<i64>)> = (0..width_px)
        .map(|column| {
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
        })
        .collect();
    let mut scaled = Canvas::new(width_px as u32, canvas.height_px as u32, canvas.channels);
    let source_rows = canvas.data.chunks(canvas.width_px * canvas.channels);
    let target_rows = scaled.data.chunks_mut(width_px * canvas.channels);
    for (source, target) in source_rows.zip(target_rows) {
        for (pixel, (first, weights)) in target.chunks_mut(canvas.channels).zip(&columns) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                let mut sum = 1_i64 << (WEIGHT_BITS - 1);
                for (place, weight) in weights.iter().enumerate() {
                    let source = source[(first + place) * canvas.channels + channel];
                    sum += i64::from(source) * weight;
                }
                *value = (sum >> WEIGHT_BITS).clamp(0, 255) as u8;
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
