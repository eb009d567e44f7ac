//! The renderer's own promises: laziness, order, reports, fonts, exact columns.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use std::collections::BTreeSet;

use glyph_render::{
    CJK_FONT, FontError, FontLibrary, MONO_FONT, NewlineMarkup, RenderError, RenderStyle, Renderer,
    SANS_FONT,
};

fn renderer(style: RenderStyle) -> Renderer {
    Renderer::new(style, FontLibrary::bundled()).unwrap()
}

/// The style of glyph-mini: 40 columns and 8 or 16 lines.
fn mini(line_height_pt: f64) -> RenderStyle {
    RenderStyle::from_json(&format!(
        r#"{{"page-size": "280,224", "margin-x": -6, "margin-y": -6, "font-size": 11.626,
            "font-path": "{MONO_FONT}", "line-height": {line_height_pt}, "alignment": "LEFT",
            "auto-crop-width": false, "auto-crop-last-page": false}}"#
    ))
    .unwrap()
}

#[test]
fn forty_columns_fit_and_the_next_one_breaks() {
    let renderer = renderer(mini(28.0));
    let lines = |text: &str| {
        let page = renderer.pages(text).next().unwrap();
        page.lines
            .into_iter()
            .map(|line| line.text)
            .collect::<Vec<_>>()
    };
    let forty = "x".repeat(40);
    assert_eq!(lines(&forty), [forty.as_str()]);
    assert_eq!(lines(&format!("{forty}y")), [forty.as_str(), "y"]);
    let words = "abcdefghi abcdefghi abcdefghi abcdefghij";
    assert_eq!(lines(words), [words]);
    // Spaces may shrink by a twentieth, which three spaces cannot turn into a column.
    assert_eq!(
        lines(&format!("{words}k")),
        ["abcdefghi abcdefghi abcdefghi", "abcdefghijk"]
    );
}

#[test]
fn eight_and_sixteen_lines_fill_a_page() {
    for (line_height_pt, rows) in [(28.0, 8), (14.0, 16)] {
        let renderer = renderer(mini(line_height_pt));
        let words = vec!["x".repeat(40); rows + 1];
        let full: Vec<_> = renderer.pages(&words[..rows].join(" ")).collect();
        assert_eq!(full.len(), 1);
        assert_eq!(full[0].lines.len(), rows);
        assert_eq!((full[0].width_px, full[0].height_px), (280, 224));
        let over: Vec<_> = renderer.pages(&words.join(" ")).collect();
        assert_eq!(
            over.iter().map(|page| page.lines.len()).collect::<Vec<_>>(),
            [rows, 1]
        );
    }
}

#[test]
fn lines_say_where_they_are() {
    let renderer = renderer(mini(28.0));
    let page = renderer.pages("ab\n  cd").next().unwrap();
    let [first, second] = &page.lines[..] else {
        panic!("two lines")
    };
    assert_eq!(second.text, "\u{A0}\u{A0}cd");
    assert!(
        (first.baseline_px - 11.626).abs() < 0.01,
        "{}",
        first.baseline_px
    );
    assert!((second.baseline_px - first.baseline_px - 28.0).abs() < 0.01);
    assert!(
        (second.width_px - 4.0 * 6.9994).abs() < 0.01,
        "{}",
        second.width_px
    );
    assert_eq!(first.x_px, 0.0);
    let ink_in_row = |row: usize| {
        page.rgb[row * 280 * 3..][..280 * 3]
            .iter()
            .any(|v| *v < 128)
    };
    assert!(ink_in_row(10) && !ink_in_row(20) && ink_in_row(38));
}

#[test]
fn pages_are_made_when_they_are_asked_for() {
    let renderer = renderer(RenderStyle::official_en());
    let text = "A line of text that is repeated often enough.\n".repeat(200_000);
    let mut pages = renderer.pages(&text);
    pages.next().unwrap();
    let report = pages.report();
    assert_eq!(report.pages, 1);
    assert!(
        report.characters < 10_000,
        "{} characters for one page",
        report.characters
    );
}

