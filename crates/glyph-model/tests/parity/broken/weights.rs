//! Weights that are not what they should be.

use burn::tensor::DType;
use glyph_model::checkpoint::{CheckpointDir, CheckpointSettings};
use glyph_model::quantize::Quantization;
use glyph_model::weights::{LoadAs, WeightFiles};
use glyph_model::{Checkpoint, ModelError};
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{assert_refused, refused, with_file};
use crate::common::{Stored, copy_of, device, fixture, open_dir, read_weights, write_weights};

const SINGLE: &str = "model.safetensors";

const INDEX: &str = "model.safetensors.index.json";

const SHARD: &str = "model-00002-of-00004.safetensors";

/// A copy of `base` whose weights were changed.
pub(super) fn with_weights(change: impl FnOnce(&mut Vec<Stored>)) -> TempDir {
    let copy = copy_of("base");
    let path = copy.path().join(SINGLE);
    let mut tensors = read_weights(&path);
    change(&mut tensors);
    write_weights(&path, &tensors);
    copy
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

#[test]
fn a_file_that_is_shortened_before_the_tower_is_loaded_is_an_error_until_it_is_whole() {
    let copy = copy_of("base");
    let path = copy.path().join(SINGLE);
    let whole = std::fs::read(&path).unwrap();
    let settings = CheckpointSettings::read(&CheckpointDir(copy.path())).unwrap();
    let weights = WeightFiles::open(copy.path()).unwrap();
    let loaded = settings.load_text_only(weights, &device(), DType::F32, |_| {});
    let mut checkpoint = loaded.unwrap();
    // In place: the file stays the one that was opened.
    std::fs::write(&path, b"").unwrap();
    let error = checkpoint.load_vision().unwrap_err();
    assert_refused!(error, ModelError::Tensor { .. }, SINGLE, "model.visual.");
    assert!(!checkpoint.has_vision());
    std::fs::write(&path, whole).unwrap();
    checkpoint.load_vision().unwrap();
    assert!(checkpoint.has_vision());
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
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
        assert_refused!(
            WeightFiles::from_bytes(files).unwrap_err(),
            ModelError::Safetensors { .. },
            "weights"
        );
    }
}

#[test]
fn a_tensor_that_is_missing_or_does_not_fit() {
    let q = "model.language_model.layers.1.self_attn.q_proj.bias";
    let conv = "model.visual.patch_embed.proj.weight";
    let copy = with_weights(|tensors| tensors.retain(|t| t.name != q && t.name != conv));
    assert_refused!(
        refused(copy.path()),
        ModelError::Weights { .. },
        q,
        conv,
        "missing"
    );

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
    assert_refused!(
        refused(copy.path()),
        ModelError::Safetensors { .. },
        "q_proj.bias",
        "twice"
    );

    // Weights of another configuration: every tensor that differs is listed, the first few are shown.
    let copy = copy_of("base");
    let other = fixture("full-rotary/model.safetensors");
    std::fs::copy(other, copy.path().join(SINGLE)).unwrap();
    let error = refused(copy.path());
    let ModelError::Weights { problems } = &error else {
        panic!("{error}")
    };
    for name in [
        "language_model.embed_tokens.weight",
        "visual.merger.up_proj.weight",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(name)));
    }
    let n_more = problems.len() - 8;
    assert!(error.to_string().ends_with(&format!("and {n_more} more")));
}

#[test]
fn a_weight_that_f16_does_not_reach() {
    for (config, dtype, value) in [
        ("gqa-tied-bf16", Dtype::BF16, &[0x80, 0x47][..]),
        ("base", Dtype::F32, &65_536_f32.to_le_bytes()),
    ] {
        let copy = copy_of(config);
        let path = copy.path().join(SINGLE);
        let mut tensors = read_weights(&path);
        let tensor = &mut tensors[5];
        assert_eq!(tensor.dtype, dtype);
        tensor.data[..value.len()].copy_from_slice(value);
        let name = tensor.name.clone();
        write_weights(&path, &tensors);
        assert_refused!(
            open_dir(copy.path(), DType::F16).map(|_| ()).unwrap_err(),
            ModelError::Overflow { .. },
            &name,
            "65536",
            "--dtype f32"
        );
        open_dir(copy.path(), DType::F32).unwrap();
    }
}

