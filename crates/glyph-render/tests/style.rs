//! The render configuration: every official key, and errors that name what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use glyph_render::{Alignment, NewlineMarkup, RenderStyle, Rgb, StyleConflict, StyleError};

const CONFIG: &str = r##"{
    "page-size": "595,842", "dpi": 96, "margin-x": 10, "margin-y": 12.5,
    "font-path": "../config/Verdana.ttf", "font-size": 9, "line-height": 10,
    "font-color": "#102030", "alignment": "CENTER", "horizontal-scale": 0.9,
    "first-line-indent": 1, "left-indent": 2, "right-indent": 3, "space-before": 4,
    "space-after": 5, "border-width": 0.5, "border-padding": 1.5, "page-bg-color": "#FFFFF0",
    "para-bg-color": "#F0FFFF", "para-border-color": "#FF00FF", "auto-crop-width": true,
    "auto-crop-last-page": false, "newline-markup": "<font color=\"#FF0000\"> \\n </font>"
}"##;

fn bad_value(json: &str) -> (&'static str, String) {
    match RenderStyle::from_json(json).unwrap_err() {
        StyleError::BadValue { key, value, .. } => (key, value),
        error => panic!("not a bad value: {error}"),
    }
}

#[test]
fn every_official_key_is_read() {
    let style = RenderStyle::from_json(CONFIG).unwrap();
    assert_eq!((style.page_width_pt, style.page_height_pt), (595.0, 842.0));
    assert_eq!(
        (style.dpi, style.margin_x_pt, style.margin_y_pt),
        (96.0, 10.0, 12.5)
    );
    assert_eq!(style.font_path, "../config/Verdana.ttf");
    assert_eq!(
        style.font_color,
        Rgb {
            red: 0x10,
            green: 0x20,
            blue: 0x30
        }
    );
    assert_eq!(style.alignment, Alignment::Center);
    assert_eq!(style.horizontal_scale, 0.9);
    assert_eq!(
        (style.first_line_indent_pt, style.left_indent_pt),
        (1.0, 2.0)
    );
    assert_eq!((style.right_indent_pt, style.space_before_pt), (3.0, 4.0));
    assert_eq!((style.space_after_pt, style.border_width_pt), (5.0, 0.5));
    assert_eq!(style.border_padding_pt, 1.5);
    assert!(style.auto_crop_width && !style.auto_crop_last_page);
    assert_eq!(style.newline_markup, NewlineMarkup::red_marker());
}

#[test]
fn a_style_survives_writing_and_reading() {
    let style = RenderStyle::from_json(CONFIG).unwrap();
    assert_eq!(RenderStyle::from_json(&style.to_json()).unwrap(), style);
    let through_serde: RenderStyle = serde_json::from_str(&style.to_json()).unwrap();
    assert_eq!(through_serde, style);
}