#[test]
fn parallel_pages_are_the_same_in_the_same_order() {
    let renderer = renderer(RenderStyle::official_en());
    let text = (0..3000)
        .map(|i| format!("{i} some words to draw\n"))
        .collect::<String>();
    let in_turn: Vec<_> = renderer.pages(&text).collect();
    let mut parallel = renderer.pages_parallel(&text);
    let together: Vec<_> = parallel.by_ref().collect();
    assert!(in_turn.len() > 20);
    assert!(in_turn == together);
    let mut pages = renderer.pages(&text);
    pages.by_ref().for_each(drop);
    assert_eq!(pages.report(), parallel.report());
    assert_eq!(parallel.report().characters, text.chars().count() as u64);
}

#[test]
fn parallel_pages_do_not_block_the_only_thread() {
    let renderer = renderer(mini(14.0));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let text = "words ".repeat(5000);
    assert!(pool.install(|| renderer.pages_parallel(&text).count()) > 40);
}

#[test]
fn the_size_of_pages_is_known_before_they_are_drawn() {
    for horizontal_scale in [0.3, 1.0, 1.7, 4.0] {
        let style = RenderStyle {
            horizontal_scale,
            dpi: 75.0,
            ..mini(28.0)
        };
        let page = renderer(style.clone()).pages("text").next().unwrap();
        let size_px = (page.width_px, page.height_px);
        assert_eq!(style.whole_page_px(), Some(size_px), "{horizontal_scale}");
        let n_pixels = u64::from(page.width_px) * u64::from(page.height_px);
        assert!(style.drawn_pixels() >= n_pixels);
        let (width_px, height_px) = style.page_px();
        assert!(style.drawn_pixels() >= u64::from(width_px) * u64::from(height_px));
    }
    for (auto_crop_width, auto_crop_last_page) in [(true, false), (false, true)] {
        let style = RenderStyle {
            auto_crop_width,
            auto_crop_last_page,
            ..mini(28.0)
        };
        assert_eq!(style.whole_page_px(), None);
    }
}

#[test]
fn the_steps_of_drawing_ahead_can_be_taken_one_by_one() {
    let renderer = renderer(mini(14.0));
    let text = "words ".repeat(2000);
    let in_turn: Vec<_> = renderer.pages(&text).collect();
    let mut pages = renderer.pages_parallel(&text);
    assert!(pages.finish().is_none());
    let mut one_by_one = Vec::new();
    while pages.has_more() {
        assert!(!pages.is_full());
        pages.begin();
        one_by_one.extend(pages.finish());
    }
    pages.begin();
    assert!(pages.finish().is_none());
    assert!(in_turn.len() > 10);
    assert!(in_turn == one_by_one);
    assert_eq!(pages.report().pages, in_turn.len() as u64);
}

#[test]
fn a_renderer_serves_several_threads() {
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    let renderer = renderer(mini(28.0));
    is_shared(&renderer);
    let alone = renderer.pages("text").next().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (renderer, alone) = (renderer.clone(), &alone);
            scope.spawn(move || assert!(renderer.pages("text").next().as_ref() == Some(alone)));
        }
    });
}

#[test]
fn png_files_hold_the_page() {
    let mut style = RenderStyle::official_en();
    for markup in [NewlineMarkup::line_break(), NewlineMarkup::red_marker()] {
        style.newline_markup = markup;
        let renderer = renderer(style.clone());
        let text = "first line\nsecond line";
        let page = renderer.pages(text).next().unwrap();
        let file = renderer.png_pages(text).next().unwrap().unwrap();
        for png in [page.to_png().unwrap(), file.png] {
            let image = image::load_from_memory(&png).unwrap().to_rgb8();
            assert_eq!(image.dimensions(), (page.width_px, page.height_px));
            assert!(image.into_raw() == page.rgb);
        }
    }
}

