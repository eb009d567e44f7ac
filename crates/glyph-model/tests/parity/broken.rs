//! Input that cannot work: every case a typed error that names what is wrong.

use std::path::Path;

use burn::tensor::DType;
use glyph_model::config::{GenerationConfig, ModelConfig, PreprocessorConfig};
use glyph_model::preprocess::{RgbImage, image_patches};
use glyph_model::prompt::{ChatTemplate, Message, TextTokenizer};
use glyph_model::weights::WeightFiles;
use glyph_model::{Checkpoint, ModelError};
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{copy_of, fixture, json, open, open_dir, picture, read_weights, write_weights};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const SHARD: &str = "model-00002-of-00004.safetensors";

fn refused(dir: &Path) -> ModelError {
    match open_dir(dir, DType::F32) {
        Err(error) => error,
        Ok(_) => panic!("the checkpoint opened"),
    }
}

/// Asserts the variant and that the message names the things.
macro_rules! assert_refused {
    ($error:expr, $variant:pat, $($named:expr),+) => {{
        let error: ModelError = $error;
        let message = error.to_string();
        assert!(matches!(error, $variant), "{message}: not {}", stringify!($variant));
        $(assert!(message.contains($named), "{message}: does not name {}", $named);)+
    }};
}

/// A copy of `base` in which one file holds something else.
fn with_file(name: &str, content: impl AsRef<[u8]>) -> TempDir {
    let copy = copy_of("base");
    std::fs::write(copy.path().join(name), content).unwrap();
    copy
}

/// A copy of `base` whose weights were changed.
fn with_weights(change: impl FnOnce(&mut Vec<crate::common::Stored>)) -> TempDir {
    let copy = copy_of("base");
    let path = copy.path().join(SINGLE);
    let mut tensors = read_weights(&path);
    change(&mut tensors);
    write_weights(&path, &tensors);
    copy
}

