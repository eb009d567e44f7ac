//! Small files of a checkpoint.

use std::path::Path;

use burn::tensor::DType;
use glyph_model::ModelError;
use glyph_model::checkpoint::{CheckpointDir, CheckpointSettings};
use glyph_model::prompt::{ChatTemplate, Message, TextTokenizer};
use serde_json::json;

use super::{assert_refused, changed, refused, with_file};
use crate::common::{copy_of, fixture, json, open_dir};

#[test]
fn a_directory_that_lacks_something() {
    assert_refused!(
        refused(Path::new("/nowhere")),
        ModelError::Io { .. },
        "/nowhere"
    );
    let file = fixture("base/config.json");
    assert_refused!(
        refused(&file),
        ModelError::Io { .. },
        "base/config.json",
        "directory"
    );
    for (file, variant_file) in [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
        ("chat_template.jinja", "chat_template"),
    ] {
        let copy = copy_of("base");
        std::fs::remove_file(copy.path().join(file)).unwrap();
        assert_refused!(
            refused(copy.path()),
            ModelError::MissingFile { .. },
            variant_file
        );
    }
    // These have defaults.
    for file in [
        "generation_config.json",
        "preprocessor_config.json",
        "tokenizer_config.json",
    ] {
        let copy = copy_of("base");
        std::fs::remove_file(copy.path().join(file)).unwrap();
        open_dir(copy.path(), DType::F32).unwrap();
    }
}

fn max_pixels(dir: &Path) -> usize {
    let settings = CheckpointSettings::read(&CheckpointDir(dir)).unwrap();
    settings.preprocessor.max_pixels()
}

#[test]
fn image_settings_may_stand_in_the_file_of_all_processors() {
    let copy = copy_of("base");
    let settings = json("base/preprocessor_config.json");
    let own = max_pixels(copy.path());
    let path = copy.path().join("processor_config.json");
    let mut all =
        serde_json::json!({ "processor_class": "Glm4vProcessor", "image_processor": settings });
    all["image_processor"]["size"]["longest_edge"] = 50_176.into();
    std::fs::write(&path, all.to_string()).unwrap();
    // It goes before the file of their own, as in the reference.
    assert_eq!(max_pixels(copy.path()), 50_176);
    std::fs::remove_file(copy.path().join("preprocessor_config.json")).unwrap();
    assert_eq!(max_pixels(copy.path()), 50_176);
    all["image_processor"]["merge_size"] = 0.into();
    std::fs::write(&path, all.to_string()).unwrap();
    assert_refused!(
        refused(copy.path()),
        ModelError::Config { .. },
        "processor_config.json: merge_size is 0"
    );

    // What says nothing of images leaves them to their own file.
    let copy = with_file(
        "processor_config.json",
        r#"{"processor_class": "Glm4vProcessor"}"#,
    );
    assert_eq!(max_pixels(copy.path()), own);
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let copy = copy_of("base");
    for file in ["config.json", "generation_config.json"] {
        let path = copy.path().join(file);
        let content = std::fs::read(&path).unwrap();
        std::fs::write(&path, [b"\xEF\xBB\xBF".as_slice(), &content].concat()).unwrap();
    }
    open_dir(copy.path(), DType::F32).unwrap();
}

