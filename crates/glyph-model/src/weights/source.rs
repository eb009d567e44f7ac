//! The weight files of a checkpoint: what tensors they hold and where.

use std::collections::{BTreeMap, HashSet};

use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::names::canonical;
use crate::error::{ModelError, Result};

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

/// Content of one file.
#[derive(Debug)]
pub(super) enum FileBytes {
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

impl WeightFiles {
    /// Takes weight files from memory, each with its name.
    ///
    /// # Errors
    /// [`ModelError::Safetensors`] for a file cut short or foreign.
    pub fn from_bytes(files: Vec<(String, Vec<u8>)>) -> Result<Self> {
        Self::from_files(
            files
                .into_iter()
                .map(|(name, bytes)| (name, FileBytes::Owned(bytes)))
                .collect(),
        )
    }

    pub(super) fn from_files(named: Vec<(String, FileBytes)>) -> Result<Self> {
        let mut files = Vec::with_capacity(named.len());
        let mut tensors = BTreeMap::new();
        let mut unreadable = BTreeMap::new();
        for (file_name, bytes) in named {
            let broken = |reason: String| ModelError::Safetensors {
                file: file_name.clone(),
                reason,
            };
            let data = bytes.bytes();
            let (header_len, metadata) = SafeTensors::read_metadata(data)
                .map_err(|error| broken(explain(&error, data.len())))?;
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
        Ok(Self {
            files,
            tensors,
            unreadable,
        })
    }

    /// Published names and what the files say of each.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// Whether they hold an output head of its own, which then counts whatever the configuration says of tying.
    pub fn has_output_head(&self) -> bool {
        self.info("lm_head.weight").is_some()
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
        names
            .filter(|name| !expected.contains(*name))
            .cloned()
            .collect()
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
