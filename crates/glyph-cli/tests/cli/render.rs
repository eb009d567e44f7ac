use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::run::{run, run_json, run_with_input, sample_text, text};

/// Width and height in the header of a PNG file.
fn png_size(path: &str) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

fn write_style(folder: &Path, changes: &Value) -> std::path::PathBuf {
    let mut style = json!({ "font-path": "DejaVuSansMono.ttf", "page-size": "200,100" });
    style
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    let path = folder.join("style.json");
    fs::write(&path, style.to_string()).unwrap();
    path
}

#[test]
fn pages_become_png_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pages");
    let sample = sample_text();
    let report = run_json(&[
        "render",
        "--text",
        text(&sample),
        "--out",
        text(&out),
        "--json",
    ]);
    let pages = report["pages"].as_array().unwrap();
    assert_eq!(fs::read_dir(&out).unwrap().count(), pages.len());
    for page in pages {
        let size = png_size(page["file"].as_str().unwrap());
        assert_eq!(page["width_px"], size.0);
        assert_eq!(page["height_px"], size.1);
        assert!(page["vision_tokens"].as_u64().unwrap() > 0);
    }
    let tokens: u64 = pages
        .iter()
        .map(|page| page["vision_tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(report["vision_tokens"], tokens);
    assert!(report["compression_ratio"].as_f64().unwrap() > 0.0);

    let plain = run(&["render", "--text", text(&sample), "--out", text(&out)]);
    assert_eq!(plain.code, 0);
    assert!(
        plain
            .stdout
            .starts_with(&format!("{} pages in ", pages.len())),
        "{}",
        plain.stdout
    );
    assert_eq!(plain.stderr, "");
}

#[test]
fn pages_of_an_earlier_text_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pages");
    let render = |n_lines: usize| {
        let args = ["render", "--text", "-", "--out", text(&out), "--json"];
        let outcome = run_with_input(&args, "A line.\n".repeat(n_lines).as_bytes());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        (report["pages"].as_array().unwrap().len(), outcome.stderr)
    };
    let (n_long, _) = render(60);
    fs::write(out.join("notes.png"), "").unwrap();
    // As an interrupted run leaves it, and of somebody else.
    let interrupted = out.join(".page_a1B2c3.partial");
    fs::copy(out.join("page_0001.png"), &interrupted).unwrap();
    fs::write(out.join(".page_mine.partial"), "mine").unwrap();
    let (n_short, stderr) = render(10);
    assert!(n_short < n_long, "{n_short} of {n_long}");
    assert!(
        stderr.contains(&format!("removed {} page", n_long - n_short)),
        "{stderr}"
    );
    assert!(!interrupted.exists());
    assert_eq!(fs::read_dir(&out).unwrap().count(), n_short + 2);
    assert_eq!(render(10), (n_short, String::new()));
}

#[test]
fn the_tokens_of_a_long_text_are_those_of_its_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    let args = [
        "render", "--text", "-", "--style", "official", "--out", out, "--json",
    ];
    let long = "A line of text, 中文.\n".repeat(10_000);
    let outcome = run_with_input(&args, long.as_bytes());
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["text_token_unit"], "byte");
    assert_eq!(report["text_tokens"], long.len());
}

#[test]
fn the_official_style_has_its_page_and_says_that_verdana_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "render",
        "--text",
        "-",
        "--style",
        "official",
        "--out",
        text(folder.path()),
        "--json",
    ];
    let long: String = "A line of text that is neither short nor long.\n".repeat(200);
    let outcome = run_with_input(&args, long.as_bytes());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["pages"][0]["height_px"], 842);
    assert!(
        outcome
            .stderr
            .contains("DejaVuSans.ttf stands in for Verdana.ttf"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn missing_glyphs_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "render",
        "--text",
        "-",
        "--out",
        text(folder.path()),
        "--json",
    ];
    let outcome = run_with_input(&args, "a \u{12000}\u{12000} b \u{13000}".as_bytes());
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        report["missing_glyphs"],
        json!([{ "character": "\u{12000}", "count": 2 }, { "character": "\u{13000}", "count": 1 }])
    );
    for part in ["3 characters", "U+12000 ×2", "U+13000 ×1"] {
        assert!(
            outcome.stderr.contains(part),
            "no {part:?} in {}",
            outcome.stderr
        );
    }
}

#[test]
fn the_font_path_is_seen_from_the_style() {
    let folder = tempfile::tempdir().unwrap();
    let font = Path::new(env!("CARGO_MANIFEST_DIR")).join("../glyph-render/fonts/DejaVuSans.ttf");
    fs::create_dir(folder.path().join("fonts")).unwrap();
    fs::copy(font, folder.path().join("fonts/own.ttf")).unwrap();
    let style = write_style(folder.path(), &json!({ "font-path": "fonts/own.ttf" }));
    let sample = sample_text();
    let render = |style: &Path| {
        let out = folder.path().join("pages");
        run(&[
            "render",
            "--text",
            text(&sample),
            "--style",
            text(style),
            "--out",
            text(&out),
        ])
    };
    let outcome = render(&style);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stderr, "");

    fs::write(folder.path().join("fonts/own.ttf"), "no font").unwrap();
    render(&style).fails(3, &["style.json", "fonts/own.ttf", "not a TrueType"]);
    fs::remove_file(folder.path().join("fonts/own.ttf")).unwrap();
    let looked_at = folder.path().join("fonts/own.ttf");
    let not_found = ["style.json", text(&looked_at), "DejaVuSansMono.ttf"];
    render(&style).fails(3, &[&not_found[..], &["No such file"]].concat());
    fs::create_dir(&looked_at).unwrap();
    render(&style).fails(3, &[&not_found[..], &["it is no file"]].concat());
}

#[test]
fn a_wrong_style_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample_text();
    let render = |style: &Path| {
        let out = folder.path().join("pages");
        run(&[
            "render",
            "--text",
            text(&sample),
            "--style",
            text(style),
            "--out",
            text(&out),
        ])
    };
    render(&write_style(folder.path(), &json!({ "fontsize": 9 })))
        .fails(3, &["`fontsize`", "font-size"]);
    render(&write_style(folder.path(), &json!({ "dpi": "many" }))).fails(3, &["`dpi`", "many"]);
    let no_json = folder.path().join("style.json");
    fs::write(&no_json, "font-size: 9").unwrap();
    render(&no_json).fails(3, &["style.json", "JSON"]);
    render(&folder.path().join("none.json")).fails(3, &["none.json", "style"]);
}
