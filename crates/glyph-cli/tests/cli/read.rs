use std::path::Path;

use crate::run::{fixture, run, run_json, run_with_input, sample_image, sample_text, text};

const SHORT: [&str; 4] = ["--max-tokens", "5", "--temperature", "0"];

#[test]
fn every_page_is_read_and_joined_by_newlines() {
    let (sample, image) = (sample_text(), sample_image());
    let args = ["read", "--text", text(&sample), "--image", text(&image)];
    let report = run_json(&[&args, &SHORT[..], &["--json"]].concat());
    let pages = report["pages"].as_array().unwrap();
    assert!(pages.len() >= 3, "an image and two pages of text: {report}");
    assert_eq!(pages[0]["name"], text(&image));
    assert_eq!(pages[1]["name"], "page 1");
    let texts: Vec<&str> = pages
        .iter()
        .map(|page| page["text"].as_str().unwrap())
        .collect();
    assert_eq!(report["text"], texts.join("\n"));
    for page in pages {
        assert!(page["vision_tokens"].as_u64().unwrap() > 0);
        assert!((1..=5).contains(&page["answer_tokens"].as_u64().unwrap()));
        assert!(page["prefill_s"].as_f64().unwrap() > 0.0);
    }
    assert!(report["render_s"].as_f64().unwrap() >= 0.0);

    let streamed = run(&[&args, &SHORT[..]].concat());
    assert_eq!(
        streamed.stdout,
        format!("{}\n", report["text"].as_str().unwrap())
    );
    for page in 1..=3 {
        let note = format!("cut off after 5 tokens (reading page {page} of 3)");
        assert!(streamed.stderr.contains(&note), "{}", streamed.stderr);
    }
    // And one that the image is no page of the model's.
    assert_eq!(streamed.stderr.lines().count(), 4, "{}", streamed.stderr);
}

#[test]
fn images_are_read_when_their_turn_comes_and_looked_for_at_once() {
    let (sample, image) = (sample_text(), sample_image());
    let read = |second: &str| {
        run(&[
            &["read", "--image", text(&image), "--image", second],
            &SHORT[..],
        ]
        .concat())
    };
    let not_there = read("none.png");
    not_there.fails(3, &["none.png"]);
    // The first is transcribed before the second is decoded.
    let broken = read(text(&sample));
    broken.ends(3, &["order.txt", "PNG"]);
    assert!(broken.stdout.ends_with('\n'), "{broken:?}");
}

#[test]
fn there_must_be_something_to_read() {
    run(&["read"]).fails(2, &["nothing to read", "--text", "--image"]);
}

#[test]
fn a_page_that_does_not_fit_is_told_before_the_weights_are_read() {
    let image = sample_image();
    let outcome = run(&["read", "--image", text(&image), "--max-tokens", "1000000"]);
    outcome.fails(5, &["1 page,", "1000000", "--max-tokens"]);
}

#[test]
fn a_transcript_that_never_ends_is_cut_off_by_what_a_page_can_hold() {
    // Random weights say no end.
    let model = fixture("model/mha-sharded");
    let read = ["read", "--model", text(&model), "--text", "-", "--json"];
    let outcome = run_with_input(
        &[&read[..], &["--temperature", "0"]].concat(),
        b"One short line.\n",
    );
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let [page] = &report["pages"].as_array().unwrap()[..] else {
        unreachable!("one page: {report}")
    };
    let n_vision_tokens = page["vision_tokens"].as_u64().unwrap();
    let most = 16 * n_vision_tokens + 1024;
    assert_eq!(page["answer_tokens"].as_u64(), Some(most), "{report}");
    let note = format!("cut off after {most} tokens");
    assert!(outcome.stderr.contains(&note), "{}", outcome.stderr);
}

#[test]
fn what_glyph_mini_was_not_trained_on_is_told() {
    let read = |input: &str, args: &[&str]| {
        let args = [&["read", "--text", "-"][..], &SHORT[..], args].concat();
        run_with_input(&args, input.as_bytes()).stderr
    };
    assert!(!read("Order: 73-4815\tend\r\n", &[]).contains("trained"));
    assert!(read("单号: 73", &[]).contains("2 characters of this are no ASCII"));
    let sample = sample_text();
    let ask = ["ask", "单号?", "--text", text(&sample)];
    let asked = run(&[&ask[..], &SHORT[..]].concat());
    assert!(
        asked.stderr.contains("trained on English alone"),
        "{}",
        asked.stderr
    );
    // Another model may know it.
    let model = fixture("model/mha-sharded");
    let other = ["--model", text(&model)];
    assert!(!read("单号: 73", &other).contains("trained"));
}

#[test]
fn more_pages_than_glyph_mini_was_trained_on_are_told() {
    let ask = |n_lines: usize| {
        let args = [&["ask", "What?", "--text", "-"][..], &SHORT[..]].concat();
        run_with_input(&args, "A line.\n".repeat(n_lines).as_bytes())
    };
    // Behind a line that ends with its page the next page begins with an empty one.
    let of_nine = ask(9 * 7);
    assert_eq!(of_nine.code, 0, "{of_nine:?}");
    assert!(!of_nine.stderr.contains("trained"), "{of_nine:?}");
    let of_more = ask(12 * 8);
    assert_eq!(of_more.code, 0, "{of_more:?}");
    assert!(
        of_more.stderr.contains("trained on up to 9 pages at once"),
        "{of_more:?}"
    );
}

#[test]
fn images_that_are_no_pages_of_the_models_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (sample, pages) = (sample_text(), folder.path().join("pages"));
    let drawn = run(&["render", "--text", text(&sample), "--out", text(&pages)]);
    assert_eq!(drawn.code, 0, "{drawn:?}");
    let read = |image: &Path| run(&[&["read", "--image", text(image)], &SHORT[..]].concat()).stderr;
    let own = read(&pages.join("page_0001.png"));
    assert!(!own.contains("trained"), "{own}");
    let foreign = read(&sample_image());
    assert!(
        foreign.contains("has 80 × 90 px, and glyph-mini was trained on pages of 280 × 224 px"),
        "{foreign}"
    );
}