#[test]
fn a_marker_is_drawn_in_its_colour() {
    let mut style = RenderStyle::official_en();
    style.newline_markup = NewlineMarkup::red_marker();
    let page = renderer(style).pages("first\nsecond").next().unwrap();
    assert_eq!(page.lines[0].text, "first \\n second");
    let is_red = |pixel: &[u8]| pixel[0] > 200 && pixel[1] < 100 && pixel[2] < 100;
    assert!(page.rgb.chunks_exact(3).any(is_red));
}

#[test]
fn missing_characters_are_counted() {
    let renderer = renderer(RenderStyle::official_en());
    let mut pages = renderer.pages("rocket \u{1F680}\u{1F680} and bell \u{7}");
    pages.by_ref().for_each(drop);
    let missing = pages.report().missing_glyphs;
    assert_eq!(
        missing.into_iter().collect::<Vec<_>>(),
        [('\u{7}', 1), ('\u{1F680}', 2)]
    );
}

#[test]
fn other_fonts_draw_what_the_style_s_font_lacks() {
    let renderer = renderer(RenderStyle::official_en());
    let mut pages = renderer.pages("Chinese: 中文。");
    pages.by_ref().for_each(drop);
    let report = pages.report();
    assert!(report.missing_glyphs.is_empty());
    assert_eq!(report.borrowed_glyphs.get(CJK_FONT), Some(&3));
}

#[test]
fn substitutions_are_reported() {
    for (style, used) in [
        (RenderStyle::official_en(), SANS_FONT),
        (RenderStyle::official_zh(), CJK_FONT),
    ] {
        let requested = style.font_path.clone();
        let renderer = renderer(style);
        let substitutions = renderer.pages("").report().font_substitutions;
        assert_eq!(substitutions.len(), 1);
        assert_eq!(
            (&substitutions[0].requested, substitutions[0].used.as_str()),
            (&requested, used)
        );
    }
    let style = RenderStyle {
        font_path: format!("/fonts/{MONO_FONT}"),
        ..mini(28.0)
    };
    assert!(
        renderer(style)
            .pages("")
            .report()
            .font_substitutions
            .is_empty()
    );
}

#[test]
fn unknown_and_unreadable_fonts_are_errors() {
    let style = RenderStyle {
        font_path: "Missing.ttf".to_owned(),
        ..mini(28.0)
    };
    let error = Renderer::new(style, FontLibrary::bundled()).err().unwrap();
    assert!(matches!(
        error,
        RenderError::Font(FontError::NotFound { .. })
    ));
    assert!(error.to_string().contains("Missing.ttf") && error.to_string().contains(MONO_FONT));
    let error = FontLibrary::bundled()
        .add_font("broken.ttf", vec![1, 2, 3])
        .unwrap_err();
    assert!(error.to_string().contains("broken.ttf"));
}

#[test]
fn an_added_font_is_found_by_its_file_name() {
    let bytes = include_bytes!("../fonts/DejaVuSansMono.ttf").to_vec();
    let mut fonts = FontLibrary::empty();
    fonts.add_font("/somewhere/Own.ttf", bytes).unwrap();
    assert!(fonts.resolves("Own.ttf") && !fonts.resolves("Verdana.ttf"));
    let style = RenderStyle {
        font_path: "other/Own.ttf".to_owned(),
        ..mini(28.0)
    };
    let own = Renderer::new(style, fonts)
        .unwrap()
        .pages("abc")
        .next()
        .unwrap();
    let bundled = renderer(mini(28.0)).pages("abc").next().unwrap();
    assert!(own == bundled);
}

#[test]
fn every_character_is_drawn_once() {
    let renderer = renderer(mini(14.0));
    let text = (0..900).map(|i| format!("w{i}")).collect::<Vec<_>>();
    let drawn: Vec<String> = renderer
        .pages(&text.join("\n"))
        .flat_map(|page| page.lines)
        .map(|line| line.text)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(drawn, text);
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 900);
}
