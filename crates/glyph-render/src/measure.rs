//! Widths of text, and numbers as the official page description rounds them.

use crate::metrics::FaceSet;

/// What lines are measured against.
#[derive(Clone, Copy)]
pub(crate) struct Measure<'a> {
    pub(crate) faces: &'a FaceSet,
    /// Points per thousandth of an em.
    pub(crate) pt_per_milli_em: f64,
    /// Width of the paragraph's first line.
    pub(crate) first_line_pt: f64,
    /// Width of every other line.
    pub(crate) other_line_pt: f64,
}

impl Measure<'_> {
    #[inline]
    pub(crate) fn width_pt(&self, text: &str) -> f64 {
        self.pt_per_milli_em * self.faces.milli_em(text)
    }

    #[inline]
    pub(crate) fn char_pt(&self, character: char) -> f64 {
        self.pt_per_milli_em * self.faces.info(character).milli_em
    }

    #[inline]
    pub(crate) fn line_pt(&self, line: usize) -> f64 {
        if line == 0 {
            self.first_line_pt
        } else {
            self.other_line_pt
        }
    }
}

/// A number as it passes through the official page description: written with at most six decimals
/// and seven significant digits, and read back digit by digit. The rounding of that reading decides
/// on which pixel row a baseline falls when it meets a row's edge.
pub(crate) fn pdf_number(value: f64) -> f64 {
    let size = value.abs();
    if size <= 1e-7 {
        return 0.0;
    }
    let decimals = if size <= 1.0 {
        6
    } else {
        (6 - size.log10() as i32).clamp(0, 6)
    };
    let scale = 10_u64.pow(decimals as u32);
    let written = (size * scale as f64).round() as u64;
    let mut read = (written / scale) as f64;
    let (mut fraction, mut unit, mut place) = (written % scale, scale, 0.1);
    while fraction > 0 {
        unit /= 10;
        read += place * (fraction / unit) as f64;
        fraction %= unit;
        place *= 0.1;
    }
    read.copysign(value)
}
