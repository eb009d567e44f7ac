//! Which size an image is resized to before it is cut into patches.

use crate::config::PreprocessorConfig;

/// Height and width in px that an image of a size is resized to:
/// [`SizeRules::smart_resize`](glyph_page_tokens::SizeRules::smart_resize) by a checkpoint's rules.
///
/// # Errors
/// A sentence when the aspect ratio exceeds 200, a side is zero, or the result is more than a page can need.
pub fn smart_resize(
    height_px: usize,
    width_px: usize,
    config: &PreprocessorConfig,
) -> Result<(usize, usize), String> {
    config.size_rules().smart_resize(height_px, width_px)
}
