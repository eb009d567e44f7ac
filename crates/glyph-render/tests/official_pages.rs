//! Compares pages with those of reportlab and poppler (tests/fixtures/render, written by
//! tests/reference/render_fixtures.py with the same font files).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};

use glyph_render::{FontLibrary, Page, RenderStyle, Renderer};
use serde_json::Value;

/// Lowest correlation between the ink of a page and of its official counterpart.
const MIN_INK_CORRELATION: f64 = 0.9995;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/render")
}

struct Case {
    folder: PathBuf,
    style: RenderStyle,
    text: String,
    expected: Value,
}

impl Case {
    fn read(name: &str) -> Case {
        let folder = fixtures().join(name);
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let expected: Value = serde_json::from_str(&read("expected.json")).unwrap();
        let mut text = read("text.txt");
        if let Some(repeat) = expected["repeat"].as_u64() {
            text = expand(&text, repeat as usize);
        }
        Case {
            style: RenderStyle::from_json(&read("style.json")).unwrap(),
            text,
            expected,
            folder,
        }
    }

    /// Pages drawn with the style's font alone, as the official renderer draws them.
    fn pages(&self) -> Vec<Page> {
        let name = self.style.font_path.clone();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fonts")
            .join(&name);
        let mut fonts = FontLibrary::empty();
        fonts.add_font(&name, fs::read(path).unwrap()).unwrap();
        let renderer = Renderer::new(self.style.clone(), fonts).unwrap();
        renderer.pages(&self.text).collect()
    }
}

/// The large text that stands for a seed: its lines in a fixed shuffle, numbered.
fn expand(seed: &str, repeat: usize) -> String {
    let lines: Vec<&str> = seed.split('\n').collect();
    let numbered = (0..repeat).map(|i| format!("{i} {}", lines[i * 7 % lines.len()]));
    numbered.collect::<Vec<_>>().join("\n")
}

/// One hash over all lines of all pages.
fn digest(pages: &[Page]) -> String {
    let mut value = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |text: &str| {
        for byte in text.bytes() {
            value = (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    };
    for page in pages {
        for line in &page.lines {
            add(&line.text);
            add("\n");
        }
        add("\u{C}");
    }
    format!("{value:016x}")
}

fn check_lines(name: &str, pages: &[Page], expected: &Value) {
    let Some(expected_pages) = expected["page_lines"].as_array() else {
        return;
    };
    for (page, expected) in pages.iter().zip(expected_pages) {
        let expected: Vec<&str> = expected
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        for (number, (line, expected)) in page.lines.iter().zip(&expected).enumerate() {
            assert_eq!(
                &line.text, expected,
                "{name}: page {}, line {number}",
                page.index
            );
        }
        assert_eq!(
            page.lines.len(),
            expected.len(),
            "{name}: lines on page {}",
            page.index
        );
    }
}

fn check_sizes(name: &str, pages: &[Page], expected: &Value) {
    let sizes = expected["sizes_px"].as_array().unwrap();
    for (page, size) in pages.iter().zip(sizes) {
        let side = |place: usize| size[place].as_i64().unwrap();
        let (width, height) = (i64::from(page.width_px), i64::from(page.height_px));
        assert!(
            (width - side(0)).abs() <= 1 && (height - side(1)).abs() <= 1,
            "{name}: page {} is {width}×{height}, officially {size}",
            page.index
        );
    }
    assert_eq!(pages.len(), sizes.len(), "{name}: pages");
}

/// Cases of several pages whose first one is kept as well; of the others, whose pages have much the same ink, the last.
const FIRST_PAGES: [&str; 6] = [
    "centred",
    "chinese",
    "code",
    "latin",
    "mini_8_lines",
    "right_aligned_chinese",
];

fn ink_correlation(page: &Page, official: &image::RgbImage) -> f64 {
    let width = page.width_px.min(official.width()) as usize;
    let height = page.height_px.min(official.height()) as usize;
    let (mut sums, mut count) = ([0.0; 5], 0.0);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let place = (y * page.width_px as usize + x) * 3 + channel;
                let ours = 255.0 - f64::from(page.rgb[place]);
                let theirs = 255.0 - f64::from(official.get_pixel(x as u32, y as u32)[channel]);
                let terms = [ours, theirs, ours * ours, theirs * theirs, ours * theirs];
                sums.iter_mut()
                    .zip(terms)
                    .for_each(|(sum, term)| *sum += term);
                count += 1.0;
            }
        }
    }
    let [ours, theirs, ours2, theirs2, product] = sums.map(|sum| sum / count);
    let (variance, official_variance) = (ours2 - ours * ours, theirs2 - theirs * theirs);
    if variance < 1e-9 && official_variance < 1e-9 {
        return 1.0;
    }
    (product - ours * theirs) / (variance * official_variance).sqrt()
}

fn check(name: &str) {
    let case = Case::read(name);
    let pages = case.pages();
    check_lines(name, &pages, &case.expected);
    assert_eq!(
        case.expected["lines_fnv1a"],
        digest(&pages),
        "{name}: a line differs"
    );
    check_sizes(name, &pages, &case.expected);
    let last = pages.len() - 1;
    for page in [&pages[0], &pages[last]] {
        let path = case.folder.join(format!("page_{:03}.png", page.index));
        if page.index < last && !FIRST_PAGES.contains(&name) {
            continue;
        }
        let official = image::open(path).unwrap().to_rgb8();
        let correlation = ink_correlation(page, &official);
        println!("{name}: page {} correlates {correlation:.5}", page.index);
        assert!(
            correlation >= MIN_INK_CORRELATION,
            "{name}: ink of page {} correlates {correlation:.4}",
            page.index
        );
    }
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases!(
    latin,
    latin_single_line,
    latin_marker,
    chinese,
    chinese_single_line,
    chinese_long_line,
    chinese_marker,
    mixed,
    code,
    code_large,
    large_type,
    long_words,
    long_words_indented,
    cut_words,
    empty,
    blank_lines,
    one_blank_line,
    controls,
    controls_chinese,
    emoji,
    right_to_left,
    justified,
    justified_chinese,
    centred,
    right_aligned,
    right_aligned_chinese,
    coloured,
    scaled,
    defaults,
    exact_page,
    mini_8_lines,
    mini_16_lines,
    megabyte_latin,
    megabyte_chinese,
);

#[test]
fn every_fixture_is_checked() {
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            NAMES.contains(&name.as_str()),
            "no test reads the fixture {name}"
        );
    }
}
