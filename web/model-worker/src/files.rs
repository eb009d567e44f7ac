//! The files of a checkpoint.

use std::collections::BTreeMap;

use glyph_model::checkpoint::CheckpointFiles;

use crate::error::ModelFailure;
use crate::reader::Reader;

/// The small files that a checkpoint may have.
const SMALL: [&str; 9] = [
    "config.json",
    "tokenizer.json",
    "chat_template.jinja",
    "tokenizer_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "render.json",
];

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The small files without which there is no checkpoint.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];

/// The small files that say which weights there are: where one of them has changed, so have the weights.
const DECISIVE: [&str; 2] = ["config.json", INDEX];

/// Whether a file is read whole each time, to see whether it has changed.
pub fn is_small(name: &str) -> bool {
    SMALL.contains(&name) || name == INDEX
}

/// Whether there is no checkpoint without it.
pub fn is_required(name: &str) -> bool {
    REQUIRED.contains(&name) || !is_small(name)
}

/// Whether the weights are others where it has changed.
pub fn is_decisive(name: &str) -> bool {
    DECISIVE.contains(&name)
}

/// What has been read.
#[derive(Default)]
pub struct Files {
    small: BTreeMap<String, Vec<u8>>,
    /// Weight files by name.
    pub weights: Vec<(String, Vec<u8>)>,
    /// Bytes of all.
    pub bytes: u64,
    /// Whether every file came from the cache.
    pub from_cache: bool,
    /// Why files could not be kept.
    pub cache_error: Option<String>,
}

impl CheckpointFiles for Files {
    fn read(&self, name: &str) -> glyph_model::Result<Option<Vec<u8>>> {
        Ok(self.small.get(name).cloned())
    }
}

impl Files {
    /// Reads all files that the model needs.
    pub async fn read_all(reader: &mut Reader<'_>) -> Result<Self, ModelFailure> {
        let mut files = Self::default();
        for name in SMALL {
            if let Some(bytes) = reader.read(name).await? {
                files.small.insert(name.to_owned(), bytes);
            }
        }
        let shards = match reader.read(INDEX).await? {
            Some(index) => shards(&index).map_err(|reason| ModelFailure::NotACheckpoint {
                name: INDEX.to_owned(),
                reason,
            })?,
            None => vec![WEIGHTS.to_owned()],
        };
        for name in shards {
            match reader.read(&name).await? {
                Some(bytes) => files.weights.push((name, bytes)),
                None => return Err(ModelFailure::MissingFile { name }),
            }
        }
        let weights = files.weights.iter().map(|(_, bytes)| bytes.len() as u64);
        let small = files.small.values().map(|bytes| bytes.len() as u64);
        files.bytes = weights.chain(small).sum();
        files.from_cache = reader.is_all_kept();
        files.cache_error = reader.take_cache_error();
        Ok(files)
    }
}

/// Names of the shards that an index lists.
fn shards(index: &[u8]) -> Result<Vec<String>, String> {
    let index: serde_json::Value =
        serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or("it has no weight_map")?;
    let names = map.values().filter_map(|name| name.as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}
