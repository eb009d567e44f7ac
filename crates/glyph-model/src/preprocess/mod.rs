//! Page images → patch rows, as the checkpoint's image processor makes them.

mod image;
mod patches;
mod resample;
mod smart_resize;

pub use image::{MOST_DECODED_PIXELS, RgbImage};
pub(crate) use patches::merge_order;
pub use patches::{ImagePatches, PatchGrid, cut_patches, image_patches};
pub use resample::resize_bicubic;
pub use smart_resize::smart_resize;
