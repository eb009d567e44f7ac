use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::{
    copy_directory, fixture, run, run_json, run_with_input, sample_image, sample_text, text,
};

/// The built-in model answers this without thinking first.
const QUESTION: &str = "Read the page.";

/// Arguments that keep a test short.
const SHORT: [&str; 4] = ["--max-tokens", "6", "--temperature", "0"];

fn ask_json(args: &[&str]) -> Value {
    run_json(&[&["ask", QUESTION, "--json"], &SHORT[..], args].concat())
}

#[test]
fn the_first_question_of_the_readme_is_answered() {
    let sample = sample_text();
    let ask = ["ask", "--text", text(&sample), "What is the delivery date?"];
    let outcome = run(&ask);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "14 March 2026\n")
    );
    assert_eq!(outcome.stderr, "");
    // And that of the other examples.
    let total = run(&["ask", "--text", text(&sample), "What is the total?"]);
    assert_eq!((total.code, total.stdout.as_str()), (0, "$318.75\n"));

    // The date is in the thought as well.
    let cut = run(&[&ask[..], &["--stop", "March"]].concat());
    assert_eq!((cut.code, cut.stdout.as_str()), (0, "\n"));
    cut.ends(0, &["no answer", "--stop", "--json"]);
}

#[test]
fn json_has_every_figure() {
    let sample = sample_text();
    let report = ask_json(&["--text", text(&sample)]);
    let characters = fs::read_to_string(&sample).unwrap().chars().count();
    assert_eq!(report["model"], "glyph-mini");
    assert_eq!(report["device"], "cpu");
    assert_eq!(report["dtype"], "f32");
    assert_eq!(report["kv_cache"], "f16");
    assert!(report["answer"].is_string());
    assert!(["stop", "length"].contains(&report["finish_reason"].as_str().unwrap()));
    assert_eq!(report["text_characters"], characters);
    let count = |key: &str| {
        report[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key}: {report}"))
    };
    assert!(count("pages") >= 1);
    assert!(count("vision_tokens") > 0);
    assert!(count("text_tokens") > 0);
    assert!(count("prompt_tokens") > count("vision_tokens"));
    assert!((1..=6).contains(&count("answer_tokens")));
    let ratio = count("text_tokens") as f64 / count("vision_tokens") as f64;
    assert_eq!(report["compression_ratio"], ratio);
    let ratio = characters as f64 / count("vision_tokens") as f64;
    assert_eq!(report["characters_per_vision_token"], ratio);
    assert!(["byte", "subword"].contains(&report["text_token_unit"].as_str().unwrap()));
    for key in [
        "load_s",
        "render_s",
        "preprocess_s",
        "encode_s",
        "prefill_s",
        "decode_s",
        "total_s",
    ] {
        assert!(report[key].as_f64().unwrap() >= 0.0, "{key}: {report}");
    }
    let figure = |key: &str| report[key].as_f64().unwrap();
    let parts = ["load_s", "prefill_s", "decode_s", "total_s"];
    assert!(parts.iter().all(|key| figure(key) > 0.0), "{report}");
    let sum: f64 = parts[..3].iter().map(|key| figure(key)).sum();
    assert!(sum <= figure("total_s"), "{report}");
    assert!(figure("prefill_tokens_per_s") > 0.0);
    // The first token comes with the prompt.
    let rate = (count("answer_tokens") - 1) as f64 / figure("decode_s");
    assert!(
        (figure("decode_tokens_per_s") / rate - 1.0).abs() < 1e-3,
        "{report}"
    );
    for key in ["missing_glyphs", "borrowed_glyphs", "font_substitutions"] {
        assert_eq!(report[key], Value::Array(Vec::new()), "{key}");
    }
}

/// The built-in model thinks before it answers such a question.
const LOOK_UP: &str = "What is the delivery date?";

#[test]
fn what_is_thought_is_told_apart() {
    let sample = sample_text();
    let ask = |more: &[&str]| {
        let args = [
            "ask",
            LOOK_UP,
            "--text",
            text(&sample),
            "--temperature",
            "0",
        ];
        run(&[&args[..], more].concat())
    };
    let report: Value = serde_json::from_str(&ask(&["--json"]).stdout).unwrap();
    let said = |key: &str| report[key].as_str().unwrap();
    assert!(said("reasoning").ends_with(said("answer")), "{report}");
    assert!(!said("answer").is_empty());
    assert_eq!(ask(&[]).stdout, format!("{}\n", said("answer")));

    let cut = ask(&["--max-tokens", "3"]);
    assert_eq!((cut.code, cut.stdout.as_str()), (0, "\n"));
    assert!(cut.stderr.contains("--max-tokens"), "{}", cut.stderr);
}

#[test]
fn the_streamed_answer_is_that_of_json() {
    let sample = sample_text();
    let streamed = run(&[&["ask", QUESTION, "--text", text(&sample)], &SHORT[..]].concat());
    assert_eq!(streamed.code, 0, "{streamed:?}");
    let report = ask_json(&["--text", text(&sample)]);
    assert_eq!(
        streamed.stdout,
        format!("{}\n", report["answer"].as_str().unwrap())
    );
    let note = &streamed.stderr;
    assert!(
        note.contains("cut off after 6 tokens") && note.contains("--max-tokens"),
        "{note}"
    );
    assert_eq!(note.lines().count(), 1, "{note}");
}

