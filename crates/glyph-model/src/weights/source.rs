//! The weight files of a checkpoint: what tensors they hold and where.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::file_bytes::FileBytes;
use super::names::canonical;
use crate::error::{ModelError, Result};
use crate::quantize::{BLOCK, Bits, PackedMatrix, Quantization, Role};

/// All weight files of one checkpoint, their headers read, their data not.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, TensorInfo>,
    /// Tensors of types that are not read, and those types. Harmless unless the model asks for one.
    unreadable: BTreeMap<String, Dtype>,
    quantization: Option<Quantization>,
}

/// One tensor as its file describes it.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Extent of each axis; of a quantised matrix in values, however many share a byte.
    pub shape: Vec<usize>,
    /// Stored type.
    pub dtype: DType,
    /// Bits of a quantised value; `None` for a tensor that is not quantised.
    pub bits: Option<Bits>,
    place: Place,
    /// Where the scales of a quantised matrix are.
    scales: Option<Place>,
}

impl TensorInfo {
    /// Bytes that it takes in its file, scales among them.
    pub fn stored_bytes(&self) -> usize {
        let places = [Some(&self.place), self.scales.as_ref()];
        places.into_iter().flatten().map(|p| p.range.len()).sum()
    }
}

/// Where in which file.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    range: Range<usize>,
}

/// One file.
#[derive(Debug)]
struct WeightFile {
    name: String,
    content: FileBytes,
}

/// What the name of a quantised matrix's scales ends with, behind the matrix's own.
pub(super) const SCALE: &str = "_scale";

impl WeightFiles {
    /// Takes weight files from memory, each with its name.
    ///
    /// # Errors
    /// [`ModelError::Safetensors`] for a file cut short or foreign; [`ModelError::MixedQuantization`].
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
        for (file_name, content) in named {
            let broken = |reason: String| ModelError::Safetensors {
                file: file_name.clone(),
                reason,
            };
            let data = content.in_memory().unwrap_or_default();
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
                    Dtype::I8 => DType::I8,
                    Dtype::U8 => DType::U8,
                    other => {
                        unreadable.insert(canonical(&name), other);
                        continue;
                    }
                };
                let (start, end) = info.data_offsets;
                let info = TensorInfo {
                    shape: info.shape.clone(),
                    dtype,
                    bits: None,
                    place: Place {
                        file: files.len(),
                        range: data_start + start..data_start + end,
                    },
                    scales: None,
                };
                if tensors.insert(canonical(&name), info).is_some() {
                    return Err(broken(format!("{name} stands in the checkpoint twice")));
                }
            }
            files.push(WeightFile {
                name: file_name,
                content,
            });
        }
        join_scales(&mut tensors, &mut unreadable);
        let quantization = quantization_of(&tensors)?;
        Ok(Self {
            files,
            tensors,
            unreadable,
            quantization,
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

    /// Whether they hold a tensor of this name, be it one that cannot be read, or the scales of a quantised matrix.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn holds(&self, name: &str) -> bool {
        let is_scale = name.strip_suffix(SCALE).is_some_and(|matrix| {
            let info = self.info(matrix);
            info.is_some_and(|info| info.scales.is_some())
        });
        is_scale || self.info(name).is_some() || self.unreadable(name).is_some()
    }

    /// The stored type of a tensor that is there and cannot be read.
    pub fn unreadable(&self, name: &str) -> Option<Dtype> {
        self.unreadable.get(name).copied()
    }

    /// Names of the tensors that `expected` does not hold, those that cannot be read among them.
    pub fn others(&self, expected: &HashSet<String>) -> Vec<String> {
        let names = self.tensors.keys().chain(self.unreadable.keys());
        names
            .filter(|name| !expected.contains(*name))
            .cloned()
            .collect()
    }

    /// How the linear layers of the decoder and the output head are quantised; `None` where none of them is.
    pub fn quantization(&self) -> Option<Quantization> {
        self.quantization
    }

    /// The same with no file mapped, for what is loaded later: a file may be shortened until then.
    pub(crate) fn unmapped(self) -> Self {
        let unmapped = |file: WeightFile| WeightFile {
            content: file.content.unmapped(),
            ..file
        };
        let files = self.files.into_iter().map(unmapped).collect();
        Self { files, ..self }
    }

    /// # Errors
    /// [`ModelError::Tensor`].
    fn bytes(&self, tensor: &str, place: &Place) -> Result<Cow<'_, [u8]>> {
        let file = &self.files[place.file];
        let bytes = file.content.read(&place.range);
        bytes.map_err(|source| ModelError::Tensor {
            file: file.name.clone(),
            tensor: tensor.to_owned(),
            source,
        })
    }

    /// The bytes of the tensor `name` as they are stored.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when its file has been shortened since it was opened, or cannot be read.
    pub(super) fn stored(&self, name: &str, info: &TensorInfo) -> Result<Cow<'_, [u8]>> {
        self.bytes(name, &info.place)
    }

    /// Gives the pages of a tensor that has been read back to the system.
    pub(super) fn release(&self, info: &TensorInfo) {
        for place in [Some(&info.place), info.scales.as_ref()]
            .into_iter()
            .flatten()
        {
            self.files[place.file].content.release(&place.range);
        }
    }

    /// A copy of the values of the tensor `name`, in their stored type or, where they are quantised, dequantised.
    ///
    /// # Errors
    /// Those of [`packed`](Self::packed) and of [`stored`](Self::stored).
    pub(super) fn data(&self, name: &str, info: &TensorInfo) -> Result<TensorData> {
        if let Some(matrix) = self.packed(name, info)? {
            let dense = matrix.dequantize(0..matrix.shape()[0]);
            return Ok(TensorData::new(dense, info.shape.clone()));
        }
        let bytes = self.stored(name, info)?.into_owned();
        Ok(TensorData::from_bytes_vec(
            bytes,
            info.shape.clone(),
            info.dtype,
        ))
    }

    /// A copy of the quantised matrix `name`; `None` for a tensor that is not quantised.
    ///
    /// # Errors
    /// [`ModelError::Pack`] for one with a scale that is not finite; those of [`stored`](Self::stored).
    pub(super) fn packed(&self, name: &str, info: &TensorInfo) -> Result<Option<PackedMatrix>> {
        let (Some(bits), Some(scales)) = (info.bits, &info.scales) else {
            return Ok(None);
        };
        let [d_out, d_in] = *info.shape.as_slice() else {
            return Ok(None);
        };
        let values = self.stored(name, info)?.into_owned();
        let scales = self.bytes(name, scales)?;
        PackedMatrix::from_parts(bits, [d_out, d_in], values, &scales)
            .map(Some)
            .map_err(|error| error.of(name))
    }

    /// Bytes of all tensors as stored.
    pub fn stored_bytes(&self) -> usize {
        self.tensors.values().map(TensorInfo::stored_bytes).sum()
    }
}

