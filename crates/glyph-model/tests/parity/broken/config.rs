//! Settings that cannot work.

use glyph_model::ModelError;
use glyph_model::config::{GenerationConfig, ModelConfig, PreprocessorConfig};
use serde_json::{Value, json};

use super::{assert_refused, changed, refused, with_file};
use crate::common::json;

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
            assert_refused!(
                refused(section, key, value),
                ModelError::Config { .. },
                section,
                key
            );
        }
        for value in [json!(-3), json!("64"), json!(1.5), json!([64])] {
            assert_refused!(
                refused(section, key, value),
                ModelError::Json { .. },
                key,
                "line"
            );
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
        ("", "model_type", json!(["glm4v"])),
    ] {
        assert_refused!(refused(section, key, value), ModelError::Config { .. }, key);
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
    // Beside settings that could be followed.
    assert_refused!(
        refused(
            "text_config",
            "rope_scaling",
            json!({"type": "yarn", "factor": 4})
        ),
        ModelError::Config { .. },
        "rope_scaling"
    );
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
fn config_json_ends_answers_where_the_generation_settings_do_not() {
    let mut json = json("base/config.json");
    let stop_ids = |json: &Value, generation: &str| {
        let config = ModelConfig::from_json(&json.to_string()).unwrap();
        let generation = GenerationConfig::from_json(generation).unwrap();
        generation.with_stop_ids_of(&config).unwrap().stop_ids()
    };
    json["eos_token_id"] = json!([1, 2]);
    json["text_config"]["eos_token_id"] = json!(3);
    assert_eq!(stop_ids(&json, "{\"eos_token_id\": 4}"), [4]);
    assert_eq!(stop_ids(&json, "{}"), [3]);
    json["text_config"]["eos_token_id"] = Value::Null;
    assert_eq!(stop_ids(&json, "{}"), [1, 2]);
    json["eos_token_id"] = json!("end");
    let refused = ModelConfig::from_json(&json.to_string()).unwrap_err();
    assert_refused!(
        refused,
        ModelError::Json { .. },
        "config.json",
        "eos_token_id"
    );
}

#[test]
fn ids_that_no_token_has_end_no_answer() {
    let mut json = json("base/config.json");
    let vocab_size = json["text_config"]["vocab_size"].as_u64().unwrap();
    let refused = |json: &Value, generation: String| {
        let config = ModelConfig::from_json(&json.to_string()).unwrap();
        let generation = GenerationConfig::from_json(&generation).unwrap();
        generation.with_stop_ids_of(&config).unwrap_err()
    };
    let own = refused(
        &json,
        json!({ "eos_token_id": [1, vocab_size] }).to_string(),
    );
    json["text_config"]["eos_token_id"] = json!(vocab_size);
    let of_config = refused(&json, "{}".to_owned());
    let value = vocab_size.to_string();
    for (error, file) in [(own, "generation_config.json"), (of_config, "config.json")] {
        assert!(error.to_string().starts_with(file), "{error}");
        assert_refused!(error, ModelError::Config { .. }, "eos_token_id", &value);
    }
}

#[test]
fn settings_beside_the_configuration_that_cannot_work() {
    let error = GenerationConfig::from_json("{\"eos_token_id\": [1, -2]}").unwrap_err();
    assert_refused!(
        error,
        ModelError::Json { .. },
        "generation_config.json",
        "eos_token_id"
    );
    for (key, value) in [
        ("patch_size", json!(0)),
        ("temporal_patch_size", json!(0)),
        ("merge_size", json!(1_u64 << 50)),
        ("size", json!({ "shortest_edge": 0, "longest_edge": 100 })),
        ("size", json!({ "shortest_edge": 101, "longest_edge": 100 })),
        (
            "size",
            json!({ "shortest_edge": 1_u64 << 60, "longest_edge": 1_u64 << 61 }),
        ),
        ("image_std", json!([0.5, 0.0, 0.5])),
        ("image_std", json!([0.5, 1e39, 0.5])),
    ] {
        let error = PreprocessorConfig::from_json(&json!({ key: value }).to_string()).unwrap_err();
        assert_refused!(error, ModelError::Config { .. }, key);
    }
    let window = json!({ "patch_size": 256, "merge_size": 256 });
    assert_refused!(
        PreprocessorConfig::from_json(&window.to_string()).unwrap_err(),
        ModelError::Config { .. },
        "65536"
    );
    for (key, value) in [
        ("image_std", json!([0.5])),
        ("patch_size", json!(-14)),
        ("size", json!({})),
    ] {
        let json = serde_json::to_string_pretty(&json!({ key: value })).unwrap();
        assert_refused!(
            PreprocessorConfig::from_json(&json).unwrap_err(),
            ModelError::Json { .. },
            "line"
        );
    }
    const FILE: &str = "preprocessor_config.json";
    for (key, value) in [
        ("do_resize", json!(false)),
        ("do_rescale", json!(false)),
        ("do_normalize", json!(false)),
        ("do_convert_rgb", json!(false)),
        ("rescale_factor", json!(1e-5)),
        ("resample", json!(2)),
    ] {
        let copy = with_file(FILE, changed(FILE, key, value));
        assert_refused!(
            refused(copy.path()),
            ModelError::Config { .. },
            key,
            "must be"
        );
        PreprocessorConfig::from_json(&changed(FILE, key, json!(null))).unwrap();
    }
    for (key, value) in [
        ("patch_size", 16),
        ("merge_size", 4),
        ("temporal_patch_size", 1),
    ] {
        let copy = with_file(FILE, changed(FILE, key, value.into()));
        assert_refused!(
            refused(copy.path()),
            ModelError::Config { .. },
            key,
            "config.json says"
        );
    }
}

#[test]
fn sampling_settings_out_of_range() {
    for (key, value) in [
        ("temperature", json!(-1)),
        ("top_p", json!(0)),
        ("top_p", json!(2)),
        ("top_k", json!(-7)),
        ("repetition_penalty", json!(0)),
    ] {
        for do_sample in [true, false] {
            let changed = json!({ "do_sample": do_sample, key: value });
            let copy = with_file("generation_config.json", changed.to_string());
            assert_refused!(
                refused(copy.path()),
                ModelError::Config { .. },
                "generation_config.json",
                key
            );
        }
    }
}
