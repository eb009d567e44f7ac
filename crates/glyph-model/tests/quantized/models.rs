//! Whole models with quantised weights, beside themselves.

use burn::tensor::{DType, Tensor};
use glyph_model::quantize::{Bits, PackedMatrix, Quantization, Role, TensorLayout, quantize_model};
use glyph_model::text::Positions;
use glyph_model::weights::{
    LoadAs, WeightFiles, load_model, table_dtype, tensor_specs, write_quantized,
};
use glyph_model::{Checkpoint, Glm4v};
use half::f16;
use safetensors::Dtype;

use crate::common::{CONFIGS, Stored, copy_of, device, fixture, open, read_weights, write_weights};

fn load(config: &str, quantization: Option<Quantization>) -> Checkpoint {
    let load_as = LoadAs {
        dtype: DType::F32,
        quantization,
    };
    Checkpoint::open(&fixture(config), &device(), load_as, |_| {}).unwrap()
}

/// Scores of a run of tokens, `[seq, vocab]` flat.
fn logits(model: &Glm4v, vocab_size: usize) -> Vec<f32> {
    const N: usize = 24;
    let ids: Vec<u32> = (0..N)
        .map(|i| (i * 7 + 3) as u32 % vocab_size as u32)
        .collect();
    let positions: Vec<[u32; 3]> = (0..N as u32).map(|i| [i; 3]).collect();
    let embedded = model.embed(&ids, [1, N], None, &[]);
    let hidden = model
        .model
        .language_model
        .forward(embedded, Positions(&positions));
    let logits: Tensor<3> = model.logits(hidden);
    logits.into_data().iter().collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn scores_of_quantised_models_point_where_the_originals_do() {
    for config in CONFIGS {
        let original = open(config);
        let vocab_size = original.settings.config.text_config.vocab_size;
        let expected = logits(&original.model, vocab_size);
        for (quantization, least) in [(Quantization::Q8, 0.9995), (Quantization::Q4, 0.93)] {
            let quantized = load(config, Some(quantization));
            let found = cosine(&logits(&quantized.model, vocab_size), &expected);
            assert!(found >= least, "{config} {quantization}: {found}");
        }
    }
}

#[test]
fn quantising_while_loading_and_afterwards_is_the_same() {
    for quantization in Quantization::ALL {
        let while_loading = load("base", Some(quantization));
        assert_eq!(while_loading.quantization, Some(quantization));
        let vocab_size = while_loading.settings.config.text_config.vocab_size;
        let afterwards = quantize_model(open("base").model, quantization).unwrap();
        let (a, b) = (
            logits(&while_loading.model, vocab_size),
            logits(&afterwards, vocab_size),
        );
        assert_eq!(a, b, "{quantization}");
    }
}

#[test]
fn what_was_written_loads_as_what_was_quantised_while_loading() {
    // One file, and more than one matrix can be in.
    for (config, most_file_bytes) in [("base", usize::MAX), ("mha-sharded", 40 * 1024)] {
        for quantization in Quantization::ALL {
            let while_loading = load(config, Some(quantization));
            let vocab_size = while_loading.settings.config.text_config.vocab_size;
            let expected = logits(&while_loading.model, vocab_size);

            let from = fixture(config);
            let folder = tempfile::tempdir().unwrap();
            for file in std::fs::read_dir(&from).unwrap() {
                let file = file.unwrap();
                if !file.file_name().to_string_lossy().contains("safetensors") {
                    std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
                }
            }
            let files = WeightFiles::open(&from).unwrap();
            let specs = tensor_specs(&Glm4v::new(&while_loading.settings.config, &device()));
            let place = (folder.path(), most_file_bytes);
            let written = write_quantized(&files, &specs, quantization, place, |_| {}).unwrap();
            assert_eq!(written.files.len() > 1, config == "mha-sharded");
            let again = WeightFiles::open(folder.path()).unwrap();
            assert_eq!(again.stored_bytes(), written.n_bytes);
            assert_eq!(again.quantization(), Some(quantization));

            let loaded = Checkpoint::open(folder.path(), &device(), DType::F32, |_| {}).unwrap();
            assert_eq!(loaded.quantization, Some(quantization));
            assert_eq!(
                logits(&loaded.model, vocab_size),
                expected,
                "{config} {quantization}"
            );
        }
    }
}

/// Name of the token table.
const TABLE: &str = "model.language_model.embed_tokens.weight";

/// A table of f32 as it is, or in another type; in 8 bits with its scales, which nobody writes and somebody may.
fn stored_as(dtype: Dtype, table: &Stored) -> Vec<Stored> {
    if dtype == table.dtype {
        return vec![table.clone()];
    }
    if dtype == Dtype::I8 {
        let [d_out, d_in] = table.shape[..] else {
            panic!("a table has two axes");
        };
        let shape = [d_out, d_in];
        let matrix = PackedMatrix::quantize(&table.data, DType::F32, shape, Bits::Eight).unwrap();
        let scales = Stored {
            name: format!("{TABLE}_scale"),
            dtype: Dtype::F16,
            shape: vec![d_out, d_in / 32],
            data: matrix.scale_bytes(),
        };
        let values = Stored {
            dtype,
            data: matrix.value_bytes().to_vec(),
            ..table.clone()
        };
        return vec![values, scales];
    }
    assert_eq!(dtype, Dtype::F16);
    let (values, _) = table.data.as_chunks::<4>();
    let half = |value: &[u8; 4]| f16::from_f32(f32::from_le_bytes(*value)).to_le_bytes();
    let narrow = Stored {
        dtype,
        data: values.iter().flat_map(half).collect(),
        ..table.clone()
    };
    vec![narrow]
}

#[test]
fn a_token_table_lies_as_it_is_foretold_whatever_it_is_stored_as() {
    let original = open("base");
    let vocab_size = original.settings.config.text_config.vocab_size;
    let expected = logits(&original.model, vocab_size);
    let specs = tensor_specs(&original.model);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::I8] {
        let copy = copy_of("base");
        let path = copy.path().join("model.safetensors");
        let mut tensors = read_weights(&path);
        let place = tensors.iter().position(|tensor| tensor.name == TABLE);
        let table = tensors.remove(place.unwrap());
        let n_values: usize = table.shape.iter().product();
        tensors.extend(stored_as(dtype, &table));
        write_weights(&path, &tensors);

        let files = WeightFiles::open(copy.path()).unwrap();
        // It is none of the matrices that a scheme is known by.
        assert_eq!(files.quantization(), None, "{dtype:?}");
        let foretold = table_dtype(&files, DType::F32, &device());
        let is_narrow = dtype == Dtype::F16 && device().supports_dtype(DType::F16);
        assert_eq!(foretold == DType::F16, is_narrow, "{dtype:?}: {foretold:?}");
        let load_as = LoadAs {
            dtype: DType::F32,
            quantization: Some(Quantization::Q8),
        };
        let mut n_bytes = 0;
        let on_bytes = |n: usize| n_bytes = n;
        let loaded = Checkpoint::open(copy.path(), &device(), load_as, on_bytes).unwrap();
        assert_eq!(loaded.table_dtype, foretold, "{dtype:?}");
        let embedding = &loaded.model.model.language_model.embed_tokens;
        assert_eq!(embedding.weight.val().dtype(), foretold, "{dtype:?}");
        let found = cosine(&logits(&loaded.model, vocab_size), &expected);
        assert!(found >= 0.999, "{dtype:?}: {found}");

        let value_bytes = foretold.size() as u64;
        let layout = TensorLayout::of(&device()).with_table(value_bytes);
        let mut counted = layout.tensor_bytes(&specs, load_as.quantization, 4);
        let (_, table_bytes) = counted.find(|(name, _)| *name == TABLE).unwrap();
        assert_eq!(table_bytes, n_values as u64 * value_bytes, "{dtype:?}");
        // All that was loaded, one value after the other.
        let layout = TensorLayout::HOST.with_table(value_bytes);
        let counted = layout.model_bytes(&specs, load_as.quantization, 4);
        assert_eq!(counted, n_bytes as u64, "{dtype:?}");
    }
}