#[test]
fn missing_keys_take_the_official_function_s_defaults() {
    let style =
        RenderStyle::from_json(r#"{"font-path": "DejaVuSans.ttf", "font-size": 12}"#).unwrap();
    assert_eq!(style.line_height_pt, 13.0);
    assert_eq!(style.alignment, Alignment::Justify);
    assert_eq!(style.margin_x_pt, 20.0);
    assert_eq!(style.page_px(), (596, 842));
    assert!(!style.auto_crop_width);
    let zero = r#"{"font-path": "DejaVuSans.ttf", "font-size": 8, "line-height": 0}"#;
    assert_eq!(RenderStyle::from_json(zero).unwrap().line_height_pt, 9.0);
}

#[test]
fn an_unknown_key_is_named() {
    let error = RenderStyle::from_json(r#"{"font-path": "x.ttf", "font_size": 9}"#).unwrap_err();
    assert_eq!(
        error,
        StyleError::UnknownKey {
            key: "font_size".to_owned()
        }
    );
    assert!(error.to_string().contains("`font_size`") && error.to_string().contains("font-size"));
}

#[test]
fn a_missing_font_is_named() {
    let error = RenderStyle::from_json("{}").unwrap_err().to_string();
    assert!(error.contains("`font-path`"), "{error}");
}

#[test]
fn bad_values_are_named() {
    let with = |key: &str, value: &str| format!(r#"{{"font-path": "x.ttf", "{key}": {value}}}"#);
    let cases = [
        ("page-size", "\"595\""),
        ("page-size", "\"a,b\""),
        ("dpi", "\"72\""),
        ("dpi", "0"),
        ("margin-x", "-7"),
        ("font-size", "-1"),
        ("font-size", "null"),
        ("alignment", "\"MIDDLE\""),
        ("font-color", "\"red\""),
        ("page-bg-color", "\"#FFF\""),
        ("horizontal-scale", "0"),
        ("auto-crop-width", "1"),
        ("newline-markup", "\"<b>\""),
        ("newline-markup", "\"<font color=\\\"red\\\">x</font>\""),
        ("border-width", "-1"),
    ];
    for (key, value) in cases {
        assert_eq!(bad_value(&with(key, value)).0, key, "{key}: {value}");
    }
    assert_eq!(bad_value(&with("dpi", "0")).1, "0");
    assert!(matches!(
        RenderStyle::from_json("[1]"),
        Err(StyleError::NotJson(_))
    ));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_style() {
    let json = RenderStyle::official_en().to_json();
    assert_eq!(
        RenderStyle::from_json(&format!("\u{feff}{json}")).unwrap(),
        RenderStyle::official_en()
    );
}

#[test]
fn values_that_are_impossible_together_are_told_apart() {
    let conflict = |keys: &str| {
        let json = format!(r#"{{"font-path": "x.ttf", {keys}}}"#);
        match RenderStyle::from_json(&json).unwrap_err() {
            StyleError::Impossible(conflict) => conflict,
            error => panic!("no conflict: {error}"),
        }
    };
    let narrow = conflict(r#""page-size": "60,842", "margin-x": 24"#);
    assert!(matches!(narrow, StyleConflict::NoWidth { line_pt, .. } if line_pt <= 0.0));
    // A paragraph is white where a style says no colour for it.
    let unseen = conflict(r##""page-bg-color": "#000000", "font-color": "#FFFFFF""##);
    assert!(matches!(unseen, StyleConflict::NoContrast { color } if color == Rgb::WHITE));
    assert!(
        unseen
            .to_string()
            .contains("font-color #FFFFFF is para-bg-color")
    );
    let low = conflict(r#""page-size": "595,71", "line-height": 144"#);
    let StyleConflict::NoHeight { height_pt, .. } = low else {
        panic!("another conflict: {low}");
    };
    assert_eq!(
        low.to_string(),
        format!(
            "page-size 595,71 with margin-y 20 leaves {height_pt:.2} points for lines of \
             line-height 144, and a page must hold two; raise the page or lower margin-y or \
             line-height"
        )
    );
    let large = conflict(r#""page-size": "14400,14400""#);
    assert!(matches!(large, StyleConflict::LargePages { height_px, .. } if height_px == 14400));
    let letters = conflict(r#""font-size": 1025, "page-size": "595,5000""#);
    assert_eq!(
        letters.to_string(),
        "font-size 1025 with dpi 72 makes letters of 1025 pixels, and the limit is 1024; lower \
         font-size or dpi"
    );
}

#[test]
fn the_shipped_configurations_are_built_in() {
    let style = RenderStyle::official_en();
    assert_eq!(style.page_px(), (595, 842));
    assert_eq!((style.font_size_pt, style.line_height_pt), (9.0, 10.0));
    assert_eq!(
        RenderStyle::official_zh().font_path,
        "SourceHanSansHWSC-VF.ttf"
    );
}

#[test]
fn the_official_style_follows_the_language() {
    for text in ["", "plain", "かな", "한글", "\u{4DFF}", "\u{A000}"] {
        assert_eq!(
            RenderStyle::official(text),
            RenderStyle::official_en(),
            "{text}"
        );
    }
    for text in ["中文", "mostly English, 汉", "\u{4E00}", "\u{9FFF}"] {
        assert_eq!(
            RenderStyle::official(text),
            RenderStyle::official_zh(),
            "{text}"
        );
    }
}
