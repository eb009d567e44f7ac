//! Each class of error: its exit code, and a message with the value and what to do.

use std::fs;

use crate::run::{copy_model, run, run_with_input, sample_image, sample_text, text};

#[test]
fn wrong_arguments_are_2() {
    run(&["ask"]).fails(2, &["QUESTION"]);
    run(&["ask", " "]).fails(2, &["question is empty"]);
    run(&["ask", "q", "--device", "cuda"]).fails(2, &["cuda", "cpu, auto"]);
    run(&["ask", "q", "--max-tokens", "0"]).fails(2, &["max-tokens", "0"]);
    run(&["ask", "q", "--max-tokens", "many"]).fails(2, &["many"]);
    run(&["ask", "q", "--save-pages", "x"]).fails(2, &["--save-pages", "--text"]);
    run(&["ask", "q", "--style", "official"]).fails(2, &["--text"]);
    run(&["answer"]).fails(2, &["answer"]);
}

#[test]
fn sampling_out_of_range_is_2() {
    for (flag, value) in [
        ("--temperature", "-1"),
        ("--temperature", "NaN"),
        ("--temperature", "inf"),
        ("--top-p", "0"),
        ("--top-p", "1.5"),
        ("--top-k", "-2"),
        ("--repetition-penalty", "0"),
    ] {
        let name = flag.trim_start_matches('-').replace('-', "_");
        run(&["ask", "q", flag, value]).fails(2, &[&name, value]);
    }
}

#[test]
fn a_text_that_cannot_be_used_is_3() {
    let folder = tempfile::tempdir().unwrap();
    run(&["ask", "q", "--text", "none.txt"]).fails(3, &["none.txt", "Check the path"]);
    run(&["ask", "q", "--text", text(folder.path())]).fails(3, &["directory"]);
    let ask = ["ask", "q", "--text", "-"];
    run_with_input(&ask, b"").fails(3, &["standard input", "empty"]);
    run_with_input(&ask, b" \n\t\n").fails(3, &["empty"]);
    run_with_input(&ask, b"abc\xFFdef").fails(3, &["not UTF-8", "byte 3", "0xFF", "iconv"]);
    run_with_input(&ask, b"\xFF\xFEa\0b\0").fails(3, &["byte 0", "UTF-16"]);
    let chinese = folder.path().join("gbk.txt");
    fs::write(&chinese, b"\xD6\xD0\xCE\xC4").unwrap();
    run(&["read", "--text", text(&chinese)]).fails(3, &["gbk.txt", "byte 0", "GB18030"]);
}

#[test]
fn an_image_that_cannot_be_used_is_3() {
    let sample = sample_text();
    run(&["ask", "q", "--image", "none.png"]).fails(3, &["none.png"]);
    run(&["ask", "q", "--image", text(&sample)]).fails(3, &["order.txt", "PNG"]);
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.png");
    let whole = fs::read(sample_image()).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    run(&["read", "--image", text(&cut)]).fails(3, &["cut.png", "decoded"]);
}

#[test]
fn a_model_that_cannot_be_used_is_4() {
    let folder = tempfile::tempdir().unwrap();
    run(&["ask", "q", "--model", "none"]).fails(4, &["none", "not a directory", "glyph-mini"]);
    run(&["ask", "q", "--model", text(folder.path())]).fails(4, &["config.json", "missing"]);

    let model = copy_model("mini-f16", folder.path());
    let weights = fs::read(model.join("model.safetensors")).unwrap();
    fs::write(
        model.join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();
    run(&["ask", "q", "--model", text(&model)]).fails(4, &["model.safetensors", "cut short"]);
    fs::remove_file(model.join("model.safetensors")).unwrap();
    run(&["ask", "q", "--model", text(&model)]).fails(4, &["model.safetensors", "missing"]);
    fs::write(model.join("render.json"), r#"{"font-path": 3}"#).unwrap();
    let sample = sample_text();
    run(&["ask", "q", "--model", text(&model), "--text", text(&sample)])
        .fails(4, &["render.json", "font-path", "--style"]);
}

#[test]
fn a_prompt_that_does_not_fit_is_5_and_told_at_once() {
    let long = "A line that is as long as any other line.\n".repeat(20_000);
    let outcome = run_with_input(&["ask", "q", "--text", "-"], long.as_bytes());
    outcome.fails(
        5,
        &[
            "pages",
            "vision tokens",
            "glyph-mini's context",
            "such pages fit",
            "glyph read",
        ],
    );
    run(&["ask", "q", "--max-tokens", "1000000"]).fails(5, &["1000000", "context"]);
    let words = "word ".repeat(20_000);
    run(&["ask", &words]).fails(5, &["context", "Shorten the question"]);
}

#[test]
fn what_cannot_be_written_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, "").unwrap();
    let sample = sample_text();
    run(&["render", "--text", text(&sample), "--out", text(&taken)])
        .fails(1, &["taken", "cannot write"]);
}

#[test]
fn image_tokens_in_a_question_are_3() {
    run(&["ask", "What is <|image|>?"]).fails(3, &["image tokens", "<|image|>"]);
}
