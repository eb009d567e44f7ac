//! Pages drawn on all cores while the text is laid out.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use image::ImageError;

use crate::layout::{PageFlow, PageLayout};
use crate::page::{Page, PngPage};
use crate::renderer::{MakePage, RenderReport, Renderer, Shared};

/// Pages under way per thread, so that no thread waits for the next layout.
const PAGES_PER_THREAD: usize = 3;

/// Pixels of all pages under way: large pages are drawn by fewer threads than there are.
const MAX_PIXELS_UNDER_WAY: u64 = 1 << 27;

impl Renderer {
    /// The pages of a text in order, drawn by rayon's threads. At most three pages per thread are
    /// held at once, and fewer large ones.
    pub fn pages_parallel<'a>(&'a self, text: &'a str) -> ParallelPages<'a, Page> {
        self.pages_parallel_as(text, Shared::page)
    }

    /// The pages of a text as PNG files in order, made by rayon's threads.
    pub fn png_pages_parallel<'a>(
        &'a self,
        text: &'a str,
    ) -> ParallelPages<'a, Result<PngPage, ImageError>> {
        self.pages_parallel_as(text, Shared::png_page)
    }

    fn pages_parallel_as<'a, T>(
        &'a self,
        text: &'a str,
        make: MakePage<T>,
    ) -> ParallelPages<'a, T> {
        let shared = self.shared();
        let most_pages = MAX_PIXELS_UNDER_WAY / shared.style().drawn_pixels().max(1);
        let most_pages = usize::try_from(most_pages).unwrap_or(usize::MAX);
        ParallelPages {
            shared,
            flow: self.flow(text),
            make,
            laid_out: None,
            under_way: VecDeque::new(),
            limit: most_pages.clamp(1, PAGES_PER_THREAD * rayon::current_num_threads()),
            pages: 0,
            is_dropped: Arc::default(),
        }
    }
}

/// The pages of one text, drawn ahead by several threads.
///
/// As an iterator it draws as many ahead as it may. Whoever has to ask for memory before each page
/// takes the steps one by one: [`has_more`](Self::has_more) and [`begin`](Self::begin) while not
/// [`is_full`](Self::is_full), then [`finish`](Self::finish).
///
/// When it is dropped it waits for the pages that are being drawn: it holds no memory afterwards.
/// Those whose drawing has not begun are given up.
pub struct ParallelPages<'a, T> {
    shared: &'a Arc<Shared>,
    flow: PageFlow<'a>,
    make: MakePage<T>,
    /// The next page to begin.
    laid_out: Option<PageLayout>,
    under_way: VecDeque<(Arc<PageLayout>, Receiver<T>)>,
    limit: usize,
    pages: u64,
    is_dropped: Arc<AtomicBool>,
}

impl<T: Send + 'static> ParallelPages<'_, T> {
    /// What happened so far; complete when the iterator is.
    pub fn report(&self) -> RenderReport {
        self.shared.report(&self.flow, self.pages)
    }

    /// Whether as many pages are under way as may be.
    pub fn is_full(&self) -> bool {
        self.under_way.len() >= self.limit
    }

    /// Whether the text has a page that was not begun; it is laid out to know that.
    pub fn has_more(&mut self) -> bool {
        if self.laid_out.is_none() {
            self.laid_out = self.flow.next();
        }
        self.laid_out.is_some()
    }

    /// Has the next page drawn by another thread, if the text has one.
    pub fn begin(&mut self) {
        let Some(layout) = self.laid_out.take().or_else(|| self.flow.next()) else {
            return;
        };
        let layout = Arc::new(layout);
        let (sender, receiver) = sync_channel(1);
        let (shared, make) = (Arc::clone(self.shared), self.make);
        let (job, is_dropped) = (Arc::clone(&layout), Arc::clone(&self.is_dropped));
        rayon::spawn(move || {
            if is_dropped.load(Ordering::Relaxed) {
                return;
            }
            // A panic that reached rayon would end the process.
            if let Ok(drawn) = catch_unwind(AssertUnwindSafe(|| draw(&shared, make, &job))) {
                // Whoever has begun the page waits for it; nobody else could be told.
                drop(sender.send(drawn));
            }
        });
        self.under_way.push_back((layout, receiver));
    }