#[test]
fn a_quantised_weight_that_f16_does_not_reach() {
    const NAME: &str = "layers.0.self_attn.q_proj.weight";
    let copy = with_weights(|tensors| {
        let matrix = tensors
            .iter_mut()
            .find(|tensor| tensor.name.ends_with(NAME));
        matrix.unwrap().data[..4].copy_from_slice(&70_000_f32.to_le_bytes());
    });
    for quantization in [Quantization::Q8, Quantization::Q4] {
        let load = |dtype| {
            let load_as = LoadAs {
                dtype,
                quantization: Some(quantization),
            };
            Checkpoint::open(copy.path(), &device(), load_as, |_| {}).map(|_| ())
        };
        assert_refused!(
            load(DType::F16).unwrap_err(),
            ModelError::Overflow { .. },
            NAME,
            "--dtype f32"
        );
        load(DType::F32).unwrap();
    }
}

#[test]
fn shards_that_are_not_what_the_index_says() {
    let copy = copy_of("mha-sharded");
    std::fs::remove_file(copy.path().join(SHARD)).unwrap();
    assert_refused!(
        refused(copy.path()),
        ModelError::MissingShards { .. },
        SHARD,
        INDEX
    );
    let ModelError::MissingShards {
        shards, tensors, ..
    } = refused(copy.path())
    else {
        panic!("another error");
    };
    assert_eq!(shards, [SHARD]);
    assert!(!tensors.is_empty() && tensors.iter().all(|name| name.contains('.')));

    let copy = copy_of("mha-sharded");
    let shard = std::fs::read(copy.path().join(SHARD)).unwrap();
    std::fs::write(copy.path().join(SHARD), &shard[..shard.len() - 4]).unwrap();
    assert_refused!(refused(copy.path()), ModelError::Safetensors { .. }, SHARD);

    let copy = copy_of("mha-sharded");
    let path = copy.path().join(SHARD);
    let mut tensors = read_weights(&path);
    let lost = tensors.remove(0).name;
    write_weights(&path, &tensors);
    assert_refused!(
        refused(copy.path()),
        ModelError::Weights { .. },
        &lost,
        SHARD
    );

    // The same tensor in two shards.
    let copy = copy_of("mha-sharded");
    let other = copy.path().join("model-00001-of-00004.safetensors");
    let mut both = read_weights(&other);
    both.push(read_weights(&copy.path().join(SHARD)).remove(0));
    let name = both.last().unwrap().name.clone();
    write_weights(&other, &both);
    assert_refused!(
        refused(copy.path()),
        ModelError::Safetensors { .. },
        &name,
        "twice"
    );
}

/// A checkpoint whose weights are where an index says.
fn with_index(index: impl AsRef<[u8]>) -> TempDir {
    let copy = with_file(INDEX, index);
    std::fs::remove_file(copy.path().join(SINGLE)).unwrap();
    copy
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_round_in_a_circle_is_not_missing() {
    let index = json!({ "weight_map": { "t": "shard.safetensors" } }).to_string();
    for (name, copy) in [
        (SINGLE, with_index("{}")),
        (INDEX, with_index("{}")),
        ("shard.safetensors", with_index(index)),
    ] {
        let path = copy.path().join(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(name, &path).unwrap();
        assert_refused!(refused(copy.path()), ModelError::Io { .. }, name);
    }
}

#[test]
fn an_index_that_was_left_beside_a_single_file_is_not_asked() {
    let index = json!({ "weight_map": { "t": "model-00001-of-00002.safetensors" } });
    open_dir(with_file(INDEX, index.to_string()).path(), DType::F32).unwrap();
}

#[test]
fn an_index_that_is_broken_or_leads_out_of_the_directory() {
    for content in [
        "",
        "{}",
        "{\"weight_map\": 3}",
        "{\"weight_map\": {\"t\": 3}}",
    ] {
        assert_refused!(
            refused(with_index(content).path()),
            ModelError::Json { .. },
            INDEX
        );
    }
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join(SINGLE);
    std::fs::copy(fixture("base/model.safetensors"), &elsewhere).unwrap();
    for shard in [
        "../x",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a\\b",
        elsewhere.to_str().unwrap(),
    ] {
        let copy = with_index(json!({ "weight_map": { "t": shard } }).to_string());
        std::fs::write(copy.path().join("x"), "").unwrap();
        assert_refused!(refused(copy.path()), ModelError::Json { .. }, INDEX, "path");
    }
    let copy = with_index("{\"weight_map\": {}}");
    assert_refused!(
        refused(copy.path()),
        ModelError::Weights { .. },
        "model.visual.patch_embed.proj.weight",
        "missing"
    );
}
