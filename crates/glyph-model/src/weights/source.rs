//! The weight files of a checkpoint: what tensors they hold and where.

use std::collections::{BTreeMap, HashSet};
#[cfg(not(target_family = "wasm"))]
use std::path::{Component, Path};

use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::names::canonical;
#[cfg(not(target_family = "wasm"))]
use crate::config::parse_json;
use crate::error::{ModelError, Result};

/// Name of the single weights file.
const SINGLE: &str = "model.safetensors";
/// Name of the index of a sharded checkpoint.
const INDEX: &str = "model.safetensors.index.json";

/// All weight files of one checkpoint, their headers read, their data not.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<FileBytes>,
    tensors: BTreeMap<String, TensorInfo>,
    /// Tensors of types that are not read, and those types. Harmless unless the model asks for one.
    unreadable: BTreeMap<String, Dtype>,
}

/// One tensor as its file describes it.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Stored type.
    pub dtype: DType,
    file: usize,
    range: std::ops::Range<usize>,
}

#[derive(Debug)]
enum FileBytes {
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl FileBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Maps the weight files of a checkpoint directory: the shards of the index where there is one, else
    /// `model.safetensors`.
    ///
    /// # Errors
    /// [`ModelError::MissingFile`], [`ModelError::MissingShard`], [`ModelError::Json`] for a broken index,
    /// [`ModelError::Safetensors`] for a file cut short or foreign, [`ModelError::Weights`] when the index names
    /// tensors that no shard holds.
    #[cfg(not(target_family = "wasm"))]
    pub fn open(dir: &Path) -> Result<Self> {
        let index_path = dir.join(INDEX);
        if !index_path.exists() {
            let path = dir.join(SINGLE);
            if !path.exists() {
                return Err(ModelError::MissingFile { file: format!("{SINGLE} (or {INDEX})") });
            }
            return Self::from_files(vec![(SINGLE.to_owned(), map_file(&path)?)]);
        }
        let index = std::fs::read_to_string(&index_path)
            .map_err(|source| ModelError::Io { path: index_path.clone(), source })?;
        let index: Index = parse_json(INDEX, &index)?;
        let mut shards: Vec<&String> = index.weight_map.values().collect();
        shards.sort_unstable();
        shards.dedup();
        let mut files = Vec::with_capacity(shards.len());
        for shard in shards {
            // A shard lies beside its index; a path would let an index read any file.
            let mut parts = Path::new(shard).components();
            let is_file_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
            if !is_file_name || shard.contains(['/', '\\']) {
                return Err(ModelError::Json {
                    file: INDEX.to_owned(),
                    reason: format!("shard name {shard:?} is a path"),
                });
            }
            let path = dir.join(shard);
            if !path.exists() {
                return Err(ModelError::MissingShard { shard: shard.clone(), index: INDEX.to_owned() });
            }
            files.push((shard.clone(), map_file(&path)?));
        }
        let weights = Self::from_files(files)?;
        let problems: Vec<String> = index
            .weight_map
            .iter()
            .filter(|(name, _)| {
                let name = canonical(name);
                !weights.tensors.contains_key(&name) && !weights.unreadable.contains_key(&name)
            })
            .map(|(name, shard)| format!("{name} is not in {shard}, where {INDEX} says it is"))
            .collect();
        if problems.is_empty() { Ok(weights) } else { Err(ModelError::Weights { problems }) }
    }

    /// Takes weight files from memory, each with its name.
    ///
    /// # Errors
    /// [`ModelError::Safetensors`] for a file cut short or foreign.
    pub fn from_bytes(files: Vec<(String, Vec<u8>)>) -> Result<Self> {
        Self::from_files(
            files.into_iter().map(|(name, bytes)| (name, FileBytes::Owned(bytes))).collect(),
        )
    }

    fn from_files(named: Vec<(String, FileBytes)>) -> Result<Self> {
        let mut files = Vec::with_capacity(named.len());
        let mut tensors = BTreeMap::new();
        let mut unreadable = BTreeMap::new();
        for (file_name, bytes) in named {
            let broken = |reason: String| ModelError::Safetensors { file: file_name.clone(), reason };
            let data = bytes.bytes();
            let (header_len, metadata) =
                SafeTensors::read_metadata(data).map_err(|error| broken(explain(&error, data.len())))?;
            let data_start = header_len + 8;
            if data_start + metadata.data_len() != data.len() {
                return Err(broken(format!(
                    "its header describes {} bytes, the file holds {}",
                    data_start + metadata.data_len(),
                    data.len()
                )));
            }
            for (name, info) in metadata.tensors() {
                let dtype = match info.dtype {
                    Dtype::F32 => DType::F32,
                    Dtype::F16 => DType::F16,
                    Dtype::BF16 => DType::BF16,
                    other => {
                        unreadable.insert(canonical(&name), other);
                        continue;
                    }
                };
                let (start, end) = info.data_offsets;
                let info = TensorInfo {
                    shape: info.shape.clone(),
                    dtype,
                    file: files.len(),
                    range: data_start + start..data_start + end,
                };
                if tensors.insert(canonical(&name), info).is_some() {
                    return Err(broken(format!("{name} stands in the checkpoint twice")));
                }
            }
            files.push(bytes);
        }
        Ok(Self { files, tensors, unreadable })
    }

    /// Published names and what the files say of each.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// What the files say of one tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The stored type of a tensor that is there and cannot be read.
    pub(super) fn unreadable(&self, name: &str) -> Option<Dtype> {
        self.unreadable.get(name).copied()
    }

    /// Names that `expected` does not hold.
    pub(super) fn others(&self, expected: &HashSet<String>) -> Vec<String> {
        let names = self.tensors.keys().chain(self.unreadable.keys());
        names.filter(|name| !expected.contains(*name)).cloned().collect()
    }

    /// A copy of one tensor's values in their stored type.
    pub(super) fn data(&self, info: &TensorInfo) -> TensorData {
        let bytes = self.files[info.file].bytes()[info.range.clone()].to_vec();
        TensorData::from_bytes_vec(bytes, info.shape.clone(), info.dtype)
    }

    /// Bytes of all tensors as stored.
    pub fn stored_bytes(&self) -> usize {
        self.tensors.values().map(|info| info.range.len()).sum()
    }
}

fn explain(error: &safetensors::SafeTensorError, file_len: usize) -> String {
    use safetensors::SafeTensorError as E;
    match error {
        E::HeaderTooSmall => format!("it is only {file_len} bytes long"),
        E::HeaderTooLarge | E::InvalidHeaderLength | E::InvalidHeader(_) => {
            "it does not start with a safetensors header".to_owned()
        }
        E::MetadataIncompleteBuffer => {
            format!("it is cut short or longer than its header says ({file_len} bytes)")
        }
        other => other.to_string(),
    }
}

#[cfg(not(target_family = "wasm"))]
fn map_file(path: &Path) -> Result<FileBytes> {
    let io_error = |source| ModelError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io_error)?;
    // SAFETY: the map is read-only and private to this value. As with every memory-mapped loader, a checkpoint
    // must not be rewritten in place while it is loading; replacing the file is harmless.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io_error)?;
    Ok(FileBytes::Mapped(map))
}
