//! Fixtures and how far from them a result may be.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor};
use glyph_device::{Backend, OpenDevice};
use glyph_model::Checkpoint;
use glyph_model::preprocess::{ImagePatches, PatchGrid, RgbImage};
use glyph_model::prompt::{Message, Part, Role};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// Checkpoints of the fixtures.
pub const CONFIGS: [&str; 5] = [
    "base",
    "gqa-tied-bf16",
    "mha-sharded",
    "mini-f16",
    "full-rotary",
];
/// Prompts of each.
pub const PROMPTS: [&str; 5] = ["text", "one_image", "images", "two_turn", "long"];
/// Largest difference over largest value of the reference: in f32, and of logits in 16 bits.
pub const TOLERANCE: f64 = 1e-4;
/// In f32 on CUDA, whose tensor cores take the factors of a product in TF32, of 10 bits.
pub const TF32_TOLERANCE: f64 = 5e-3;
pub const F16_TOLERANCE: f64 = 0.02;
pub const BF16_TOLERANCE: f64 = 0.15;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/model")
        .join(name)
}

pub fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// Rows of a JSON table.
pub fn rows(name: &str) -> Vec<Value> {
    json(name).as_array().unwrap().clone()
}

pub fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| number(id) as u32)
        .collect()
}

/// A safetensors file of the fixtures.
pub struct Fixture(Vec<u8>);

impl Fixture {
    pub fn open(name: &str) -> Self {
        Self(std::fs::read(fixture(name)).unwrap())
    }

    fn values<T, const N: usize>(&self, name: &str, read: fn([u8; N]) -> T) -> Vec<T> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file
            .tensor(name)
            .unwrap_or_else(|_| panic!("no tensor {name}"));
        tensor
            .data()
            .chunks_exact(N)
            .map(|bytes| read(bytes.try_into().unwrap()))
            .collect()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.values(name, f32::from_le_bytes)
    }

    pub fn integers(&self, name: &str) -> Vec<usize> {
        self.values(name, |bytes| {
            usize::try_from(i64::from_le_bytes(bytes)).unwrap()
        })
    }

    pub fn token_ids(&self, name: &str) -> Vec<u32> {
        self.integers(name)
            .into_iter()
            .map(|id| id as u32)
            .collect()
    }

    /// An integer that may be negative.
    pub fn signed(&self, name: &str) -> i64 {
        self.values(name, i64::from_le_bytes)[0]
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.values(name, |[byte]| byte)
    }
}

pub fn open(config: &str) -> Checkpoint {
    open_dir(&fixture(config), DType::F32).unwrap()
}

pub fn open_dir(dir: &Path, dtype: DType) -> glyph_model::Result<Checkpoint> {
    Checkpoint::open(dir, &device(), dtype, |_| {})
}

/// The device that `GLYPH_TEST_DEVICE` names, the CPU where it names none.
pub fn opened() -> OpenDevice {
    let name = std::env::var("GLYPH_TEST_DEVICE");
    let choice = name.as_deref().unwrap_or("cpu").parse().unwrap();
    glyph_device::open(choice).unwrap()
}

pub fn device() -> Device {
    opened().device
}

pub fn picture(file: &str) -> RgbImage {
    RgbImage::decode(&std::fs::read(fixture(file)).unwrap()).unwrap()
}

/// The pictures of a row of `cases.json` or `chat.json`, ready for the tower.
pub fn patches(checkpoint: &Checkpoint, row: &Value) -> Vec<ImagePatches> {
    let files = row["images"].as_array().unwrap();
    let images: Vec<RgbImage> = files.iter().map(|file| picture(text(file))).collect();
    checkpoint.settings.preprocess(&images).unwrap()
}

pub fn grids(value: &Value) -> Vec<PatchGrid> {
    let grid = |thw: &Value| PatchGrid {
        rows: number(&thw[1]),
        columns: number(&thw[2]),
    };
    value.as_array().unwrap().iter().map(grid).collect()
}

pub fn messages(value: &Value) -> Vec<Message> {
    let part = |item: &Value| match text(&item["type"]) {
        "image" => Part::Image,
        _ => Part::Text {
            text: text(&item["text"]).to_owned(),
        },
    };
    let message = |message: &Value| Message {
        role: match text(&message["role"]) {
            "system" => Role::System,
            "user" => Role::User,
            _ => Role::Assistant,
        },
        content: match &message["content"] {
            Value::String(text) => vec![Part::Text { text: text.clone() }],
            items => items.as_array().unwrap().iter().map(part).collect(),
        },
    };
    value.as_array().unwrap().iter().map(message).collect()
}

pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .convert_dtype(DType::F32)
        .try_into_vec()
        .unwrap()
}

/// Rows of a flat `[n, width]`.
pub fn pick(values: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| &values[row * width..(row + 1) * width])
        .copied()
        .collect()
}

/// Asserts that `got`, computed in f32, is `want` within the device's tolerance, and shows how close it is.
pub fn assert_close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    let error = relative_error(got, want);
    println!("{what} {error:.1e}");
    let tolerance = match opened().backend {
        Backend::Cuda => TF32_TOLERANCE,
        Backend::Cpu | Backend::Wgpu => TOLERANCE,
    };
    assert!(error <= tolerance, "{what}: relative error {error:.2e}");
}

pub fn relative_error(got: &[f32], want: &[f32]) -> f64 {
    let largest = want.iter().fold(0.0_f64, |largest, value| {
        largest.max(f64::from(value.abs()))
    });
    let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    got.iter()
        .zip(want)
        .map(difference)
        .map(|difference| {
            if difference.is_nan() {
                f64::INFINITY
            } else {
                difference
            }
        })
        .fold(0.0, f64::max)
        / largest
}

/// A copy of a fixture's checkpoint that a test may damage.
pub fn copy_of(config: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(config)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "decoder.safetensors" && name != "vision.safetensors" {
            std::fs::copy(&path, copy.path().join(name)).unwrap();
        }
    }
    copy
}

/// A tensor of a weights file.
#[derive(Clone)]
pub struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

pub fn read_weights(path: &Path) -> Vec<Stored> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |(name, view): (&str, TensorView<'_>)| Stored {
        name: name.to_owned(),
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        data: view.data().to_vec(),
    };
    file.iter().map(stored).collect()
}

pub fn write_weights(path: &Path, tensors: &[Stored]) {
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(
            |Stored {
                 name,
                 dtype,
                 shape,
                 data,
             }| {
                (
                    name.as_str(),
                    TensorView::new(*dtype, shape.clone(), data).unwrap(),
                )
            },
        )
        .collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}
