//! `config.json` in its older and newer forms.

use burn::tensor::DType;
use glyph_model::config::ModelConfig;

use crate::common::{copy_of, fixture, json, open, open_dir};
use crate::weights::logits;

#[test]
fn the_configuration_in_its_older_form_means_the_same() {
    let read = |name: &str| {
        ModelConfig::from_json(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
    };
    let (newer, older) = (read("base/config.json"), read("base/config.v4.json"));
    let (a, b) = (&newer.text_config, &older.text_config);
    assert_eq!(a.rope_theta(), b.rope_theta());
    assert_eq!(a.rotary_dim(), b.rotary_dim());
    assert_eq!(a.mrope_section(), b.mrope_section());
    assert_eq!(a.head_dim(), b.head_dim());
    assert_eq!(a.num_key_value_heads(), b.num_key_value_heads());
    assert_eq!((a.vocab_size, a.hidden_size), (b.vocab_size, b.hidden_size));
    assert_eq!(a.rms_norm_eps, b.rms_norm_eps);
    assert_eq!(a.max_position_embeddings, b.max_position_embeddings);
    assert_eq!(newer.tied_embeddings(), older.tied_embeddings());
    assert_eq!(newer.image_token_id, older.image_token_id);
    assert_eq!(
        newer.vision_config.rope_theta(),
        older.vision_config.rope_theta()
    );

    let copy = copy_of("base");
    std::fs::copy(
        fixture("base/config.v4.json"),
        copy.path().join("config.json"),
    )
    .unwrap();
    assert_eq!(
        logits(&open_dir(copy.path(), DType::F32).unwrap()),
        logits(&open("base"))
    );
}

#[test]
fn the_tie_flag_counts_wherever_it_stands() {
    let json = std::fs::read_to_string(fixture("gqa-tied-bf16/config.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (root, inner, tied) in [
        (Some(true), None, true),
        (None, Some(true), true),
        (Some(false), Some(true), true),
        (Some(true), Some(false), true),
        (Some(false), None, false),
        (None, None, false),
    ] {
        value["tie_word_embeddings"] = root.into();
        value["text_config"]["tie_word_embeddings"] = inner.into();
        assert_eq!(
            ModelConfig::from_json(&value.to_string())
                .unwrap()
                .tied_embeddings(),
            tied
        );
    }
}

/// transformers 5.23.0 uses a head that the weights hold for every combination of the two flags.
#[test]
fn a_head_in_the_weights_counts_more_than_the_tie_flags() {
    let untied = logits(&open("base"));
    for (root, inner) in [(true, true), (false, true), (true, false)] {
        let copy = copy_of("base");
        let mut value = json("base/config.json");
        value["tie_word_embeddings"] = root.into();
        value["text_config"]["tie_word_embeddings"] = inner.into();
        std::fs::write(copy.path().join("config.json"), value.to_string()).unwrap();
        let opened = open_dir(copy.path(), DType::F32).unwrap();
        assert!(opened.report.unexpected.is_empty());
        assert_eq!(logits(&opened), untied, "{root} {inner}");
    }
}

#[test]
fn rotary_settings_are_found_wherever_they_stand() {
    let json = std::fs::read_to_string(fixture("base/config.v4.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    // Some files name the kind twice.
    let mut twice = value.clone();
    twice["text_config"]["rope_scaling"]["type"] = "default".into();
    let config = ModelConfig::from_json(&twice.to_string()).unwrap();
    assert_eq!(config.text_config.mrope_section(), [1, 1, 2]);
    // What the newer place leaves out is read from the older ones.
    let mut mixed = value.clone();
    mixed["text_config"]["rope_parameters"] = serde_json::json!({ "rope_theta": 500.0 });
    let config = ModelConfig::from_json(&mixed.to_string()).unwrap();
    assert_eq!(config.text_config.rope_theta(), 500.0);
    assert_eq!(config.text_config.mrope_section(), [1, 1, 2]);
    assert_eq!(config.text_config.rotary_dim(), 8);
    // Without a factor the whole head rotates.
    let mut whole = value;
    whole["text_config"]
        .as_object_mut()
        .unwrap()
        .remove("partial_rotary_factor");
    whole["text_config"]["rope_scaling"]["mrope_section"] = serde_json::json!([2, 3, 3]);
    let config = ModelConfig::from_json(&whole.to_string()).unwrap();
    assert_eq!(config.text_config.rotary_dim(), 16);
}
