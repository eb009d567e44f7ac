//! Each class of error: its exit code, and a message with the value and what to do.

use std::fs;

use serde_json::json;

use crate::run::{
    change_decoder, change_json, copy_model, run, run_with_input, sample_image, sample_text, text,
};

#[test]
fn wrong_arguments_are_2() {
    run(&["ask"]).fails(2, &["QUESTION"]);
    run(&["ask", " "]).fails(2, &["question is empty"]);
    run(&["read", "--prompt", ""]).fails(2, &["--prompt is empty", "Leave it out"]);
    run(&["ask", "q", "--device", "abacus"]).fails(2, &["abacus", "cuda:N"]);
    run(&["ask", "q", "--dtype", "int8"]).fails(2, &["int8", "bf16"]);
    for value in ["0", "-1", "many", "1.5"] {
        for command in [&["ask", "q"][..], &["read"]] {
            let args = [command, &["--max-tokens", value]].concat();
            run(&args).fails(2, &["--max-tokens", value, "at least 1"]);
        }
    }
    for value in ["-1", "one"] {
        let parts = ["--seed", value, "0 to 18446744073709551615"];
        run(&["ask", "q", "--seed", value]).fails(2, &parts);
    }
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
        run(&["ask", "q", flag, value]).fails(2, &[flag, value]);
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
    run_with_input(&ask, "\u{200B}\u{FEFF}\n".as_bytes()).fails(3, &["empty", "7 bytes"]);
    run_with_input(&ask, b"\xEF\xBB\xBF").fails(3, &["empty", "3 bytes"]);
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
    // A hundred pages of 80 tokens and two marks each; seven tokens of question and template.
    let lines = ["x"; 700].join("\n");
    let ask = ["ask", "q", "--max-tokens", "1", "--text", "-"];
    run_with_input(&ask, lines.as_bytes()).fails(
        5,
        &[
            "8192 tokens",
            "8000 vision tokens for 100 pages",
            "207 for question, template and the marks around pages",
            "99 such pages fit",
        ],
    );
    run(&["ask", "q", "--max-tokens", "1000000"]).fails(5, &["1000000", "context"]);
    // A line that would take a minute to lay out to its end.
    let line = format!("{}页", "some plain words ".repeat(120_000));
    run_with_input(&["ask", "q", "--text", "-"], line.as_bytes()).fails(
        5,
        &[
            "vision tokens for more than",
            "such pages fit",
            "glyph read",
        ],
    );
    // The prompt fits alone, and a shorter text would not help.
    let ask = ["ask", "q", "--max-tokens", "8192", "--text", "-"];
    let outcome = run_with_input(&ask, b"x");
    outcome.fails(5, &["leaves 8103", "no more --max-tokens"]);
    assert!(
        !outcome.stderr.contains("such pages fit"),
        "{}",
        outcome.stderr
    );
    // Nor would any here.
    let ask = ["ask", "q", "--max-tokens", "9000", "--text", "-"];
    run_with_input(&ask, long.as_bytes()).fails(
        5,
        &["9000 for the answer", "leaves 8103", "no more --max-tokens"],
    );
    let words = "word ".repeat(20_000);
    run(&["ask", &words]).fails(5, &["context", "Shorten the question"]);
    let (sample, image) = (sample_text(), sample_image());
    run(&["ask", &words, "--text", text(&sample)]).fails(5, &["context", "Shorten the question"]);
    run(&["read", "--prompt", &words, "--image", text(&image)])
        .fails(5, &["context", "Shorten the --prompt"]);
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
    let image = sample_image();
    let parts = ["<|image|>", "Remove it", "--image"];
    for question in ["What is <|image|>?", "<|image|><|image|>"] {
        let ask = ["ask", question, "--image", text(&image)];
        for args in [&ask[..2], &ask[..]] {
            run(args).fails(3, &[&["the question holds"], &parts[..]].concat());
        }
    }
    run(&["read", "--image", text(&image), "--prompt", "<|image|>"])
        .fails(3, &[&["the --prompt holds"], &parts[..]].concat());
}

