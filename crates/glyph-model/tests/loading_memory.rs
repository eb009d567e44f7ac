//! What loading takes of the heap beyond the model itself: a tensor at a time, and no second copy of the model. On a
//! GPU, which `GLYPH_TEST_DEVICE` names, also what the model takes there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

mod counting;

use std::path::Path;

use burn::tensor::{DType, Device};
use glyph_device::OpenDevice;
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::quantize::{Quantization, TensorLayout, model_bytes};
use glyph_model::weights::{LoadAs, WeightFiles, load_model, tensor_specs};

use counting::{bytes_in_use, with_peak};

/// What burn's bookkeeping takes.
const SLACK: usize = 256 * 1024;

/// What that of a GPU's library takes.
const GPU_SLACK: usize = 4 << 20;

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
        let model = model_bytes(&specs, quantization, 4) as usize;
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
