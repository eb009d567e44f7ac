//! Features of pages that have passed the vision tower.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use glyph_model::preprocess::RgbImage;

use crate::lru::ByteLru;
use crate::stats::CacheStats;

/// What a page's features depend on: its pixels, the model and the preprocessing, hashed. A path or a URL is never
/// part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageKey([u8; 32]);

/// Shared between the engine's thread and those who prepare requests.
#[derive(Debug, Clone)]
pub(crate) struct VisionCache {
    fingerprint: [u8; 32],
    entries: Arc<Mutex<ByteLru<PageKey, Tensor<2>>>>,
}

impl VisionCache {
    /// For one model and its preprocessing.
    pub fn new(fingerprint: [u8; 32], most_bytes: u64) -> Self {
        Self {
            fingerprint,
            entries: Arc::new(Mutex::new(ByteLru::new(most_bytes))),
        }
    }

    /// The key of an image.
    pub fn key(&self, image: &RgbImage) -> PageKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.fingerprint);
        hasher.update(&(image.width_px as u64).to_le_bytes());
        hasher.update(&(image.height_px as u64).to_le_bytes());
        hasher.update(&image.rgb);
        PageKey(*hasher.finalize().as_bytes())
    }

    /// Counts whether it has the features of a page of a request that comes. They are then those used last: the request
    /// will want them.
    pub fn look_up(&self, key: &PageKey) {
        self.lock().get(key);
    }

    /// The features of a page, `[tokens, d]`; not counted: for a page that was counted when its request came.
    pub fn peek(&self, key: &PageKey) -> Option<Tensor<2>> {
        self.lock().touch(key).cloned()
    }

    /// Keeps the features of a page.
    pub fn insert(&self, key: PageKey, features: Tensor<2>, bytes: u64) {
        // What it gave up for them is free when nobody holds it any more.
        drop(self.lock().insert(key, features, bytes));
    }

    /// What it has counted.
    pub fn stats(&self) -> CacheStats {
        self.lock().stats()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ByteLru<PageKey, Tensor<2>>> {
        // Nothing in here panics half-way through a change, so what a poisoned lock guards is whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use glyph_model::preprocess::RgbImage;

    use super::VisionCache;

    #[test]
    fn pixels_size_and_model_are_in_the_key() {
        let cache = VisionCache::new([1; 32], 1);
        let image = RgbImage::new(2, 1, vec![0, 1, 2, 3, 4, 5]).unwrap();
        let turned = RgbImage::new(1, 2, image.rgb.clone()).unwrap();
        let mut changed = image.clone();
        changed.rgb[5] = 6;
        let key = cache.key(&image);
        assert_eq!(key, cache.key(&image.clone()));
        assert_ne!(key, cache.key(&turned));
        assert_ne!(key, cache.key(&changed));
        assert_ne!(key, VisionCache::new([2; 32], 1).key(&image));
    }
}