#[test]
fn a_list_is_no_object_with_its_values_in_order() {
    for (file, list) in [
        ("config.json", "[]"),
        ("preprocessor_config.json", " []"),
        ("generation_config.json", "[[5]]"),
        ("processor_config.json", "[null]"),
    ] {
        let copy = with_file(file, list);
        assert_refused!(
            refused(copy.path()),
            ModelError::Json { .. },
            file,
            "it is a list"
        );
    }
    for (file, section) in [
        ("processor_config.json", r#"{"image_processor": []}"#),
        ("preprocessor_config.json", r#"{"size": [112, 336]}"#),
    ] {
        let copy = with_file(file, section);
        assert_refused!(refused(copy.path()), ModelError::Json { .. }, file);
    }
}

#[test]
fn a_small_file_of_no_small_size_is_not_read() {
    let copy = copy_of("base");
    let file = std::fs::File::create(copy.path().join("tokenizer.json")).unwrap();
    file.set_len((256 << 20) + 1).unwrap();
    assert_refused!(
        refused(copy.path()),
        ModelError::Io { .. },
        "tokenizer.json",
        "longer than 256 MiB"
    );
}

#[test]
fn what_training_cut_its_texts_to_does_not_cut_prompts() {
    let text = "A text of more than four tokens, to be sure of it.";
    let whole = open_dir(copy_of("base").path(), DType::F32).unwrap();
    let whole = whole.settings.encoder.tokenizer.encode(text).unwrap();
    assert!(whole.len() > 4);
    let mut tokenizer = json("base/tokenizer.json");
    for (truncation, padding) in [(4, 9), (4, 1_000_000_000)] {
        tokenizer["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": truncation, "strategy": "LongestFirst", "stride": 10,
        });
        tokenizer["padding"] = serde_json::json!({
            "strategy": { "Fixed": padding }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!",
        });
        let parsed = TextTokenizer::from_json(tokenizer.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.encode(text).unwrap(), whole);
    }
}

#[test]
fn a_template_that_leaves_images_out_or_never_ends() {
    for (template, named) in [
        ("", "0 image tokens"),
        ("{{ messages[0].role }}", "0 image tokens"),
        ("<|image|><|image|>", "2 image tokens"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "fuel",
        ),
        ("{{ 'a\n' | indent(4000000000) }}", "indent"),
        ("{{ [1] | slice(100000000000) | list }}", "slice"),
        ("{{ [1] | batch(10000000000, 'x') }}", "batch"),
        ("{{ '%999999999999d' | format(3) }}", "format"),
    ] {
        let copy = with_file("chat_template.jinja", template);
        assert_refused!(refused(copy.path()), ModelError::Template { .. }, named);
    }
}

#[test]
fn a_tokenizer_that_the_library_breaks_off_at() {
    for (key, value) in [
        (
            "pre_tokenizer",
            json!({ "type": "FixedLength", "length": 0 }),
        ),
        (
            "normalizer",
            json!({ "type": "Replace", "pattern": { "String": "" }, "content": "xx" }),
        ),
        (
            "normalizer",
            json!({ "type": "Precompiled", "precompiled_charsmap": "BAAAAP///38=" }),
        ),
        (
            "decoder",
            json!({ "type": "Strip", "content": "a", "start": 100, "stop": 100 }),
        ),
    ] {
        let copy = with_file("tokenizer.json", changed("tokenizer.json", key, value));
        assert_refused!(
            refused(copy.path()),
            ModelError::Tokenizer { .. },
            "tokenizer.json"
        );
    }
}

#[test]
fn a_tokenizer_with_more_ids_than_the_table_has_rows() {
    let mut config = json("base/config.json");
    config["text_config"]["vocab_size"] = 335.into();
    let copy = with_file("config.json", config.to_string());
    assert_refused!(
        refused(copy.path()),
        ModelError::Tokenizer { .. },
        "token 339",
        "335"
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let copy = copy_of("base");
    std::fs::remove_file(copy.path().join("config.json")).unwrap();
    std::fs::create_dir(copy.path().join("config.json")).unwrap();
    assert_refused!(refused(copy.path()), ModelError::Io { .. }, "config.json");
    assert_refused!(
        refused(with_file("config.json", [0xff, 0xfe]).path()),
        ModelError::Json { .. },
        "UTF-8"
    );
}

#[test]
fn json_that_does_not_parse() {
    for file in [
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
    ] {
        for content in ["", "{", "[1, 2]", "\"text\"", "{\"size\": 3,}", "null"] {
            assert_refused!(
                refused(with_file(file, content).path()),
                ModelError::Json { .. },
                file
            );
        }
    }
    // The template stands in a file of its own, and this one is read all the same.
    assert_refused!(
        refused(with_file("tokenizer_config.json", "{").path()),
        ModelError::Json { .. },
        "tokenizer_config.json"
    );
    let whole = std::fs::read_to_string(fixture("base/config.json")).unwrap();
    let half = &whole[..whole.len() / 2];
    assert_refused!(
        refused(with_file("config.json", half).path()),
        ModelError::Json { .. },
        "line"
    );
}

#[test]
fn a_tokenizer_that_cannot_be_used() {
    for content in [
        "",
        "{}",
        "{\"version\": \"1.0\", \"model\": {\"type\": \"Nothing\"}}",
        "\u{0}",
    ] {
        let copy = with_file("tokenizer.json", content);
        assert_refused!(
            refused(copy.path()),
            ModelError::Tokenizer { .. },
            "tokenizer.json"
        );
    }
    assert!(TextTokenizer::from_json(&[0xff; 40]).is_err());
    // One that does not know the image token of config.json.
    let mut changed = json("base/tokenizer.json");
    changed["added_tokens"].as_array_mut().unwrap().truncate(5);
    let copy = with_file("tokenizer.json", changed.to_string());
    assert_refused!(
        refused(copy.path()),
        ModelError::Tokenizer { .. },
        "331",
        "image_token_id"
    );
}

#[test]
fn a_template_that_cannot_be_used() {
    for source in [
        "{% for m in messages %}",
        "{{ messages",
        "{% nothing %}",
        "{{ 'a' if }}",
    ] {
        let copy = with_file("chat_template.jinja", source);
        assert_refused!(
            refused(copy.path()),
            ModelError::Template { .. },
            "chat_template:1"
        );
    }
    // As deep as templates can be, and of what no compiler folds: they are compiled, and say nothing that can be used.
    let deepest = [
        format!("{{{{ messages{} }}}}", "+1".repeat(16_370)),
        format!("{{{{ {}messages }}}}", "-".repeat(32_750)),
    ];
    for template in &deepest {
        let error = refused(with_file("chat_template.jinja", template).path());
        assert!(matches!(error, ModelError::Template { .. }), "{error}");
        assert!(!error.to_string().contains("bytes"), "{error}");
    }
    assert_refused!(
        refused(with_file("chat_template.jinja", deepest.concat()).path()),
        ModelError::Template { .. },
        "65518 bytes",
        "32768"
    );
    let question = [Message::pages_and_question(1, "What?")];
    for (source, named) in [
        (
            "{{ raise_exception('System turns are not supported') }}",
            "System turns are not supported",
        ),
        ("{{ messages.nothing() }}", "nothing"),
        ("{{ messages[0].content[0].text.split('a') }}", "undefined"),
        ("{{ messages | no_such_filter }}", "no_such_filter"),
    ] {
        let error = match ChatTemplate::new(source.to_owned()) {
            Ok(template) => template.render(&question, true).unwrap_err(),
            Err(error) => error,
        };
        assert_refused!(error, ModelError::Template { .. }, named);
    }
    let copy = copy_of("base");
    std::fs::remove_file(copy.path().join("chat_template.jinja")).unwrap();
    std::fs::write(
        copy.path().join("tokenizer_config.json"),
        "{\"chat_template\": ",
    )
    .unwrap();
    assert_refused!(
        refused(copy.path()),
        ModelError::Json { .. },
        "tokenizer_config.json"
    );
    std::fs::write(copy.path().join("tokenizer_config.json"), "{}").unwrap();
    assert_refused!(
        refused(copy.path()),
        ModelError::MissingFile { .. },
        "chat_template.jinja"
    );
    std::fs::write(
        copy.path().join("chat_template.json"),
        "{\"chat_template\": \"hi <|image|>\"}",
    )
    .unwrap();
    open_dir(copy.path(), DType::F32).unwrap();
}
