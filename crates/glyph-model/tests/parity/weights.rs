//! Weights by their published names, from one file or several, in any of the stored types.

use burn::tensor::DType;
use glyph_model::text::Positions;
use glyph_model::weights::{
    SavedDType, WeightFiles, load_weights, safetensors_bytes, tensor_specs,
};
use glyph_model::{Checkpoint, Glm4v};

use crate::common::{
    BF16_TOLERANCE, CONFIGS, F16_TOLERANCE, Fixture, assert_close, copy_of, device, fixture,
    floats, open, open_dir, opened, pick, read_weights, relative_error, rows, text, write_weights,
};

/// Logits of the text prompt at every position.
pub fn logits(checkpoint: &Checkpoint) -> Vec<f32> {
    let row = &rows("chat.json")
        .into_iter()
        .find(|row| text(&row["name"]) == "text")
        .unwrap();
    let prompt = checkpoint
        .settings
        .encoder
        .from_expanded(crate::common::ids(&row["input_ids"]), &[])
        .unwrap();
    let model = &checkpoint.model;
    let x = model.embed(
        &prompt.ids,
        [1, prompt.ids.len()],
        None,
        &prompt.feature_index,
    );
    floats(
        model.logits(
            model
                .model
                .language_model
                .forward(x, Positions(&prompt.positions.positions)),
        ),
    )
}

#[test]
fn every_checkpoint_opens_with_nothing_left_over() {
    for (config, dtype) in
        CONFIGS
            .into_iter()
            .zip([DType::F32, DType::BF16, DType::F32, DType::F16, DType::F32])
    {
        let files = WeightFiles::open(&fixture(config)).unwrap();
        assert!(
            files.tensors().all(|(_, info)| info.dtype == dtype),
            "{config}"
        );
        let mut n_bytes = Vec::new();
        let checkpoint =
            Checkpoint::open(&fixture(config), &device(), DType::F32, |n| n_bytes.push(n)).unwrap();
        assert!(
            checkpoint.report.unexpected.is_empty(),
            "{config}: {:?}",
            checkpoint.report
        );
        assert!(n_bytes.is_sorted());
        let n_parameters: usize = files
            .tensors()
            .map(|(_, info)| info.shape.iter().product::<usize>())
            .sum();
        assert_eq!(n_bytes.last(), Some(&(4 * n_parameters)));
        assert_eq!(
            files.stored_bytes(),
            n_parameters * if dtype == DType::F32 { 4 } else { 2 }
        );
        let tied = ["gqa-tied-bf16", "mini-f16"].contains(&config);
        assert_eq!(checkpoint.settings.config.tied_embeddings(), tied);
        assert_eq!(checkpoint.model.lm_head.is_none(), tied);
    }
}

#[test]
fn other_nestings_of_the_names_load_the_same_weights() {
    let want = logits(&open("base"));
    let renamed: [fn(&str) -> String; 5] = [
        |name| format!("base_model.model.{name}"),
        |name| match name.strip_prefix("model.") {
            Some(rest) => rest.to_owned(),
            None => name.to_owned(),
        },
        |name| {
            name.replace("model.language_model.", "model.")
                .replace("model.visual.", "visual.")
        },
        |name| {
            name.replace("model.language_model.", "language_model.model.")
                .replace("lm_head.", "language_model.lm_head.")
        },
        |name| name.replace("lm_head.", "model.lm_head."),
    ];
    for rename in renamed {
        let copy = copy_of("base");
        let path = copy.path().join("model.safetensors");
        let mut tensors = read_weights(&path);
        let before: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        tensors
            .iter_mut()
            .for_each(|tensor| tensor.name = rename(&tensor.name));
        assert!(
            tensors
                .iter()
                .zip(before)
                .any(|(tensor, before)| tensor.name != before)
        );
        write_weights(&path, &tensors);
        let checkpoint = open_dir(copy.path(), DType::F32).unwrap();
        assert!(
            checkpoint.report.unexpected.is_empty(),
            "{:?}",
            checkpoint.report
        );
        assert_eq!(logits(&checkpoint), want);
    }
}

