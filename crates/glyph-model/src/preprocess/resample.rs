//! Antialiased bicubic resampling of 8-bit RGB, bit for bit as Pillow and torchvision's 8-bit path do it:
//! fixed-point weights, columns first, then rows, each pass rounded to 8 bits.

use super::RgbImage;

/// Resizes to `width_px × height_px`.
pub fn resize_bicubic(image: &RgbImage, width_px: usize, height_px: usize) -> RgbImage {
    if (image.width_px, image.height_px) == (width_px, height_px) {
        return image.clone();
    }
    let horizontal = Taps::new(image.width_px, width_px);
    let mut narrowed = vec![0_u8; width_px * image.height_px * 3];
    for (row_in, row_out) in image
        .rgb
        .chunks_exact(image.width_px * 3)
        .zip(narrowed.chunks_exact_mut(width_px * 3))
    {
        for (x, pixel) in row_out.chunks_exact_mut(3).enumerate() {
            let (start, weights) = horizontal.at(x);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let samples = row_in[start * 3 + channel..].iter().step_by(3);
                *value = blend(samples, weights, horizontal.precision_bits);
            }
        }
    }

    let vertical = Taps::new(image.height_px, height_px);
    let stride = width_px * 3;
    let mut rgb = vec![0_u8; stride * height_px];
    for (y, row_out) in rgb.chunks_exact_mut(stride).enumerate() {
        let (start, weights) = vertical.at(y);
        for (i, value) in row_out.iter_mut().enumerate() {
            let samples = narrowed[start * stride + i..].iter().step_by(stride);
            *value = blend(samples, weights, vertical.precision_bits);
        }
    }
    RgbImage {
        width_px,
        height_px,
        rgb,
    }
}

fn blend<'a>(samples: impl Iterator<Item = &'a u8>, weights: &[i32], precision_bits: u32) -> u8 {
    let half = 1_i32 << (precision_bits - 1);
    let sum = samples.zip(weights).fold(half, |sum, (sample, weight)| {
        sum.wrapping_add(i32::from(*sample) * weight)
    });
    (sum >> precision_bits).clamp(0, 255) as u8
}

/// For each output position the first input position and the weights from there on.
struct Taps {
    starts: Vec<usize>,
    weights: Vec<Vec<i32>>,
    precision_bits: u32,
}

impl Taps {
    fn new(n_in: usize, n_out: usize) -> Self {
        let scale = n_in as f64 / n_out as f64;
        // Shrinking widens the filter so that it averages what falls together.
        let filter_scale = scale.max(1.0);
        let support = SUPPORT * filter_scale;
        let mut starts = Vec::with_capacity(n_out);
        let mut float_weights = Vec::with_capacity(n_out);
        for i in 0..n_out {
            let center = scale * (i as f64 + 0.5);
            let start = ((center - support + 0.5).floor().max(0.0)) as usize;
            let end = ((center + support + 0.5).floor() as usize).min(n_in);
            let weights: Vec<f64> = (start..end)
                .map(|j| cubic((j as f64 - center + 0.5) / filter_scale))
                .collect();
            let total: f64 = weights.iter().sum();
            starts.push(start);
            float_weights.push(weights.into_iter().map(|w| w / total).collect::<Vec<_>>());
        }
        let precision_bits = precision_bits(&float_weights);
        let one = f64::from(1_u32 << precision_bits);
        let weights = float_weights
            .into_iter()
            .map(|taps| taps.into_iter().map(|w| (w * one).round() as i32).collect())
            .collect();
        Self {
            starts,
            weights,
            precision_bits,
        }
    }

    fn at(&self, i: usize) -> (usize, &[i32]) {
        (self.starts[i], &self.weights[i])
    }
}

/// As many fraction bits as a 16-bit weight can hold for the largest weight (torchvision's rule for 8-bit
/// images).
fn precision_bits(weights: &[Vec<f64>]) -> u32 {
    let max = weights.iter().flatten().copied().fold(0.0_f64, f64::max);
    let mut bits = 0;
    while bits < 22 {
        let next = (0.5 + max * f64::from(1_u32 << (bits + 1))) as i64;
        if next >= 1 << 15 {
            break;
        }
        bits += 1;
    }
    bits
}

const SUPPORT: f64 = 2.0;

/// Cubic convolution kernel, A = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
