//! Input that cannot be used: every case is a typed error that names it, and none is a panic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use glyph_render::{
    Alignment, FontError, FontLibrary, MONO_FONT, NewlineMarkup, RenderError, RenderStyle,
    Renderer, SANS_FONT, StyleError,
};

fn style() -> RenderStyle {
    RenderStyle::with_font(SANS_FONT)
}

/// The message with which a style is refused.
fn refusal(style: RenderStyle) -> String {
    let refused = Renderer::new(style, FontLibrary::bundled()).err();
    let Some(RenderError::Style(error)) = refused else {
        panic!("not refused for its style: {refused:?}");
    };
    error.to_string()
}

/// The lines of all pages.
fn drawn(renderer: &Renderer, text: &str) -> Vec<String> {
    let lines = renderer.pages(text).flat_map(|page| page.lines);
    lines.map(|line| line.text).collect()
}

#[test]
fn every_number_is_checked() {
    type Set = fn(&mut RenderStyle, f64);
    let numbers: [(&str, f64, Set); 15] = [
        ("page-size", 0.0, |style, value| style.page_width_pt = value),
        ("page-size", 0.0, |style, value| {
            style.page_height_pt = value
        }),
        ("dpi", 0.5, |style, value| style.dpi = value),
        ("margin-x", -6.5, |style, value| style.margin_x_pt = value),
        ("margin-y", -6.5, |style, value| style.margin_y_pt = value),
        ("font-size", 0.0, |style, value| style.font_size_pt = value),
        ("line-height", 1e-9, |style, value| {
            style.line_height_pt = value
        }),
        ("horizontal-scale", 0.0, |style, value| {
            style.horizontal_scale = value
        }),
        ("first-line-indent", -15e3, |style, value| {
            style.first_line_indent_pt = value
        }),
        ("left-indent", -15e3, |style, value| {
            style.left_indent_pt = value
        }),
        ("right-indent", -15e3, |style, value| {
            style.right_indent_pt = value
        }),
        ("space-before", -1.0, |style, value| {
            style.space_before_pt = value
        }),
        ("space-after", -1.0, |style, value| {
            style.space_after_pt = value
        }),
        ("border-width", -1.0, |style, value| {
            style.border_width_pt = value
        }),
        ("border-padding", -1.0, |style, value| {
            style.border_padding_pt = value
        }),
    ];
    for (key, low, set) in numbers {
        for value in [
            low,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
            -1e300,
        ] {
            let mut style = style();
            set(&mut style, value);
            let Err(StyleError::BadValue {
                key: named,
                value: shown,
                ..
            }) = style.validate()
            else {
                panic!("{key} may be {value}");
            };
            assert_eq!((named, shown), (key, value.to_string()));
            assert!(refusal(style).contains("must be"));
        }
    }
}

#[test]
fn wrong_types_and_numbers_in_text_are_named() {
    let cases = [
        ("page-size", "\"inf,842\""),
        ("page-size", "\"nan,842\""),
        ("page-size", "\"595,842,1\""),
        ("page-size", "[595]"),
        ("page-size", "{}"),
        ("page-size", "595"),
        ("page-size", "\"-595,842\""),
        ("page-size", "[0, 0]"),
        ("dpi", "[72]"),
        ("dpi", "true"),
        ("font-path", "7"),
        ("font-path", "\"\""),
        ("font-size", "\"9\""),
        ("font-color", "0"),
        ("font-color", "\"#00000é\""),
        ("alignment", "4"),
        ("auto-crop-last-page", "\"true\""),
        ("newline-markup", "null"),
        ("newline-markup", "\"<font color=\""),
    ];
    for (key, value) in cases {
        let font = if key == "font-path" {
            ""
        } else {
            "\"font-path\": \"x.ttf\", "
        };
        let error = RenderStyle::from_json(&format!("{{{font}\"{key}\": {value}}}")).unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, StyleError::BadValue { key: named, .. } if named == key),
            "{message}"
        );
        assert!(message.contains(&format!("`{key}`")), "{message}");
    }
    for text in ["", "{", "null", "\"style\""] {
        let error = RenderStyle::from_json(text).unwrap_err();
        assert!(matches!(error, StyleError::NotJson(_)), "{text}: {error}");
    }
    let error = RenderStyle::from_json(r#"{"dpi": 1e999}"#).unwrap_err();
    assert!(matches!(error, StyleError::NotJson(_)), "{error}");
    let error = error.to_string();
    assert!(
        error.contains("key `dpi` has a value that cannot be read: number out of range"),
        "{error}"
    );
    let twice = r#"{"font-path": "x.ttf", "dpi": 72, "dpi": 96}"#;
    let error = RenderStyle::from_json(twice).unwrap_err().to_string();
    assert!(error.contains("key `dpi` stands there twice"), "{error}");
}