#[test]
fn a_directory_that_lacks_something() {
    assert_refused!(refused(Path::new("/nowhere")), ModelError::Io { .. }, "/nowhere");
    let file = fixture("base/config.json");
    assert_refused!(refused(&file), ModelError::Io { .. }, "base/config.json", "directory");
    for (file, variant_file) in [
        ("config.json", "config.json"),
        (SINGLE, SINGLE),
        ("tokenizer.json", "tokenizer.json"),
        ("chat_template.jinja", "chat_template"),
    ] {
        let copy = copy_of("base");
        std::fs::remove_file(copy.path().join(file)).unwrap();
        assert_refused!(refused(copy.path()), ModelError::MissingFile { .. }, variant_file);
    }
    // These have defaults.
    for file in ["generation_config.json", "preprocessor_config.json", "tokenizer_config.json"] {
        let copy = copy_of("base");
        std::fs::remove_file(copy.path().join(file)).unwrap();
        open_dir(copy.path(), DType::F32).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    let copy = copy_of("base");
    std::fs::remove_file(copy.path().join("config.json")).unwrap();
    std::fs::create_dir(copy.path().join("config.json")).unwrap();
    assert_refused!(refused(copy.path()), ModelError::Io { .. }, "config.json");
    assert_refused!(refused(with_file("config.json", [0xff, 0xfe]).path()), ModelError::Json { .. }, "UTF-8");
}

#[test]
fn json_that_does_not_parse() {
    for file in ["config.json", "generation_config.json", "preprocessor_config.json"] {
        for content in ["", "{", "[1, 2]", "\"text\"", "{\"size\": 3,}", "null"] {
            assert_refused!(refused(with_file(file, content).path()), ModelError::Json { .. }, file);
        }
    }
    let whole = std::fs::read_to_string(fixture("base/config.json")).unwrap();
    let half = &whole[..whole.len() / 2];
    assert_refused!(refused(with_file("config.json", half).path()), ModelError::Json { .. }, "line");
}

#[test]
fn weights_that_are_cut_short_or_foreign() {
    let whole = std::fs::read(fixture("base/model.safetensors")).unwrap();
    for length in [0, 1, 7, 8, 9, 100, 5000, whole.len() / 2, whole.len() - 1] {
        let copy = with_file(SINGLE, &whole[..length]);
        assert_refused!(refused(copy.path()), ModelError::Safetensors { .. }, SINGLE);
    }
    let mut longer = whole.clone();
    longer.extend([0; 8]);
    let mut no_header = whole.clone();
    no_header[8..40].fill(b'x');
    let huge_header = [&u64::MAX.to_le_bytes()[..], &whole[8..]].concat();
    let big_header = [&(whole.len() as u64).to_le_bytes()[..], &whole[8..]].concat();
    for content in [
        longer,
        no_header,
        huge_header,
        big_header,
        b"PK\x03\x04 a torch pickle in a zip file".to_vec(),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4976698672\n".to_vec(),
        vec![0; 4096],
    ] {
        let copy = with_file(SINGLE, content);
        assert_refused!(refused(copy.path()), ModelError::Safetensors { .. }, SINGLE);
    }
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn headers_that_claim_what_is_not_there() {
    let tensor = |dtype: &str, shape: Value, from: u64, to: u64| {
        json!({ "t": { "dtype": dtype, "shape": shape, "data_offsets": [from, to] } }).to_string()
    };
    for header in [
        tensor("F32", json!([u64::MAX, u64::MAX]), 0, 8),
        tensor("F32", json!([1_u64 << 40]), 0, 1 << 42),
        tensor("F32", json!([2]), 8, 0),
        tensor("F32", json!([2]), 4, 12),
        tensor("F32", json!([3]), 0, 8),
        tensor("F128", json!([2]), 0, 8),
        tensor("F32", json!([-2]), 0, 8),
        tensor("F32", json!("2"), 0, 8),
        "{\"t\": 3}".to_owned(),
        // Twice the same name leaves a hole or bytes that nobody names.
        "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\
          \"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}"
            .to_owned(),
    ] {
        let files = vec![("weights".to_owned(), safetensors(&header, &[0; 8]))];
        assert_refused!(WeightFiles::from_bytes(files).unwrap_err(), ModelError::Safetensors { .. }, "weights");
    }
}

#[test]
fn a_tensor_that_is_missing_or_does_not_fit() {
    let q = "model.language_model.layers.1.self_attn.q_proj.bias";
    let conv = "model.visual.patch_embed.proj.weight";
    let copy = with_weights(|tensors| tensors.retain(|t| t.name != q && t.name != conv));
    assert_refused!(refused(copy.path()), ModelError::Weights { .. }, q, conv, "missing");

    let copy = with_weights(|tensors| {
        let conv = tensors.iter_mut().find(|t| t.name == conv).unwrap();
        conv.shape.reverse();
    });
    assert_refused!(
        refused(copy.path()),
        ModelError::Weights { .. },
        conv,
        "[14, 14, 2, 3, 32]",
        "[32, 3, 2, 14, 14]"
    );

    let copy = with_weights(|tensors| {
        let bias = tensors.iter_mut().find(|t| t.name == q).unwrap();
        bias.data = bias.data.repeat(2);
        bias.dtype = Dtype::F64;
    });
    assert_refused!(refused(copy.path()), ModelError::Weights { .. }, q, "F64");

    let copy = with_weights(|tensors| {
        let mut twice = tensors.iter().find(|t| t.name == q).unwrap().clone();
        twice.name = q.replace("model.language_model", "model");
        tensors.push(twice);
    });
    assert_refused!(refused(copy.path()), ModelError::Safetensors { .. }, "q_proj.bias", "twice");

    // Weights of another configuration: every tensor that differs is named.
    let copy = copy_of("base");
    std::fs::copy(fixture("full-rotary/model.safetensors"), copy.path().join(SINGLE)).unwrap();
    assert_refused!(
        refused(copy.path()),
        ModelError::Weights { .. },
        "model.language_model.embed_tokens.weight",
        "model.visual.merger.up_proj.weight"
    );
}

#[test]
fn shards_that_are_not_what_the_index_says() {
    let copy = copy_of("mha-sharded");
    std::fs::remove_file(copy.path().join(SHARD)).unwrap();
    assert_refused!(refused(copy.path()), ModelError::MissingShard { .. }, SHARD, INDEX);

    let copy = copy_of("mha-sharded");
    let shard = std::fs::read(copy.path().join(SHARD)).unwrap();
    std::fs::write(copy.path().join(SHARD), &shard[..shard.len() - 4]).unwrap();
    assert_refused!(refused(copy.path()), ModelError::Safetensors { .. }, SHARD);

    let copy = copy_of("mha-sharded");
    let path = copy.path().join(SHARD);
    let mut tensors = read_weights(&path);
    let lost = tensors.remove(0).name;
    write_weights(&path, &tensors);
    assert_refused!(refused(copy.path()), ModelError::Weights { .. }, &lost, SHARD);

    // The same tensor in two shards.
    let copy = copy_of("mha-sharded");
    let other = copy.path().join("model-00001-of-00004.safetensors");
    let mut both = read_weights(&other);
    both.push(read_weights(&copy.path().join(SHARD)).remove(0));
    let name = both.last().unwrap().name.clone();
    write_weights(&other, &both);
    assert_refused!(refused(copy.path()), ModelError::Safetensors { .. }, &name, "twice");
}

#[test]
fn an_index_that_is_broken_or_leads_out_of_the_directory() {
    for content in ["", "{}", "{\"weight_map\": 3}", "{\"weight_map\": {\"t\": 3}}"] {
        assert_refused!(refused(with_file(INDEX, content).path()), ModelError::Json { .. }, INDEX);
    }
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join(SINGLE);
    std::fs::copy(fixture("base/model.safetensors"), &elsewhere).unwrap();
    for shard in ["../x", "..", ".", "", "/etc/passwd", "a\\b", elsewhere.to_str().unwrap()] {
        let copy = with_file(INDEX, json!({ "weight_map": { "t": shard } }).to_string());
        std::fs::write(copy.path().join("x"), "").unwrap();
        assert_refused!(refused(copy.path()), ModelError::Json { .. }, INDEX, "path");
    }
    let copy = with_file(INDEX, "{\"weight_map\": {}}");
    assert_refused!(refused(copy.path()), ModelError::Weights { .. }, "lm_head.weight");
}

#[test]
fn a_configuration_with_a_number_that_cannot_work() {
    let whole = json("base/config.json");
    let refused = |section: &str, key: &str, value: Value| {
        let mut changed = whole.clone();
        match section {
            "" => changed[key] = value,
            _ => changed[section][key] = value,
        }
        let json = serde_json::to_string_pretty(&changed).unwrap();
        ModelConfig::from_json(&json).unwrap_err()
    };
    let sizes = [
        ("text_config", "vocab_size"),
        ("text_config", "hidden_size"),
        ("text_config", "intermediate_size"),
        ("text_config", "num_hidden_layers"),
        ("text_config", "num_attention_heads"),
        ("text_config", "num_key_value_heads"),
        ("text_config", "head_dim"),
        ("text_config", "max_position_embeddings"),
        ("vision_config", "depth"),
        ("vision_config", "hidden_size"),
        ("vision_config", "num_heads"),
        ("vision_config", "image_size"),
        ("vision_config", "patch_size"),
        ("vision_config", "temporal_patch_size"),
        ("vision_config", "spatial_merge_size"),
        ("vision_config", "out_hidden_size"),
        ("vision_config", "intermediate_size"),
    ];
    for (section, key) in sizes {
        for value in [json!(0), json!(1_u64 << 40), json!(u64::MAX)] {
            assert_refused!(refused(section, key, value), ModelError::Config { .. }, section, key);
        }
        for value in [json!(-3), json!("64"), json!(1.5), json!([64])] {
            assert_refused!(refused(section, key, value), ModelError::Json { .. }, key, "line");
        }
    }
    for (section, key, value) in [
        ("text_config", "rms_norm_eps", json!(-1e-5)),
        ("vision_config", "rms_norm_eps", json!(0)),
        ("text_config", "num_key_value_heads", json!(3)),
        ("text_config", "hidden_act", json!("gelu")),
        ("text_config", "head_dim", json!(18)),
        ("vision_config", "num_heads", json!(5)),
        ("vision_config", "in_channels", json!(1)),
        ("vision_config", "attention_bias", json!(true)),
        ("vision_config", "out_hidden_size", json!(32)),
        ("vision_config", "image_size", json!(13)),
        ("", "image_token_id", json!(400)),
        ("", "model_type", json!("qwen2_vl")),
    ] {
        let named = if key == "head_dim" { "partial_rotary_factor" } else { key };
        assert_refused!(refused(section, key, value), ModelError::Config { .. }, named);
    }
    let mut rope = whole["text_config"]["rope_parameters"].clone();
    for (key, value) in [
        ("rope_theta", json!(0)),
        ("rope_theta", json!(-1e4)),
        ("rope_theta", json!(1e300)),
        ("partial_rotary_factor", json!(0)),
        ("partial_rotary_factor", json!(-0.5)),
        ("partial_rotary_factor", json!(2)),
        ("mrope_section", json!([1, 1])),
        ("mrope_section", json!([1, 1, 3])),
        ("mrope_section", json!([u64::MAX, 4, 1])),
        ("rope_type", json!("yarn")),
    ] {
        let before = rope[key].take();
        rope[key] = value;
        let error = refused("text_config", "rope_parameters", rope.clone());
        assert_refused!(error, ModelError::Config { .. }, key);
        rope[key] = before;
    }
}

#[test]
fn missing_keys_are_named() {
    let whole = json("base/config.json");
    for (section, key) in [("text_config", "hidden_size"), ("vision_config", "depth")] {
        let mut changed = whole.clone();
        changed[section].as_object_mut().unwrap().remove(key);
        assert_refused!(
            ModelConfig::from_json(&changed.to_string()).unwrap_err(),
            ModelError::Json { .. },
            key
        );
    }
}

#[test]
fn settings_beside_the_configuration_that_cannot_work() {
    let error = GenerationConfig::from_json("{\"eos_token_id\": [1, -2]}").unwrap_err();
    assert_refused!(error, ModelError::Json { .. }, "generation_config.json", "eos_token_id");
    for (key, value) in [
        ("patch_size", json!(0)),
        ("temporal_patch_size", json!(0)),
        ("merge_size", json!(1_u64 << 50)),
        ("size", json!({ "shortest_edge": 0, "longest_edge": 100 })),
        ("size", json!({ "shortest_edge": 101, "longest_edge": 100 })),
        ("size", json!({ "shortest_edge": 1_u64 << 60, "longest_edge": 1_u64 << 61 })),
        ("image_std", json!([0.5, 0.0, 0.5])),
        ("image_std", json!([0.5, 1e39, 0.5])),
    ] {
        let error = PreprocessorConfig::from_json(&json!({ key: value }).to_string()).unwrap_err();
        assert_refused!(error, ModelError::Config { .. }, key);
    }
    for (key, value) in [("image_std", json!([0.5])), ("patch_size", json!(-14)), ("size", json!({}))] {
        let json = serde_json::to_string_pretty(&json!({ key: value })).unwrap();
        assert_refused!(PreprocessorConfig::from_json(&json).unwrap_err(), ModelError::Json { .. }, "line");
    }
    for (key, value) in [("patch_size", 16), ("merge_size", 4), ("temporal_patch_size", 1)] {
        let mut changed = json("base/preprocessor_config.json");
        changed[key] = value.into();
        let copy = with_file("preprocessor_config.json", changed.to_string());
        assert_refused!(refused(copy.path()), ModelError::Config { .. }, key, "config.json says");
    }
}

#[test]
fn a_tokenizer_that_cannot_be_used() {
    for content in ["", "{}", "{\"version\": \"1.0\", \"model\": {\"type\": \"Nothing\"}}", "\u{0}"] {
        let copy = with_file("tokenizer.json", content);
        assert_refused!(refused(copy.path()), ModelError::Tokenizer { .. }, "tokenizer.json");
    }
    assert!(TextTokenizer::from_json(&[0xff; 40]).is_err());
    // One that does not know the image token of config.json.
    let mut changed = json("base/tokenizer.json");
    changed["added_tokens"].as_array_mut().unwrap().truncate(5);
    let copy = with_file("tokenizer.json", changed.to_string());
    assert_refused!(refused(copy.path()), ModelError::Tokenizer { .. }, "331", "image_token_id");
}

#[test]
fn a_template_that_cannot_be_used() {
    for source in ["{% for m in messages %}", "{{ messages", "{% nothing %}", "{{ 'a' if }}"] {
        let copy = with_file("chat_template.jinja", source);
        assert_refused!(refused(copy.path()), ModelError::Template { .. }, "chat_template:1");
    }
    let question = [Message::pages_and_question(1, "What?")];
    for (source, named) in [
        ("{{ raise_exception('System turns are not supported') }}", "System turns are not supported"),
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
    std::fs::write(copy.path().join("tokenizer_config.json"), "{\"chat_template\": ").unwrap();
    assert_refused!(refused(copy.path()), ModelError::Json { .. }, "tokenizer_config.json");
    std::fs::write(copy.path().join("chat_template.json"), "{\"chat_template\": \"hi\"}").unwrap();
    open_dir(copy.path(), DType::F32).unwrap();
}

fn preprocess_error(checkpoint: &Checkpoint, images: &[RgbImage]) -> ModelError {
    checkpoint.preprocess(images).unwrap_err()
}

#[test]
fn images_that_the_processor_refuses() {
    let checkpoint = open("base");
    let good = picture("images/page_90x80.png");
    let strip = RgbImage::new(10, 2010, vec![0; 60_300]).unwrap();
    let error = preprocess_error(&checkpoint, &[good.clone(), strip]);
    assert_refused!(error, ModelError::Image { index: 1, .. }, "image 1", "10×2010", "200");
    let empty = RgbImage { width_px: 0, height_px: 7, rgb: Vec::new() };
    let error = preprocess_error(&checkpoint, &[good.clone(), good, empty]);
    assert_refused!(error, ModelError::Image { index: 2, .. }, "image 2", "0×7");
    for (width, height, n) in [(2, 2, 11), (usize::MAX, 2, 12), (1 << 63, 4, 0), (0, 7, 0)] {
        let error = RgbImage::new(width, height, vec![0; n]).unwrap_err();
        assert_refused!(error, ModelError::Image { .. }, &format!("{width}×{height}"));
    }
}

#[test]
fn bytes_that_are_no_image() {
    let png = std::fs::read(fixture("images/page_90x80.png")).unwrap();
    for length in [0, 1, 8, 20, 33, png.len() / 2, png.len() - 20] {
        let error = RgbImage::decode(&png[..length]).unwrap_err();
        assert_refused!(error, ModelError::Image { .. }, "decoded");
    }
    let mut state = 7_u32;
    let mut random = |n: usize| -> Vec<u8> {
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    };
    let starts: [&[u8]; 4] = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x00\x01\x00\x00WEBPVP8 "];
    for start in starts {
        for n in [1, 10, 100, 2000] {
            let bytes = [start, &random(n)].concat();
            assert_refused!(RgbImage::decode(&bytes).unwrap_err(), ModelError::Image { .. }, "decoded");
        }
    }
    // Flipped bytes end in an error or in some picture, never in a panic.
    let config = PreprocessorConfig::default();
    for at in 0..png.len().min(600) {
        let mut flipped = png.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(image) = RgbImage::decode(&flipped) {
            assert!(image_patches(&image, &config).is_ok());
        }
    }
}

#[test]
fn a_small_file_that_claims_a_huge_picture_is_not_decoded() {
    let png = |width: u32, height: u32| {
        let mut chunk = b"IHDR".to_vec();
        chunk.extend(width.to_be_bytes());
        chunk.extend(height.to_be_bytes());
        chunk.extend([8, 2, 0, 0, 0]);
        let crc = chunk.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        });
        [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &chunk[..], &(!crc).to_be_bytes(), b"\0\0\0\0IDAT\x35\xaf\x06\x1e"]
            .concat()
    };
    let error = RgbImage::decode(&png(60_000, 60_000)).unwrap_err();
    assert_refused!(error, ModelError::Image { .. }, "60000×60000", "67108864");
    assert_refused!(RgbImage::decode(&png(60, 60)).unwrap_err(), ModelError::Image { .. }, "decoded");
}
