//! The weight files of a checkpoint directory: one file, or the shards of an index.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use serde::Deserialize;

use super::file_bytes::FileBytes;
use super::names::canonical;
use super::source::WeightFiles;
use crate::checkpoint::read_small;
use crate::config::parse_json;
use crate::error::{ModelError, Result};

/// Name of the single weights file.
pub(super) const SINGLE: &str = "model.safetensors";
/// Name of the index of a sharded checkpoint.
pub(super) const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    /// Tensor name → file name of its shard.
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Maps the weight files of a checkpoint directory: `model.safetensors` where there is one, else the shards of the
    /// index; so does `from_pretrained` of transformers.
    ///
    /// # Errors
    /// [`ModelError::MissingFile`], [`ModelError::MissingShards`], [`ModelError::Json`] for a broken index,
    /// [`ModelError::Safetensors`] for a file cut short or foreign, [`ModelError::MixedQuantization`],
    /// [`ModelError::Weights`] when the index names tensors that no shard holds.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(SINGLE);
        if is_there(&path)? {
            return Self::from_files(vec![(SINGLE.to_owned(), map_file(&path)?)]);
        }
        let index_path = dir.join(INDEX);
        if !is_there(&index_path)? {
            let file = format!("{SINGLE} (or {INDEX})");
            return Err(ModelError::MissingFile { file });
        }
        let io_error = |source| ModelError::Io {
            path: index_path.clone(),
            source,
        };
        let json = read_small(&index_path).map_err(io_error)?;
        let json = String::from_utf8(json)
            .map_err(|error| io_error(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let index: Index = parse_json(INDEX, &json)?;
        let weights = Self::from_files(index.map_shards(dir)?)?;
        let problems: Vec<String> = index
            .weight_map
            .iter()
            .filter(|(name, _)| !weights.holds(&canonical(name)))
            .map(|(name, shard)| format!("{name} is not in {shard}, where {INDEX} says it is"))
            .collect();
        match problems.is_empty() {
            true => Ok(weights),
            false => Err(ModelError::Weights { problems }),
        }
    }
}

impl Index {
    /// Every shard once, by name.
    fn map_shards(&self, dir: &Path) -> Result<Vec<(String, FileBytes)>> {
        let shards: BTreeSet<&String> = self.weight_map.values().collect();
        if let Some(path) = shards.iter().find(|shard| !is_file_name(shard)) {
            return Err(ModelError::Json {
                file: INDEX.to_owned(),
                reason: format!("shard name {path:?} is a path"),
            });
        }
        let mut missing = Vec::new();
        for shard in &shards {
            if !is_there(&dir.join(shard))? {
                missing.push((*shard).clone());
            }
        }
        if !missing.is_empty() {
            let tensors = self
                .weight_map
                .iter()
                .filter(|(_, shard)| missing.contains(shard))
                .map(|(name, _)| canonical(name))
                .collect();
            return Err(ModelError::MissingShards {
                shards: missing,
                tensors,
                index: INDEX.to_owned(),
            });
        }
        shards
            .into_iter()
            .map(|shard| Ok((shard.clone(), map_file(&dir.join(shard))?)))
            .collect()
    }
}

/// Whether there is such a file; a link that leads round in a circle is there, and an error.
fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|source| ModelError::Io {
        path: path.to_owned(),
        source,
    })
}

/// A shard lies beside its index; a path would let an index read any file.
fn is_file_name(shard: &str) -> bool {
    let mut parts = Path::new(shard).components();
    let one_name = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    );
    one_name && !shard.contains(['/', '\\'])
}

fn map_file(path: &Path) -> Result<FileBytes> {
    let io_error = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(io_error)?;
    // SAFETY: the map is read-only and private to this value. As with every memory-mapped loader, a checkpoint
    // must not be rewritten in place while it is loading; replacing the file is harmless. No map outlives loading.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io_error)?;
    Ok(FileBytes::Mapped { map, file })
}
