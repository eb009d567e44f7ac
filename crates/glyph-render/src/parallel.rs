//! Pages drawn on all cores while the text is laid out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use image::ImageError;

use crate::layout::{PageFlow, PageLayout};
use crate::page::{Page, PngPage};
use crate::renderer::{MakePage, RenderReport, Renderer, Shared};

/// Pages under way per thread, so that no thread waits for the next layout.
const PAGES_PER_THREAD: usize = 3;

impl Renderer {
    /// The pages of a text in order, drawn by rayon's threads. At most three pages per thread are
    /// held at once.
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
        ParallelPages {
            shared: self.shared(),
            flow: self.flow(text),
            make,
            under_way: VecDeque::new(),
            limit: PAGES_PER_THREAD * rayon::current_num_threads(),
            pages: 0,
        }
    }
}

/// The pages of one text, drawn ahead by several threads.
pub struct ParallelPages<'a, T> {
    shared: &'a Arc<Shared>,
    flow: PageFlow<'a>,
    make: MakePage<T>,
    under_way: VecDeque<(Arc<PageLayout>, Receiver<T>)>,
    limit: usize,
    pages: u64,
}

impl<T: Send + 'static> ParallelPages<'_, T> {
    /// What happened so far; complete when the iterator is.
    pub fn report(&self) -> RenderReport {
        self.shared.report(&self.flow, self.pages)
    }

    fn start(&mut self, layout: PageLayout) {
        let layout = Arc::new(layout);
        let (sender, receiver) = sync_channel(1);
        let (shared, make) = (Arc::clone(self.shared), self.make);
        let job = Arc::clone(&layout);
        rayon::spawn(move || {
            let drawn = draw(&shared, make, &job);
            // The receiver is gone when the iterator was dropped early.
            drop(sender.send(drawn));
        });
        self.under_way.push_back((layout, receiver));
    }
}

impl<T: Send + 'static> Iterator for ParallelPages<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.under_way.len() < self.limit {
            let Some(layout) = self.flow.next() else {
                break;
            };
            self.start(layout);
        }
        let (layout, receiver) = self.under_way.pop_front()?;
        self.pages += 1;
        // A thread that failed leaves the page to this one.
        let drawn = wait(&receiver);
        Some(drawn.unwrap_or_else(|| draw(self.shared, self.make, &layout)))
    }
}

fn draw<T>(shared: &Shared, make: MakePage<T>, layout: &PageLayout) -> T {
    let mut rasterizer = shared.take_rasterizer();
    let page = make(shared, layout, &mut rasterizer);
    shared.return_rasterizer(rasterizer);
    page
}

/// Waits for a page. One of rayon's own threads draws other pages meanwhile, since all of them
/// could be waiting.
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
