//! How many vision tokens a page takes: the size that the image processor gives it, in whole windows of patches.
//!
//! Apart from the model, because who only draws pages counts their tokens too, without tensors.

/// The rules of an image processor: `preprocessor_config.json`, as far as sizes follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRules {
    /// Side of a patch in px.
    pub patch_size: usize,
    /// Patches per side that merge into one token.
    pub merge_size: usize,
    /// Frames per temporal patch.
    pub temporal_patch_size: usize,
    /// Fewest px² of all frames of one temporal patch together.
    pub min_pixels: usize,
    /// Most px² of all frames of one temporal patch together.
    pub max_pixels: usize,
}

/// Most px² that a page is resized to, whatever the rules say.
pub const MOST_PIXELS: usize = 1 << 25;

/// Longest over shortest side that the processor takes.
const MAX_ASPECT: f64 = 200.0;

impl SizeRules {
    /// The image side in px is a multiple of this.
    pub fn factor_px(&self) -> usize {
        self.patch_size * self.merge_size
    }

    /// Height and width in px, both multiples of patch × merge, whose area lies within the configured bounds and
    /// whose aspect ratio is kept as well as that allows. Source: `smart_resize` of the reference image processor,
    /// with its float arithmetic and its rounding half to even.
    ///
    /// # Errors
    /// A sentence when the aspect ratio exceeds 200, a side is zero, or the result is more than a page can need.
    pub fn smart_resize(
        &self,
        height_px: usize,
        width_px: usize,
    ) -> Result<(usize, usize), String> {
        if height_px == 0 || width_px == 0 {
            return Err(format!(
                "is {width_px}×{height_px} px; both sides must be positive"
            ));
        }
        let factor = self.factor_px() as f64;
        let frames = self.temporal_patch_size as f64;
        let (mut height, mut width) = (height_px as f64, width_px as f64);

        if height < factor || width < factor {
            let scale = (factor / height).max(factor / width);
            height = (height * scale).trunc();
            width = (width * scale).trunc();
        }
        let aspect = height.max(width) / height.min(width);
        if aspect > MAX_ASPECT {
            return Err(format!(
                "is {width_px}×{height_px} px; its aspect ratio {aspect:.0} exceeds {MAX_ASPECT}; take one whose sides differ less, or parts of it"
            ));
        }

        let mut out_height = (height / factor).round_ties_even() * factor;
        let mut out_width = (width / factor).round_ties_even() * factor;
        // The processor counts a still as a full temporal patch, which halves the cap per image.
        let volume = frames * out_height * out_width;
        if volume > self.max_pixels as f64 {
            let beta = (frames * height * width / self.max_pixels as f64).sqrt();
            out_height = ((height / beta / factor).floor() * factor).max(factor);
            out_width = ((width / beta / factor).floor() * factor).max(factor);
        } else if volume < self.min_pixels as f64 {
            let beta = (self.min_pixels as f64 / (frames * height * width)).sqrt();
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

    /// Vision tokens of an image of this size.
    ///
    /// # Errors
    /// Those of [`smart_resize`](Self::smart_resize).
    pub fn vision_tokens(&self, height_px: usize, width_px: usize) -> Result<usize, String> {
        let (height_px, width_px) = self.smart_resize(height_px, width_px)?;
        Ok(height_px / self.factor_px() * (width_px / self.factor_px()))
    }
}

#[cfg(test)]
mod tests {
    use super::SizeRules;

    /// The family's image processor.
    const OFFICIAL: SizeRules = SizeRules {
        patch_size: 14,
        merge_size: 2,
        temporal_patch_size: 2,
        min_pixels: 112 * 112,
        max_pixels: 28 * 28 * 15_000,
    };

    #[test]
    fn an_official_page_takes_630_tokens() {
        assert_eq!(OFFICIAL.smart_resize(842, 595), Ok((840, 588)));
        assert_eq!(OFFICIAL.vision_tokens(842, 595), Ok(630));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert!(OFFICIAL.vision_tokens(0, 100).is_err());
        assert!(OFFICIAL.vision_tokens(28, 28 * 201).is_err());
    }
}
