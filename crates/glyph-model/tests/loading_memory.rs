//! What loading takes of the heap beyond the model itself: a tensor at a time, and no second copy of the model. On a
//! GPU, which `GLYPH_TEST_DEVICE` names, also what the model takes there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

mod counting;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Device};
use glyph_device::OpenDevice;
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::quantize::{Quantization, TensorLayout};
use glyph_model::weights::{LoadAs, WeightFiles, load_model, tensor_specs};
use serde_json::{Map, Value, json};

use counting::{bytes_in_use, with_peak};

/// What burn's bookkeeping takes.
const SLACK: usize = 256 * 1024;

/// What that of a GPU's library takes.
const GPU_SLACK: usize = 4 << 20;

/// Bytes on their way to a GPU after which loading waits for it.
const MOST_IN_FLIGHT: usize = 512 << 20;

/// A model of far more bytes than that, the largest of its tensors few of them.
const LARGE: &str = r#"{
    "model_type": "glm4v",
    "image_token_id": 900,
    "text_config": {
        "vocab_size": 1000, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 14,
        "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 1024,
        "partial_rotary_factor": 0.5, "rope_scaling": {"mrope_section": [4, 6, 6]}
    },
    "vision_config": {
        "depth": 1, "hidden_size": 192, "num_heads": 3, "image_size": 336, "patch_size": 14,
        "out_hidden_size": 1024, "intermediate_size": 512
    }
}"#;

/// Waits until no other test of this file runs: all of them are counted together.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Weights of a model, all of them 0 in bf16, in a file that takes no room on the disk.
fn write_zeros(specs: &[(String, Vec<usize>)], folder: &Path) {
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in specs {
        let start = end;
        end += DType::BF16.size() * shape.iter().product::<usize>();
        let tensor = json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), tensor);
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(folder.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

/// The device that `GLYPH_TEST_DEVICE` names, the CPU where it names none.
fn opened() -> OpenDevice {
    let name = std::env::var("GLYPH_TEST_DEVICE");
    let choice = name.as_deref().unwrap_or("cpu").parse().unwrap();
    glyph_device::open(choice).unwrap()
}

/// Bytes that tensors have on a device; none where the heap has them.
fn bytes_on(device: &Device) -> u64 {
    device.sync().unwrap();
    let usage = device.memory_pool_usage();
    usage.map_or(0, |usage| usage.bytes_in_use)
}

#[test]
fn loading_holds_the_model_and_a_few_copies_of_one_tensor() {
    let _alone = alone();
    let opened = opened();
    let device = &opened.device;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    let weights = WeightFiles::open(&dir).unwrap();
    let json = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let config = ModelConfig::from_json(&json).unwrap();
    let load = |quantization| {
        let model = Glm4v::new(&config, device);
        let load_as = LoadAs {
            dtype: DType::F32,
            quantization,
        };
        load_model(model, &weights, device, load_as, |_| true, |_| {}).unwrap()
    };
    let specs = tensor_specs(&Glm4v::new(&config, device));
    let sizes = specs
        .iter()
        .map(|(_, shape)| 4 * shape.iter().product::<usize>());
    let largest = sizes.max().unwrap();
    // Threads that stay come into being at the first use.
    drop(load(Some(Quantization::Q4)));
    for quantization in [None, Some(Quantization::Q8), Some(Quantization::Q4)] {
        let before_on_device = bytes_on(device);
        let before = bytes_in_use();
        let ((loaded, on_device), peak) = with_peak(|| {
            let loaded = load(quantization);
            (loaded, bytes_on(device) - before_on_device)
        });
        let held = bytes_in_use().saturating_sub(before);
        drop(loaded);
        let model = TensorLayout::HOST.model_bytes(&specs, quantization, 4) as usize;
        let what = format!(
            "{quantization:?}: {held} held, {on_device} on the device, {model} of weights, {peak} at once, {largest} \
             of a tensor"
        );
        println!("{what}");
        if opened.is_cpu() {
            assert!(held >= model && held <= model + SLACK, "{what}");
            // As stored, as f32, and with its columns side by side.
            assert!(peak <= held + 3 * largest, "{what}");
            continue;
        }
        // The heap has nothing in the end, and meanwhile what is on its way to the device.
        assert!(held <= GPU_SLACK, "{what}");
        assert!(peak <= model + 3 * largest + GPU_SLACK, "{what}");
        // Rows that begin at multiples of a power of two are foretold; not every device has them so.
        let foretold = TensorLayout::of(device).model_bytes(&specs, quantization, 4);
        assert!(on_device <= foretold, "{what}, {foretold} foretold");
        assert!(
            foretold - on_device <= foretold / 100,
            "{what}, {foretold} foretold"
        );
    }
}

#[test]
fn what_is_on_its_way_to_a_gpu_is_bounded_however_large_the_model_is() {
    let _alone = alone();
    let opened = opened();
    if opened.is_cpu() {
        println!("a CPU's model is in the heap itself");
        return;
    }
    let device = &opened.device;
    let config = ModelConfig::from_json(LARGE).unwrap();
    let empty = || Glm4v::new(&config, device);
    let specs = tensor_specs(&empty());
    let folder = tempfile::tempdir().unwrap();
    write_zeros(&specs, folder.path());
    let weights = WeightFiles::open(folder.path()).unwrap();
    let sizes = specs
        .iter()
        .map(|(_, shape)| DType::F32.size() * shape.iter().product::<usize>());
    let (model, largest) = (sizes.clone().sum::<usize>(), sizes.max().unwrap());
    let most = MOST_IN_FLIGHT + 3 * largest + GPU_SLACK;
    assert!(model > most + most / 4, "{model} bytes are too few");
    let (loaded, peak) = with_peak(|| {
        let loaded = load_model(empty(), &weights, device, DType::F32, |_| true, |_| {});
        device.sync().unwrap();
        loaded.unwrap()
    });
    drop(loaded);
    println!("{model} bytes of weights, {peak} at once, {most} at most");
    assert!(
        peak <= most,
        "{peak} of {model} bytes at once, {most} at most"
    );
}
