//! Writes a checkpoint of a known shape with random bf16 weights, in shards as large models have them: for measuring
//! what loading takes. Tokenizer and template are those of glyph-mini, so that the model runs, though it says nothing.
//!
//! ```sh
//! cargo run --release --example random_checkpoint -- --shape 9b --out /tmp/random-9b
//! cargo run --release --example random_checkpoint -- --shape 9b --layers 8 --out /tmp/random-9b-8
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::weights::tensor_specs;
use half::bf16;
use safetensors::{Dtype, View};
use serde_json::{Value, json};

/// Files that are taken over from glyph-mini.
const SMALL_FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
];

/// Keys of the configuration that say which tokens are special; they go with the tokenizer.
const TOKEN_KEYS: [&str; 6] = [
    "image_token_id",
    "image_start_token_id",
    "image_end_token_id",
    "video_token_id",
    "video_start_token_id",
    "video_end_token_id",
];

/// Largest file, as the official checkpoint has them.
const MOST_SHARD_BYTES: usize = 5_000_000_000;

/// Half the width of the weights' even distribution, whose deviation is then 0.02.
const SPREAD: f32 = 0.0346;

/// A shape is a directory of tests/fixtures/shapes.
const USAGE: &str = "usage: random_checkpoint --shape 9b|300m --out DIR [--layers N]";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut shape, mut out, mut n_layers) = (None, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match option.as_str() {
            "--shape" => shape = Some(value),
            "--out" => out = Some(PathBuf::from(value)),
            "--layers" => n_layers = Some(value.parse::<usize>()?),
            _ => return Err(USAGE.into()),
        }
    }
    let (shape, out) = (shape.ok_or(USAGE)?, out.ok_or(USAGE)?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mini = root.join("models/glyph-mini");
    let read = |path: PathBuf| -> Result<Value, Box<dyn Error>> {
        let json = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(serde_json::from_slice(&json)?)
    };
    let mut config = read(
        root.join("tests/fixtures/shapes")
            .join(&shape)
            .join("config.json"),
    )?;
    let tokens = read(mini.join("config.json"))?;
    for key in TOKEN_KEYS {
        config[key] = tokens[key].clone();
    }
    for key in ["eos_token_id", "pad_token_id"] {
        config["text_config"][key] = tokens["text_config"][key].clone();
    }
    if let Some(n_layers) = n_layers {
        config["text_config"]["num_hidden_layers"] = n_layers.into();
    }
    config["dtype"] = "bfloat16".into();
    std::fs::create_dir_all(&out)?;
    for file in SMALL_FILES {
        std::fs::copy(mini.join(file), out.join(file))?;
    }
    std::fs::write(out.join("config.json"), format!("{config:#}\n"))?;
    let model = Glm4v::new(
        &ModelConfig::from_json(&config.to_string())?,
        &Device::flex(),
    );
    write_weights(tensor_specs(&model), &out)
}

fn write_weights(specs: Vec<(String, Vec<usize>)>, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut shards: Vec<Vec<(String, RandomTensor)>> = vec![Vec::new()];
    let (mut shard_bytes, mut total) = (0, 0);
    for (n, (name, shape)) in specs.into_iter().enumerate() {
        let tensor = RandomTensor {
            shape,
            seed: n as u64 + 1,
            is_norm: name.contains("norm") && name.ends_with("weight"),
        };
        let len = tensor.data_len();
        if shard_bytes + len > MOST_SHARD_BYTES {
            shards.push(Vec::new());
            shard_bytes = 0;
        }
        shard_bytes += len;
        total += len;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, tensor));
        }
    }
    let n_shards = shards.len();
    let mut weight_map = BTreeMap::new();
    for (n, shard) in shards.into_iter().enumerate() {
        let file = format!("model-{:05}-of-{n_shards:05}.safetensors", n + 1);
        for (name, _) in &shard {
            weight_map.insert(name.clone(), file.clone());
        }
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(shard, Some(metadata), &out.join(&file))?;
        println!("{file}");
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    std::fs::write(
        out.join("model.safetensors.index.json"),
        format!("{index:#}\n"),
    )?;
    println!("{n_shards} shards, {total} bytes");
    Ok(())
}

/// A bf16 tensor that is drawn when it is written.
struct RandomTensor {
    shape: Vec<usize>,
    seed: u64,
    is_norm: bool,
}

impl View for RandomTensor {
    fn dtype(&self) -> Dtype {
        Dtype::BF16
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let n: usize = self.shape.iter().product();
        if self.is_norm {
            return Cow::Owned(bf16::ONE.to_le_bytes().repeat(n));
        }
        // A draw a value would take longer than writing them: 8 bits of each word decide one value, which is enough
        // for weights that nobody trains.
        let table: Vec<[u8; 2]> = (0..256)
            .map(|i| bf16::from_f32((i as f32 / 127.5 - 1.0) * SPREAD).to_le_bytes())
            .collect();
        let mut state = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = Vec::with_capacity(2 * n);
        while bytes.len() < 2 * n {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            for byte in state.to_le_bytes() {
                bytes.extend_from_slice(&table[usize::from(byte)]);
            }
        }
        bytes.truncate(2 * n);
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        2 * self.shape.iter().product::<usize>()
    }
}