#[test]
fn shards_from_memory_are_the_shards_of_the_directory() {
    let dir = fixture("mha-sharded");
    let shards: Vec<(String, Vec<u8>)> = (1..=4)
        .map(|n| format!("model-0000{n}-of-00004.safetensors"))
        .map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap()))
        .collect();
    let files = WeightFiles::from_bytes(shards).unwrap();
    let on_disk = WeightFiles::open(&dir).unwrap();
    assert!(
        files
            .tensors()
            .map(|(name, _)| name)
            .eq(on_disk.tensors().map(|(name, _)| name))
    );
    let small_files = glyph_model::checkpoint::CheckpointDir(&dir);
    let checkpoint =
        Checkpoint::from_parts(&small_files, &files, &device(), DType::F32, |_| {}).unwrap();
    assert_eq!(logits(&checkpoint), logits(&open("mha-sharded")));
}

#[test]
fn what_was_saved_loads_again() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let specs = tensor_specs(&checkpoint.model);
        let reloaded = |bytes: Vec<u8>| {
            let files = WeightFiles::from_bytes(vec![("saved".to_owned(), bytes)]).unwrap();
            assert_eq!(files.tensors().count(), specs.len());
            let model = Glm4v::new(&checkpoint.settings.config, &checkpoint.device);
            let (model, report) = load_weights(model, &files, DType::F32, |_| {}).unwrap();
            assert!(report.unexpected.is_empty());
            model
        };
        let exact = reloaded(safetensors_bytes(&checkpoint.model, SavedDType::F32).unwrap());
        let again = safetensors_bytes(&exact, SavedDType::F32).unwrap();
        assert_eq!(
            again,
            safetensors_bytes(&checkpoint.model, SavedDType::F32).unwrap(),
            "{config}"
        );

        let want = logits(&checkpoint);
        let half = reloaded(safetensors_bytes(&checkpoint.model, SavedDType::F16).unwrap());
        let mut checkpoint = checkpoint;
        checkpoint.model = half;
        let error = relative_error(&logits(&checkpoint), &want);
        assert!(error < 0.02, "{config}: {error}");
        assert_eq!(
            error == 0.0,
            config == "mini-f16",
            "only f16 weights survive as f16"
        );
    }
}

#[test]
fn tensors_that_the_model_has_no_use_for_are_reported_and_ignored() {
    let copy = copy_of("base");
    let path = copy.path().join("model.safetensors");
    let mut tensors = read_weights(&path);
    let mut extra = tensors[0].clone();
    extra.name = "model.visual.rotary_pos_emb.inv_freq".to_owned();
    tensors.push(extra.clone());
    // Of a type that is not read, which does not matter here.
    extra.name = "model.position_ids".to_owned();
    (extra.dtype, extra.shape, extra.data) = (safetensors::Dtype::I64, vec![2], vec![0; 16]);
    tensors.push(extra);
    write_weights(&path, &tensors);
    let checkpoint = open_dir(copy.path(), DType::F32).unwrap();
    let mut unexpected = checkpoint.report.unexpected.clone();
    unexpected.sort();
    assert_eq!(
        unexpected,
        ["model.position_ids", "model.visual.rotary_pos_emb.inv_freq"]
    );
    assert_eq!(logits(&checkpoint), logits(&open("base")));
}

#[test]
fn half_precision_runs_stay_near_the_reference() {
    for config in CONFIGS {
        let want = Fixture::open(&format!("{config}/decoder.safetensors"));
        let rows = want.integers("text.logit_rows");
        let want = want.floats("text.logits");
        for (dtype, tolerance) in [(DType::F16, F16_TOLERANCE), (DType::BF16, BF16_TOLERANCE)] {
            // Of wgpu's adapters none computes in bf16, and not all in f16.
            if !opened().dtypes.contains(dtype) {
                println!("{config} {dtype:?} is not a type of this device");
                continue;
            }
            let checkpoint = open_dir(&fixture(config), dtype).unwrap();
            let vocab = checkpoint.settings.config.text_config.vocab_size;
            let error = relative_error(&pick(&logits(&checkpoint), vocab, &rows), &want);
            println!("{config} {dtype:?} logits {error:.1e}");
            assert!(error < tolerance, "{config} {dtype:?}: {error}");
        }
        let got = logits(&open(config));
        let vocab = want.len() / rows.len();
        assert_close(
            &format!("{config} logits"),
            &pick(&got, vocab, &rows),
            &want,
        );
    }
}