#[test]
fn messages_stay_short() {
    let long = "x".repeat(1_000_000);
    let with_value = format!(r#"{{"font-path": "x.ttf", "dpi": "{long}"}}"#);
    let with_key = format!(r#"{{"{long}": 1}}"#);
    for json in [with_value, with_key] {
        let message = RenderStyle::from_json(&json).unwrap_err().to_string();
        assert!(message.len() < 1000, "{} bytes", message.len());
    }
    assert_eq!(NewlineMarkup::parse(&long), None);
}

#[test]
fn pages_that_need_gigabytes_are_refused() {
    let large = RenderStyle {
        page_width_pt: 14400.0,
        page_height_pt: 14400.0,
        dpi: 720.0,
        ..style()
    };
    let message = refusal(large);
    for part in [
        "page-size 14400,14400",
        "dpi 720",
        "144000×144000",
        "lower page-size or dpi",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let stretched = RenderStyle {
        dpi: 300.0,
        horizontal_scale: 100.0,
        ..style()
    };
    assert!(refusal(stretched).contains("horizontal-scale 100"));
    let letters = RenderStyle {
        font_size_pt: 14400.0,
        ..style()
    };
    let message = refusal(letters);
    assert!(
        message.contains("font-size 14400") && message.contains("dpi 72"),
        "{message}"
    );
}

#[test]
fn the_largest_page_is_drawn() {
    let style = RenderStyle {
        page_width_pt: 6000.0,
        page_height_pt: 6000.0,
        ..style()
    };
    let renderer = Renderer::new(style, FontLibrary::bundled()).unwrap();
    let page = renderer.png_pages("one line").next().unwrap().unwrap();
    assert_eq!((page.width_px, page.height_px), (6000, 6000));
}

#[test]
fn the_smallest_and_oddest_styles_draw_pages() {
    let tiny = RenderStyle {
        page_width_pt: 1.0,
        page_height_pt: 1.0,
        margin_x_pt: -6.0,
        margin_y_pt: -6.0,
        dpi: 1.0,
        font_size_pt: 0.1,
        line_height_pt: 0.1,
        ..style()
    };
    let outside = RenderStyle {
        left_indent_pt: -9000.0,
        first_line_indent_pt: -9000.0,
        space_before_pt: 14400.0,
        space_after_pt: 14400.0,
        border_width_pt: 14400.0,
        border_padding_pt: 14400.0,
        alignment: Alignment::Right,
        ..style()
    };
    let letters_larger_than_the_page = RenderStyle {
        font_size_pt: 1000.0,
        ..style()
    };
    let narrow = RenderStyle {
        horizontal_scale: 0.01,
        auto_crop_width: true,
        ..style()
    };
    for style in [tiny, outside, letters_larger_than_the_page, narrow] {
        let renderer = Renderer::new(style.clone(), FontLibrary::bundled()).unwrap();
        let text = "some words, one_very_long_word_without_any_place_to_break\n".repeat(40);
        for text in [text.as_str(), "中文 & words", ""] {
            for page in renderer.pages(text).take(500) {
                assert!(page.width_px > 0 && page.height_px > 0, "{style:?}");
                page.to_png().unwrap();
            }
        }
    }
}

#[test]
fn every_character_can_be_drawn() {
    let all: Vec<char> = (0..=u32::from(char::MAX))
        .filter_map(char::from_u32)
        .collect();
    let text = all.chunks(1000).map(String::from_iter).collect::<Vec<_>>();
    let text = text.join("\n");
    let renderer = Renderer::new(style(), FontLibrary::bundled()).unwrap();
    let mut pages = renderer.pages(&text);
    assert!(pages.by_ref().count() > 50);
    let report = pages.report();
    assert_eq!(report.characters, text.chars().count() as u64);
    assert!(report.missing_glyphs.contains_key(&'\0'));
    assert!(!report.missing_glyphs.contains_key(&'A'));
}

#[test]
fn texts_of_one_repeated_character_end() {
    let renderer = Renderer::new(style(), FontLibrary::bundled()).unwrap();
    for unit in [
        "\n", " ", "\t", "\r", "&", "<", "x", "x ", "\u{A0}", "\u{AD}", "\u{200B}", "\0", "中",
    ] {
        drawn(&renderer, &unit.repeat(50_000));
    }
    assert_eq!(drawn(&renderer, "a\u{AD}b\u{200B}c"), ["abc"]);
}

#[test]
fn files_that_are_no_fonts_are_refused() {
    let font = include_bytes!("../fonts/DejaVuSansMono.ttf");
    let mut fonts = FontLibrary::empty();
    let zeros = vec![0; 100_000];
    let png = b"\x89PNG\r\n\x1A\n".to_vec();
    let header = font[..12].to_vec();
    let table_list = font[..300].to_vec();
    for bytes in [
        Vec::new(),
        zeros,
        png,
        header,
        table_list,
        b"words".repeat(999),
    ] {
        let error = fonts.add_font("broken.ttf", bytes).unwrap_err();
        assert_eq!(
            error,
            FontError::Unreadable {
                name: "broken.ttf".to_owned()
            }
        );
    }
    assert_eq!(fonts.names().count(), 0);
    let error = Renderer::new(style(), fonts).err().unwrap().to_string();
    assert!(
        error.contains(SANS_FONT) && error.contains("holds no font"),
        "{error}"
    );
}

#[test]
fn a_font_that_ends_early_is_refused_or_drawn() {
    let font = include_bytes!("../fonts/DejaVuSansMono.ttf");
    for part in 1..24 {
        let mut fonts = FontLibrary::empty();
        let bytes = font[..font.len() * part / 24].to_vec();
        if fonts.add_font(MONO_FONT, bytes).is_ok() {
            let style = RenderStyle::with_font(MONO_FONT);
            if let Ok(renderer) = Renderer::new(style, fonts) {
                assert_eq!(drawn(&renderer, "words").len(), 1);
            }
        }
    }
}

#[test]
fn a_character_map_damaged_to_have_no_end_is_read() {
    let mut font = include_bytes!("../fonts/DejaVuSansMono.ttf").to_vec();
    let be16 = |font: &[u8], at: usize| usize::from(u16::from_be_bytes([font[at], font[at + 1]]));
    let be32 = |font: &[u8], at: usize| be16(font, at) << 16 | be16(font, at + 2);
    let table = (0..be16(&font, 4))
        .map(|i| 12 + 16 * i)
        .find(|at| font[*at..].starts_with(b"cmap"));
    let cmap = be32(&font, table.unwrap() + 8);
    let subtables: Vec<usize> = (0..be16(&font, cmap + 2))
        .map(|i| cmap + be32(&font, cmap + 4 + 8 * i + 4))
        .filter(|at| be16(&font, *at) == 12)
        .collect();
    assert!(!subtables.is_empty());
    for at in subtables {
        for group in 0..be32(&font, at + 12) {
            let end = at + 16 + 12 * group + 4;
            font[end..end + 4].fill(0xFF);
        }
    }
    let mut fonts = FontLibrary::empty();
    fonts.add_font(MONO_FONT, font).unwrap();
    let renderer = Renderer::new(RenderStyle::with_font(MONO_FONT), fonts).unwrap();
    assert_eq!(drawn(&renderer, "words").len(), 1);
}

#[test]
fn a_changed_page_of_wrong_size_is_no_png() {
    let renderer = Renderer::new(style(), FontLibrary::bundled()).unwrap();
    let page = renderer.pages("words").next().unwrap();
    for (width_px, height_px) in [
        (0, 0),
        (0, page.height_px),
        (page.width_px, 1),
        (u32::MAX, u32::MAX),
    ] {
        let mut changed = page.clone();
        (changed.width_px, changed.height_px) = (width_px, height_px);
        assert!(changed.to_png().is_err());
    }
}
