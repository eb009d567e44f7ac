//! Drawing a text's pages within the memory that there is for pages.

use std::collections::VecDeque;

use glyph_render::{ParallelPages, RenderReport, RenderStyle};

use crate::error::{ApiError, Code};
use crate::images::{PixelBudget, PixelHold, PixelPool};

/// The pages of a text, drawn ahead on all cores. None is begun before its pixels are held.
pub struct Drawing<'a, T> {
    // Dropped before what it holds: it waits for the pages that are being drawn.
    pages: ParallelPages<'a, T>,
    /// Of the pages under way, in their order.
    holds: VecDeque<PixelHold>,
    pool: &'a PixelPool,
    /// Of a page while it is drawn.
    page_pixels: u64,
    /// Names the style in messages.
    path: &'a str,
}

impl<'a, T: Send + 'static> Drawing<'a, T> {
    /// Begins none yet.
    ///
    /// # Errors
    /// [`Code::ImageTooLarge`] naming `path` when a page of the style is larger than all pages of a request may be.
    pub fn new(
        pages: ParallelPages<'a, T>,
        style: &RenderStyle,
        pool: &'a PixelPool,
        path: &'a str,
    ) -> Result<Self, ApiError> {
        let (page_pixels, most) = (style.drawn_pixels(), pool.most_of_request());
        if page_pixels > most {
            let message = format!(
                "a page by {path} has {page_pixels} pixels while it is drawn; at most {most} are taken. Lower page-size \
                 or dpi"
            );
            return Err(ApiError::of(Code::ImageTooLarge, path, message));
        }
        Ok(Self {
            pages,
            holds: VecDeque::new(),
            pool,
            page_pixels,
            path,
        })
    }

    /// The next page with what was held for drawing it; `None` behind the last. `budget` is that of the request.
    ///
    /// # Errors
    /// [`Code::QueueFull`] when other requests hold so many pixels that not one page can be begun, and
    /// [`Code::ImageTooLarge`] when it is the request itself that does.
    pub fn next_page(&mut self, budget: &PixelBudget) -> Result<Option<(T, PixelHold)>, ApiError> {
        while !self.pages.is_full() && self.pages.has_more() && self.may_begin() {
            let Some(hold) = self.pool.hold(self.page_pixels) else {
                break;
            };
            self.holds.push_back(hold);
            self.pages.begin();
        }
        match self.pages.finish().zip(self.holds.pop_front()) {
            None if self.pages.has_more() => Err(budget.refusal(self.page_pixels, self.path)),
            page => Ok(page),
        }
    }

    /// Whether the pages under way leave room for one more. There is always room for one.
    fn may_begin(&self) -> bool {
        let n_pages = self.holds.len() as u64 + 1;
        n_pages == 1 || n_pages.saturating_mul(self.page_pixels) <= self.pool.most_ahead()
    }

    /// What happened so far; complete behind the last page.
    pub fn report(&self) -> RenderReport {
        self.pages.report()
    }
}

#[cfg(test)]
mod tests {
    use glyph_render::{FontLibrary, RenderStyle, Renderer};

    use super::{Code, Drawing};
    use crate::images::PixelPool;

    /// Pages of 512 × 512 pixels, of which none is cropped.
    fn renderer() -> Renderer {
        let style = RenderStyle {
            page_width_pt: 512.0,
            page_height_pt: 512.0,
            ..RenderStyle::with_font("Verdana.ttf")
        };
        Renderer::new(style, FontLibrary::bundled()).unwrap()
    }

    const PAGE_PIXELS: u64 = 512 * 512;

    #[test]
    fn no_page_is_begun_without_room_and_none_is_lost() {
        let renderer = renderer();
        let text = "A line of text.\n".repeat(400);
        let n_pages = renderer.count_pages(&text);
        assert!(n_pages > 6);
        let whole: Vec<_> = renderer.pages(&text).collect();
        // Room for one page alone, for two that are drawn together, and for all.
        for most_pixels in [PAGE_PIXELS, 16 * PAGE_PIXELS, 1 << 28] {
            let pool = PixelPool::new(most_pixels);
            let pages = renderer.pages_parallel(&text);
            let mut drawing = Drawing::new(pages, renderer.style(), &pool, "style").unwrap();
            let budget = pool.budget();
            for page in &whole {
                let (drawn, hold) = drawing.next_page(&budget).unwrap().unwrap();
                assert!(drawn == *page);
                // This page, and those that are under way.
                let n_held = drawing.holds.len() as u64 + 1;
                let most_ahead = (pool.most_ahead() / PAGE_PIXELS).max(1);
                assert!(n_held <= most_ahead, "{n_held} of {most_pixels}");
                drop(hold);
            }
            assert!(drawing.next_page(&budget).unwrap().is_none());
            assert_eq!(drawing.report().pages, n_pages as u64);
            assert!(pool.hold(most_pixels).is_some());
        }
    }

    #[test]
    fn a_text_is_refused_when_others_hold_the_memory_and_not_at_its_end() {
        let renderer = renderer();
        let pool = PixelPool::new(2 * PAGE_PIXELS);
        let budget = pool.budget();
        let text = "A line of text.\n".repeat(400);
        let pages = renderer.pages_parallel(&text);
        let mut drawing = Drawing::new(pages, renderer.style(), &pool, "style").unwrap();
        let first = drawing.next_page(&budget).unwrap();
        let second = drawing.next_page(&budget).unwrap();
        let error = drawing.next_page(&budget).unwrap_err();
        assert_eq!(error.code(), Code::QueueFull);
        drop(first);
        assert!(drawing.next_page(&budget).unwrap().is_some());
        drop((second, drawing));

        // All of it is held, and the text has no page to draw any more.
        let pages = renderer.pages_parallel("One page.");
        let mut drawing = Drawing::new(pages, renderer.style(), &pool, "style").unwrap();
        let page = drawing.next_page(&budget).unwrap();
        let rest = pool.hold(PAGE_PIXELS);
        assert!(page.is_some() && rest.is_some());
        assert!(drawing.next_page(&budget).unwrap().is_none());
    }

    #[test]
    fn a_text_that_holds_all_the_memory_itself_is_too_large() {
        let renderer = renderer();
        let pool = PixelPool::new(2 * PAGE_PIXELS);
        let mut budget = pool.budget();
        let text = "A line of text.\n".repeat(400);
        let pages = renderer.pages_parallel(&text);
        let mut drawing = Drawing::new(pages, renderer.style(), &pool, "style").unwrap();
        for _ in 0..2 {
            let (_, hold) = drawing.next_page(&budget).unwrap().unwrap();
            let hold = budget.fit(hold, PAGE_PIXELS, "style").unwrap();
            budget.keep(hold);
        }
        let error = drawing.next_page(&budget).unwrap_err();
        assert_eq!(error.code(), Code::ImageTooLarge);
        assert_eq!(error.param(), Some("style"));
    }

    #[test]
    fn a_page_that_is_larger_than_all_is_refused_before_it_is_drawn() {
        let renderer = renderer();
        let pool = PixelPool::new(PAGE_PIXELS - 1);
        let pages = renderer.pages_parallel("text");
        let error = Drawing::new(pages, renderer.style(), &pool, "style")
            .err()
            .unwrap();
        assert_eq!(error.code(), Code::ImageTooLarge);
        assert_eq!(error.param(), Some("style"));
    }
}