#[test]
fn a_question_without_pages_is_answered_with_a_note() {
    let outcome = run(&[&["ask", QUESTION], &SHORT[..]].concat());
    outcome.ends(
        0,
        &[
            "without pages",
            "--image",
            "standard input is not read",
            "--text -",
        ],
    );
    assert!(outcome.stdout.ends_with('\n'), "{outcome:?}");
}

#[test]
fn standard_input_is_a_text_like_any_other() {
    let sample = sample_text();
    let from_file = run(&[&["ask", QUESTION, "--text", text(&sample)], &SHORT[..]].concat());
    let with_mark = [b"\xEF\xBB\xBF".to_vec(), fs::read(&sample).unwrap()].concat();
    let from_input = run_with_input(
        &[&["ask", QUESTION, "--text", "-"], &SHORT[..]].concat(),
        &with_mark,
    );
    assert_eq!(from_input.code, 0, "{from_input:?}");
    assert_eq!(from_input.stdout, from_file.stdout);
}

#[test]
fn images_come_before_the_pages_of_the_text() {
    let (sample, image) = (sample_text(), sample_image());
    let alone = ask_json(&["--text", text(&sample)]);
    let image_alone = ask_json(&["--image", text(&image)]);
    assert_eq!(image_alone["pages"], 1);
    for key in [
        "text_tokens",
        "text_characters",
        "compression_ratio",
        "text_token_unit",
    ] {
        assert_eq!(image_alone[key], Value::Null, "{key}");
    }
    let both = ask_json(&[
        "--text",
        text(&sample),
        "--image",
        text(&image),
        "--image",
        text(&image),
    ]);
    let pages = |report: &Value| report["pages"].as_u64().unwrap();
    assert_eq!(pages(&both), pages(&alone) + 2);
    // The ratio is the text's own, whatever images stand beside it.
    assert_eq!(both["compression_ratio"], alone["compression_ratio"]);
}

#[test]
fn a_question_alone_is_a_prompt() {
    let report = ask_json(&[]);
    assert_eq!(report["pages"], 0);
    assert_eq!(report["vision_tokens"], 0);
}

#[test]
fn the_seed_decides_the_draw() {
    let ask = |seed: &str| {
        let args = [
            "ask",
            QUESTION,
            "--max-tokens",
            "12",
            "--temperature",
            "3",
            "--seed",
            seed,
        ];
        run(&[&args[..], &["--top-p", "1", "--top-k", "-1"]].concat()).stdout
    };
    assert_eq!(ask("1"), ask("1"));
    assert!(ask("1") != ask("2") || ask("1") != ask("3"));
}

#[test]
fn pages_are_saved_as_the_model_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("new/pages");
    let sample = sample_text();
    let report = ask_json(&["--text", text(&sample), "--save-pages", text(&pages)]);
    let mut files: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len() as u64, report["pages"].as_u64().unwrap());
    assert_eq!(files[0].file_name().unwrap(), "page_0001.png");
    assert!(
        fs::read(&files[0])
            .unwrap()
            .starts_with(b"\x89PNG\r\n\x1a\n")
    );
    // What was saved can be given back.
    let images: Vec<&str> = files
        .iter()
        .flat_map(|file| ["--image", text(file)])
        .collect();
    assert_eq!(ask_json(&images)["answer"], report["answer"]);
}

#[test]
fn saved_pages_of_an_earlier_text_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample_text();
    let out = ["--out", text(folder.path())];
    run(&[&["render", "--text", text(&sample)], &out[..]].concat()).ends(0, &[]);
    let of_folder = |name: &str| folder.path().join(name);
    for name in ["page_0099.png", "page_99.png", "page_00099.png", "scan.png"] {
        fs::copy(of_folder("page_0001.png"), of_folder(name)).unwrap();
    }
    fs::write(of_folder("page_0098.png"), "mine").unwrap();
    let save = [
        "ask",
        QUESTION,
        "--text",
        text(&sample),
        "--save-pages",
        text(folder.path()),
    ];
    let outcome = run(&[&save, &SHORT[..]].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(
        outcome.stderr.contains("removed 1 page "),
        "{}",
        outcome.stderr
    );
    let is_there = |name| of_folder(name).exists();
    assert!(is_there("page_0001.png") && !is_there("page_0099.png"));
    // Only names that glyph itself gives, and files that it wrote.
    assert!(is_there("page_99.png") && is_there("page_00099.png") && is_there("scan.png"));
    assert!(is_there("page_0098.png"));
}

