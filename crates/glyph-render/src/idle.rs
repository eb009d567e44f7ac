//! What renderers keep from page to page and from text to text, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::raster::Rasterizer;

/// Memory of a [`RenderMemory`] unless told otherwise. Sixteen threads keep their letters and buffers
/// in it, of pages in the official English style.
const DEFAULT_BYTES: usize = 64 << 20;

/// Memory in which renderers keep glyph images and buffers while nobody draws. Clones are the same
/// memory: the renderers that share it keep no more together than one would. What was used longest
/// ago gives way.
#[derive(Clone)]
pub struct RenderMemory {
    most_bytes: usize,
    idle: Arc<Mutex<Idle>>,
}

/// Tells apart which renderer's style rasterizers have drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

#[derive(Default)]
struct Idle {
    n_owners: u64,
    n_bytes: usize,
    /// Those used last at the end.
    entries: VecDeque<Entry>,
}

struct Entry {
    owner: Owner,
    n_bytes: usize,
    rasterizer: Rasterizer,
}

impl Default for RenderMemory {
    fn default() -> RenderMemory {
        RenderMemory::new(DEFAULT_BYTES)
    }
}

impl RenderMemory {
    /// Keeps at most so many bytes.
    pub fn new(most_bytes: usize) -> RenderMemory {
        RenderMemory {
            most_bytes,
            idle: Arc::default(),
        }
    }

    /// For a new renderer.
    pub(crate) fn owner(&self) -> Owner {
        let mut idle = self.idle();
        idle.n_owners += 1;
        Owner(idle.n_owners)
    }

    /// The rasterizer that a renderer used last.
    pub(crate) fn take(&self, owner: Owner) -> Option<Rasterizer> {
        let mut idle = self.idle();
        let place = idle
            .entries
            .iter()
            .rposition(|entry| entry.owner == owner)?;
        let entry = idle.entries.remove(place)?;
        idle.n_bytes -= entry.n_bytes;
        Some(entry.rasterizer)
    }

    /// Keeps a rasterizer for its renderer.
    pub(crate) fn keep(&self, owner: Owner, mut rasterizer: Rasterizer) {
        rasterizer.drop_large_buffers();
        let entry = Entry {
            owner,
            n_bytes: rasterizer.bytes(),
            rasterizer,
        };
        let mut given_up = Vec::new();
        let mut idle = self.idle();
        idle.n_bytes += entry.n_bytes;
        idle.entries.push_back(entry);
        while idle.n_bytes > self.most_bytes
            && let Some(oldest) = idle.entries.pop_front()
        {
            idle.n_bytes -= oldest.n_bytes;
            given_up.push(oldest);
        }
        // Other threads need not wait until the system has the memory back.
        drop(idle);
        drop(given_up);
    }

    /// Gives up all that a renderer keeps.
    pub(crate) fn forget(&self, owner: Owner) {
        let mut idle = self.idle();
        let all = std::mem::take(&mut idle.entries);
        let (given_up, kept): (VecDeque<Entry>, VecDeque<Entry>) =
            all.into_iter().partition(|entry| entry.owner == owner);
        idle.n_bytes -= given_up.iter().map(|entry| entry.n_bytes).sum::<usize>();
        idle.entries = kept;
        drop(idle);
        drop(given_up);
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fonts::FontLibrary;
    use crate::renderer::Renderer;
    use crate::style::RenderStyle;

    fn renderer(margin_x_pt: f64, memory: &RenderMemory) -> Renderer {
        let style = RenderStyle {
            margin_x_pt,
            ..RenderStyle::official_en()
        };
        Renderer::with_memory(style, FontLibrary::bundled(), memory.clone()).unwrap()
    }

    fn owners(memory: &RenderMemory) -> Vec<u64> {
        let idle = memory.idle();
        let n_bytes = idle.entries.iter().map(|entry| entry.n_bytes);
        assert_eq!(idle.n_bytes, n_bytes.sum::<usize>());
        idle.entries.iter().map(|entry| entry.owner.0).collect()
    }

    #[test]
    fn what_was_used_longest_ago_gives_way_and_nothing_outlives_its_renderer() {
        let draw = |renderer: &Renderer| assert_eq!(renderer.pages("text").count(), 1);
        let memory = RenderMemory::default();
        draw(&renderer(10.0, &memory));
        assert!(owners(&memory).is_empty());

        let alone = renderer(10.0, &memory);
        draw(&alone);
        let bytes_each = memory.idle().n_bytes;
        let memory = RenderMemory::new(bytes_each * 5 / 2);
        let renderers = [10.0, 11.0, 12.0].map(|margin_x_pt| renderer(margin_x_pt, &memory));
        renderers.iter().for_each(draw);
        assert_eq!(owners(&memory), [2, 3]);
        draw(&renderers[1]);
        assert_eq!(owners(&memory), [3, 2]);
        draw(&renderers[0]);
        assert_eq!(owners(&memory), [2, 1]);
        drop(renderers);
        assert!(owners(&memory).is_empty());
    }
}
