//! Memory while long texts are rendered: it must not grow with the text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use glyph_render::{CJK_FONT, FontLibrary, RenderMemory, RenderStyle, Renderer, Rgb, SANS_FONT};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Waits until no other test of this file runs: all of them are counted together.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most bytes that `work` had in use beyond those in use before it.
fn peak_bytes(work: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    work();
    HEAP.peak_usage() - before
}

const MEGABYTE: usize = 1 << 20;

#[test]
fn ten_megabytes_of_text_take_the_memory_of_one_page() {
    let _alone = alone();
    let text = "A line of text that is repeated until it is long enough.\n".repeat(180_000);
    assert!(text.len() > 10_000_000);
    let renderer = Renderer::new(RenderStyle::official_en(), FontLibrary::bundled()).unwrap();
    let mut pages = 0;
    let peak = peak_bytes(|| pages = renderer.png_pages(&text).map(Result::unwrap).count());
    assert!(pages > 2000, "{pages} pages");
    // The fonts' outlines, a page of half a megabyte, its PNG file.
    assert!(peak < 8 * MEGABYTE, "{peak} bytes");
}

#[test]
fn parallel_pages_are_held_by_the_thread_not_by_the_text() {
    let _alone = alone();
    let text = "中文一行，重复很多次。\n".repeat(100_000);
    let renderer = Renderer::new(RenderStyle::official_zh(), FontLibrary::bundled()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let mut pages = 0;
    let peak = peak_bytes(|| {
        pool.unwrap()
            .install(|| pages = renderer.pages_parallel(&text).count());
    });
    assert!(pages > 1000, "{pages} pages");
    // Six pages of 1.5 megabytes are under way, and each thread has a canvas.
    assert!(peak < 24 * MEGABYTE, "{peak} bytes");
}

/// Bytes that are in use after `work` and were not before it.
fn kept_bytes(work: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    work();
    HEAP.current_usage().saturating_sub(before)
}

const RED: Rgb = Rgb {
    red: 255,
    green: 0,
    blue: 0,
};

#[test]
fn buffers_of_large_pages_are_not_kept() {
    let _alone = alone();
    let style = RenderStyle {
        page_width_pt: 4000.0,
        page_height_pt: 4000.0,
        font_color: RED,
        ..RenderStyle::with_font(SANS_FONT)
    };
    let renderer = Renderer::new(style, FontLibrary::bundled()).unwrap();
    let text = "A line of text.\n".repeat(1000);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let pool = pool.unwrap();
    let mut pages = 0;
    let kept = kept_bytes(|| {
        pool.install(|| pages = renderer.png_pages_parallel(&text).count());
    });
    assert!(pages > 2, "{pages} pages");
    // One canvas alone has 48 million bytes.
    assert!(kept < 24 * MEGABYTE, "{kept} bytes");
}

#[test]
fn renderers_that_share_a_memory_keep_no_more_than_it_holds() {
    let _alone = alone();
    let memory = RenderMemory::new(8 * MEGABYTE);
    let renderers: Vec<Renderer> = (0..16)
        .map(|index| {
            let style = RenderStyle {
                margin_x_pt: f64::from(index),
                font_color: RED,
                ..RenderStyle::official_en()
            };
            Renderer::with_memory(style, FontLibrary::bundled(), memory.clone()).unwrap()
        })
        .collect();
    let kept = kept_bytes(|| {
        for renderer in &renderers {
            let pages = renderer.png_pages("Some words of a text.\n").count();
            assert_eq!(pages, 1);
        }
    });
    // Each has a canvas of 1.5 million bytes. The encoder's tables are kept by nobody in particular.
    assert!(kept > MEGABYTE && kept < 12 * MEGABYTE, "{kept} bytes");
}

#[test]
fn pages_that_are_stretched_take_little_more_than_their_pixels() {
    let _alone = alone();
    let style = RenderStyle {
        page_width_pt: 14400.0,
        page_height_pt: 0.3,
        margin_x_pt: -6.0,
        margin_y_pt: -6.0,
        font_size_pt: 0.1,
        line_height_pt: 0.1,
        horizontal_scale: 100.0,
        ..RenderStyle::with_font(SANS_FONT)
    };
    let renderer = Renderer::new(style, FontLibrary::bundled()).unwrap();
    let mut size_px = (0, 0);
    let peak = peak_bytes(|| {
        let page = renderer.pages("text").next().unwrap();
        size_px = (page.width_px, page.height_px);
    });
    assert_eq!(size_px, (1_440_000, 1));
    assert!(peak < 32 * MEGABYTE, "{peak} bytes");
}

#[test]
fn images_of_large_type_are_not_all_kept() {
    let _alone = alone();
    let style = format!(
        r#"{{"font-path": "{CJK_FONT}", "font-size": 600, "line-height": 620, "alignment": "LEFT",
            "page-size": "660,1300"}}"#
    );
    let renderer = Renderer::new(
        RenderStyle::from_json(&style).unwrap(),
        FontLibrary::bundled(),
    )
    .unwrap();
    let text: String = ('\u{4E00}'..'\u{5000}').collect();
    let mut pages = 0;
    let peak = peak_bytes(|| pages = renderer.pages(&text).count());
    assert!(pages > 200, "{pages} pages");
    assert!(peak < 100 * MEGABYTE, "{peak} bytes");
}