#[test]
fn pages_that_do_not_fit_leave_saved_ones_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample_text();
    let save = ["--save-pages", text(folder.path())];
    run(&[
        &["ask", QUESTION, "--text", text(&sample)],
        &save[..],
        &SHORT,
    ]
    .concat())
    .ends(0, &[]);
    let pages = || {
        let files = fs::read_dir(folder.path()).unwrap();
        let pages = files.map(|file| file.unwrap().path());
        let mut pages: Vec<_> = pages.map(|path| (fs::read(&path).unwrap(), path)).collect();
        pages.sort();
        pages
    };
    let before = pages();
    let long = "another line\n".repeat(2000);
    let ask = ["ask", QUESTION, "--text", "-"];
    run_with_input(&[&ask[..], &save[..]].concat(), long.as_bytes()).fails(5, &["such pages fit"]);
    assert_eq!(pages(), before);
}

#[test]
fn pages_are_not_begun_where_one_of_them_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("page_0002.png");
    fs::copy(sample_image(), &taken).unwrap();
    let long = "another line\n".repeat(20);
    let render = ["render", "--text", "-", "--out", text(folder.path())];
    let ask = [
        "ask",
        QUESTION,
        "--text",
        "-",
        "--save-pages",
        text(folder.path()),
    ];
    for args in [&render[..], &[&ask[..], &SHORT].concat()] {
        let outcome = run_with_input(args, long.as_bytes());
        outcome.fails(1, &["page_0002.png", "not written by glyph"]);
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "a page was written");
    }
}

#[test]
fn only_pages_of_another_style_may_be_hard_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini/render.json");
    let own = fs::read_to_string(own).unwrap();
    let sample = sample_text();
    for (style, is_noted) in [
        (own.clone(), false),
        (
            own.replace("\"line-height\": 28", "\"line-height\": 20"),
            true,
        ),
    ] {
        let path = folder.path().join("style.json");
        fs::write(&path, style).unwrap();
        let ask = [
            "ask",
            QUESTION,
            "--text",
            text(&sample),
            "--style",
            text(&path),
        ];
        let outcome = run(&[&ask[..], &SHORT].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let noted = outcome.stderr.contains("style of its own");
        assert_eq!(noted, is_noted, "{outcome:?}");
    }
}

#[test]
fn a_file_that_glyph_did_not_write_is_not_written_over() {
    let sample = sample_text();
    for is_link in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let [scan, page] = ["scan.png", "page_0001.png"].map(|name| folder.path().join(name));
        fs::copy(sample_image(), &scan).unwrap();
        let before = fs::read(&scan).unwrap();
        if is_link {
            std::os::unix::fs::symlink(&scan, &page).unwrap();
        } else {
            fs::copy(&scan, &page).unwrap();
        }
        let given = [
            "ask",
            QUESTION,
            "--text",
            text(&sample),
            "--image",
            text(&page),
        ];
        let save = ["--save-pages", text(folder.path())];
        let outcome = run(&[&given[..], &save, &SHORT].concat());
        outcome.fails(1, &["page_0001.png", "not written by glyph"]);
        assert_eq!(fs::read(&page).unwrap(), before);
        assert_eq!(fs::read(&scan).unwrap(), before);
    }
}

#[test]
fn an_image_that_takes_long_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let style = folder.path().join("style.json");
    let json = r#"{"font-path": "DejaVuSans.ttf", "page-size": "1000,1000", "auto-crop-width": false,
        "auto-crop-last-page": false}"#;
    fs::write(&style, json).unwrap();
    let (sample, pages) = (sample_text(), folder.path().join("pages"));
    let args = [
        "--text",
        text(&sample),
        "--out",
        text(&pages),
        "--style",
        text(&style),
    ];
    assert_eq!(run(&[&["render"], &args[..]].concat()).code, 0);
    // Without weights, nothing is run; the note comes before they are looked for.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    let model = copy_directory(&model, folder.path());
    fs::remove_file(model.join("model.safetensors")).unwrap();
    let ask = |image: &str| run(&["ask", QUESTION, "--model", text(&model), "--image", image]);
    ask(text(&pages.join("page_0001.png"))).fails(
        4,
        &[
            "page_0001.png takes 5184 patches, 1296 vision tokens",
            "half its width",
        ],
    );
    let small = ask(text(&sample_image()));
    assert!(!small.stderr.contains("slow"), "{}", small.stderr);
}

#[test]
fn a_model_directory_takes_the_place_of_the_built_in_model() {
    let model = fixture("model/mini-f16");
    let sample = sample_text();
    let report = ask_json(&["--model", text(&model), "--text", text(&sample)]);
    assert_eq!(report["model"], text(&model));
    // It has no render.json, so the official style holds, whose Verdana is not in the box.
    assert_eq!(report["font_substitutions"][0]["requested"], "Verdana.ttf");
    let chinese = run_with_input(
        &[
            &[
                "ask",
                QUESTION,
                "--json",
                "--model",
                text(&model),
                "--text",
                "-",
            ],
            &SHORT[..],
        ]
        .concat(),
        "合同编号：73-4815".as_bytes(),
    );
    let chinese: Value = serde_json::from_str(&chinese.stdout).unwrap();
    assert_eq!(
        chinese["font_substitutions"][0]["requested"],
        "SourceHanSansHWSC-VF.ttf"
    );
}