/// Makes one tensor of every quantised matrix and its scales. Whole numbers without scales are of no use.
fn join_scales(
    tensors: &mut BTreeMap<String, TensorInfo>,
    unreadable: &mut BTreeMap<String, Dtype>,
) {
    let whole: Vec<(String, Bits)> = tensors
        .iter()
        .filter_map(|(name, info)| match info.dtype {
            DType::I8 => Some((name.clone(), Bits::Eight)),
            DType::U8 => Some((name.clone(), Bits::Four)),
            _ => None,
        })
        .collect();
    for (name, bits) in whole {
        let scale_name = format!("{name}{SCALE}");
        let shape = tensors.get(&name).and_then(|info| match *info.shape {
            [d_out, d_stored] => Some([d_out, d_stored * 8 / bits.count()]),
            _ => None,
        });
        let fitting = shape.filter(|[d_out, d_in]| {
            tensors.get(&scale_name).is_some_and(|scales| {
                scales.dtype == DType::F16
                    && d_in.is_multiple_of(BLOCK)
                    && scales.shape == [*d_out, d_in / BLOCK]
            })
        });
        if let Some(shape) = fitting
            && let Some(scales) = tensors.remove(&scale_name)
            && let Some(info) = tensors.get_mut(&name)
        {
            info.shape = shape.to_vec();
            info.bits = Some(bits);
            info.scales = Some(scales.place);
        } else {
            tensors.remove(&name);
            unreadable.insert(
                name,
                match bits {
                    Bits::Four => Dtype::U8,
                    Bits::Eight => Dtype::I8,
                },
            );
        }
    }
}

/// How the linear layers of the decoder and the output head are quantised. What is planned for a model is counted by
/// one answer for all of them, so a mixture is refused.
///
/// # Errors
/// [`ModelError::MixedQuantization`] where no scheme has all of them as they are.
fn quantization_of(tensors: &BTreeMap<String, TensorInfo>) -> Result<Option<Quantization>> {
    // Those that every scheme has in fewer bits.
    let matrices: Vec<(&str, &TensorInfo)> = tensors
        .iter()
        .map(|(name, info)| (name.as_str(), info))
        .filter(|(name, info)| Quantization::Q8.bits_of(name, &info.shape).is_some())
        .collect();
    for scheme in [None, Some(Quantization::Q8), Some(Quantization::Q4)] {
        let has_all = matrices.iter().all(|(name, info)| {
            info.bits == scheme.and_then(|scheme| scheme.bits_of(name, &info.shape))
        });
        if has_all {
            return Ok(scheme);
        }
    }
    let mut kinds = BTreeMap::new();
    for (name, info) in matrices {
        kinds.entry((Role::of(name), info.bits)).or_insert(name);
    }
    let kept = |((_, bits), name): ((Option<Role>, Option<Bits>), &str)| match bits {
        Some(bits) => format!("{name} in {} bits", bits.count()),
        None => format!("{name} not quantised"),
    };
    Err(ModelError::MixedQuantization {
        kinds: kinds.into_iter().map(kept).collect(),
    })
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