    /// The page that was begun first, when it is drawn; `None` when none is under way.
    pub fn finish(&mut self) -> Option<T> {
        let (layout, receiver) = self.under_way.pop_front()?;
        self.pages += 1;
        // A page that panicked is drawn again by this thread, and a panic is then the caller's own.
        let drawn = wait(&receiver);
        Some(drawn.unwrap_or_else(|| draw(self.shared, self.make, &layout)))
    }
}

impl<T: Send + 'static> Iterator for ParallelPages<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while !self.is_full() && self.has_more() {
            self.begin();
        }
        self.finish()
    }
}

impl<T> Drop for ParallelPages<'_, T> {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
        for (_, receiver) in self.under_way.drain(..) {
            drop(wait(&receiver));
        }
    }
}

fn draw<T>(shared: &Shared, make: MakePage<T>, layout: &PageLayout) -> T {
    let mut rasterizer = shared.take_rasterizer();
    let page = make(shared, layout, &mut rasterizer);
    shared.return_rasterizer(rasterizer);
    page
}

/// Waits for a page; `None` when its thread made none. One of rayon's own threads draws other pages
/// meanwhile, since all of them could be waiting.
fn wait<T>(receiver: &Receiver<T>) -> Option<T> {
    loop {
        match receiver.try_recv() {
            Ok(drawn) => return Some(drawn),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => match rayon::yield_now() {
                None => return receiver.recv().ok(),
                Some(rayon::Yield::Executed) => {}
                Some(rayon::Yield::Idle) => std::thread::yield_now(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::fonts::FontLibrary;
    use crate::raster::Rasterizer;
    use crate::style::RenderStyle;

    /// Makes no page on a thread of rayon.
    fn only_elsewhere(_: &Shared, layout: &PageLayout, _: &mut Rasterizer) -> usize {
        assert!(rayon::current_thread_index().is_none(), "on rayon's thread");
        layout.index
    }

    #[test]
    fn a_page_that_panics_is_drawn_again_and_ends_nothing() {
        let renderer = Renderer::new(RenderStyle::official_en(), FontLibrary::bundled()).unwrap();
        let text = "A line of text.\n".repeat(1000);
        let pages: Vec<usize> = renderer.pages_parallel_as(&text, only_elsewhere).collect();
        assert!(pages.len() > 10);
        assert!(pages.into_iter().eq(0..renderer.count_pages(&text)));
    }

    #[test]
    fn a_page_that_always_panics_is_a_panic_of_who_asked_for_it() {
        fn broken(_: &Shared, _: &PageLayout, _: &mut Rasterizer) {
            panic!("no page can be made");
        }
        let renderer = Renderer::new(RenderStyle::official_en(), FontLibrary::bundled()).unwrap();
        let pages = AssertUnwindSafe(|| renderer.pages_parallel_as("text", broken).count());
        assert!(catch_unwind(pages).is_err());
        assert_eq!(renderer.pages_parallel("text").count(), 1);
    }

    #[test]
    fn nothing_is_drawn_any_more_when_the_pages_are_gone() {
        static N_AT_WORK: AtomicUsize = AtomicUsize::new(0);
        static N_BEGUN: AtomicUsize = AtomicUsize::new(0);
        fn slow(_: &Shared, _: &PageLayout, _: &mut Rasterizer) {
            N_AT_WORK.fetch_add(1, Ordering::SeqCst);
            N_BEGUN.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(20));
            N_AT_WORK.fetch_sub(1, Ordering::SeqCst);
        }
        let renderer = Renderer::new(RenderStyle::official_en(), FontLibrary::bundled()).unwrap();
        let text = "A line of text.\n".repeat(100_000);
        let mut pages = renderer.pages_parallel_as(&text, slow);
        pages.next().unwrap();
        drop(pages);
        assert_eq!(N_AT_WORK.load(Ordering::SeqCst), 0);
        let n_begun = N_BEGUN.load(Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(N_BEGUN.load(Ordering::SeqCst), n_begun);
    }

    #[test]
    fn few_large_pages_are_under_way() {
        let large = RenderStyle {
            page_width_pt: 6000.0,
            page_height_pt: 6000.0,
            ..RenderStyle::official_en()
        };
        let limit = |style: RenderStyle| {
            let renderer = Renderer::new(style, FontLibrary::bundled()).unwrap();
            renderer.pages_parallel("").limit
        };
        assert!(limit(large) <= 3);
        let n_threads = rayon::current_num_threads();
        let all = PAGES_PER_THREAD * n_threads;
        assert_eq!(limit(RenderStyle::official_en()), all.min(267));
    }
}