#[test]
fn a_template_without_images_is_4() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    let image = sample_image();
    for template in ["", "Hello", "<|image|><|image|>"] {
        fs::write(model.join("chat_template.jinja"), template).unwrap();
        for args in [&["ask", "q"][..], &["ask", "q", "--image", text(&image)]] {
            let outcome = run(&[args, &["--model", text(&model)]].concat());
            outcome.fails(4, &["chat template", "mini-f16"]);
            assert!(!outcome.stderr.contains("Send"), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_cache_that_memory_cannot_hold_is_4_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "max_position_embeddings", 1 << 24);
    change_decoder(&model, "num_hidden_layers", 1024);
    let ask = ["ask", "q", "--max-tokens", "16000000", "--model"];
    let parts = [
        "mini-f16 as f32 needs",
        "of weights",
        "of activations",
        "for a request of 16000",
        "are free on cpu",
        "shorter answer",
    ];
    run(&[&ask[..], &[text(&model)]].concat()).fails(4, &parts);
}

#[test]
fn a_request_that_leaves_too_little_memory_is_4_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    // Its weights cannot be loaded: they lack a layer.
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "num_hidden_layers", 3);
    let image = sample_image();
    for command in [&["ask", "q"][..], &["read"]] {
        let with = |headroom: &str, more: &[&str]| {
            let given = ["--image", text(&image), "--max-tokens", "1"];
            let headroom = ["--memory-headroom", headroom];
            run(&[command, &given, &headroom, more].concat())
        };
        assert_eq!(with("0MiB", &[]).code, 0);
        let parts = [
            "mini-f16 as f32 needs",
            "of activations",
            "1.0 PiB of headroom",
            "lower --memory-headroom",
        ];
        with("1PiB", &["--model", text(&model)]).fails(4, &parts);
        for value in ["-1GiB", "4", "lots"] {
            with(value, &[]).fails(2, &["--memory-headroom", value, "24GiB"]);
        }
    }
}

#[test]
fn generation_settings_of_a_model_that_cannot_be_used_are_4() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_json(&model.join("generation_config.json"), |config| {
        config["temperature"] = (-1).into();
    });
    run(&["ask", "q", "--model", text(&model)])
        .fails(4, &["generation_config.json", "temperature", "-1"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_end_is_3() {
    let zero = "/dev/zero";
    let sample = sample_text();
    run(&["ask", "q", "--text", zero]).fails(3, &["text", zero, "256 MiB"]);
    run(&["read", "--image", zero]).fails(3, &["image", zero, "256 MiB"]);
    run(&["ask", "q", "--text", text(&sample), "--style", zero])
        .fails(3, &["style", zero, "1 MiB"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_model_file_is_4() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        fs::remove_file(model.join(name)).unwrap();
        crate::run::make_pipe(&model.join(name));
        run(&["ask", "q", "--model", text(&model)]).fails(4, &[name, "not a regular file"]);
    }
}

#[test]
fn a_tokenizer_that_its_library_breaks_off_at_is_4_and_shows_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    let normalizer = json!({ "type": "Replace", "pattern": { "String": "" }, "content": "aaaa" });
    change_json(&model.join("tokenizer.json"), |tokenizer| {
        tokenizer["normalizer"] = normalizer.clone();
    });
    let message = [
        "tokenizer.json cannot be used",
        "from the original checkpoint",
    ];
    run(&["ask", "q", "--model", text(&model)]).fails(4, &message);
}

#[test]
fn names_in_a_checkpoint_give_the_terminal_no_commands() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mha-sharded", folder.path());
    let index = r#"{"weight_map": {"a": "\u001b[2Jx.safetensors"}}"#;
    fs::write(model.join("model.safetensors.index.json"), index).unwrap();
    let outcome = run(&["ask", "q", "--model", text(&model)]);
    outcome.fails(4, &["\u{FFFD}[2Jx.safetensors"]);
    assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}
