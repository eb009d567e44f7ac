//! Which size an image is resized to before it is cut into patches.

use crate::config::{MOST_PIXELS, PreprocessorConfig};

/// Height and width in px, both multiples of patch × merge, whose area lies within the configured bounds and
/// whose aspect ratio is kept as well as that allows. Source: `smart_resize` of the reference image processor,
/// with its float arithmetic and its rounding half to even.
///
/// # Errors
/// A sentence when the aspect ratio exceeds 200, a side is zero, or the result is more than a page can need.
pub fn smart_resize(
    height_px: usize,
    width_px: usize,
    config: &PreprocessorConfig,
) -> Result<(usize, usize), String> {
    if height_px == 0 || width_px == 0 {
        return Err(format!(
            "is {width_px}×{height_px} px; both sides must be positive"
        ));
    }
    let factor = config.factor_px() as f64;
    let frames = config.temporal_patch_size as f64;
    let (mut height, mut width) = (height_px as f64, width_px as f64);

    if height < factor || width < factor {
        let scale = (factor / height).max(factor / width);
        height = (height * scale).trunc();
        width = (width * scale).trunc();
    }
    let aspect = height.max(width) / height.min(width);
    if aspect > MAX_ASPECT {
        return Err(format!(
            "is {width_px}×{height_px} px; its aspect ratio {aspect:.0} exceeds {MAX_ASPECT}"
        ));
    }

    let mut out_height = (height / factor).round_ties_even() * factor;
    let mut out_width = (width / factor).round_ties_even() * factor;
    // The processor counts a still as a full temporal patch, which halves the cap per image.
    let volume = frames * out_height * out_width;
    if volume > config.max_pixels() as f64 {
        let beta = (frames * height * width / config.max_pixels() as f64).sqrt();
        out_height = ((height / beta / factor).floor() * factor).max(factor);
        out_width = ((width / beta / factor).floor() * factor).max(factor);
    } else if volume < config.min_pixels() as f64 {
        let beta = (config.min_pixels() as f64 / (frames * height * width)).sqrt();
        out_height = (height * beta / factor).ceil() * factor;
        out_width = (width * beta / factor).ceil() * factor;
    }
    // The bounds give way to windows that are not cut, which a long and thin image can have many of.
    if out_height * out_width > MOST_PIXELS as f64 {
        return Err(format!(
            "is {width_px}×{height_px} px and would be resized to {out_width}×{out_height} px; cut it into parts"
        ));
    }
    Ok((out_height as usize, out_width as usize))
}

/// Longest over shortest side that the processor takes.
const MAX_ASPECT: f64 = 200.0;