#[test]
fn a_quantised_checkpoint_is_named_where_it_does_not_fit() {
    let from = fixture("base");
    let folder = tempfile::tempdir().unwrap();
    let files = WeightFiles::open(&from).unwrap();
    let original = open("base");
    let specs = tensor_specs(&original.model);
    let place = (folder.path(), usize::MAX);
    write_quantized(&files, &specs, Quantization::Q4, place, |_| {}).unwrap();
    let quantized = WeightFiles::open(folder.path()).unwrap();
    let problems = |specs: &[(String, Vec<usize>)]| {
        let place = (folder.path(), usize::MAX);
        let written = write_quantized(&quantized, specs, Quantization::Q4, place, |_| {});
        written.unwrap_err().to_string()
    };
    let q = "model.language_model.layers.0.self_attn.q_proj.weight";
    let again = problems(&specs);
    assert!(
        again.contains(&format!("{q} is quantised already")),
        "{again}"
    );
    let mut other = specs.clone();
    for (name, shape) in &mut other {
        if name == q {
            shape[1] *= 2;
        }
    }
    let wrong = problems(&other);
    assert!(wrong.contains(&format!("{q} has shape")), "{wrong}");

    // Another number of bits than the files have.
    let load_as = LoadAs {
        dtype: DType::F32,
        quantization: Some(Quantization::Q8),
    };
    let fresh = Glm4v::new(&original.settings.config, &device());
    let loaded = load_model(fresh, &quantized, &device(), load_as, |_| true, |_| {});
    let error = loaded.unwrap_err().to_string();
    assert!(
        error.contains("4 bits already and cannot be made 8"),
        "{error}"
    );
}

#[test]
fn every_layer_that_has_a_role_and_whole_blocks_is_quantised() {
    for config in CONFIGS {
        for quantization in Quantization::ALL {
            let mut checkpoint = load(config, Some(quantization));
            let original = Glm4v::new(&checkpoint.settings.config, &device());
            let named: Vec<String> = tensor_specs(&original)
                .into_iter()
                .filter(|(name, _)| Role::of(name).is_some())
                .map(|(name, _)| name)
                .collect();
            let mut quantizable = Vec::new();
            for (name, linear) in checkpoint.model.quantizable() {
                let expected = quantization.bits_of(&name, &linear.shape());
                let found = linear.quantized().map(|weight| weight.bits());
                assert_eq!(found, expected, "{config} {name}");
                quantizable.push(name);
            }
            quantizable.sort();
            let mut named = named;
            named.sort();
            assert_eq!(quantizable, named, "{config}");
        }
    }
}
