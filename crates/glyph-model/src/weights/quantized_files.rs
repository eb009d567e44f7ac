//! A checkpoint's weights, quantised and written tensor by tensor.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::DType;
use safetensors::{Dtype, View};
use serde_json::json;

use super::directory::{INDEX, SINGLE};
use super::load::LoadReport;
use super::source::{SCALE, TensorInfo, WeightFiles};
use crate::error::{ModelError, Result};
use crate::quantize::{BLOCK, Bits, PackedMatrix, Quantization, Role};

/// What was written.
#[derive(Debug, Clone)]
pub struct QuantizedFiles {
    /// Names of the files, the index among them.
    pub files: Vec<String>,
    /// Bytes of all tensors.
    pub n_bytes: usize,
    /// Matrices that were quantised.
    pub n_quantized: usize,
    /// Linear layers that stay as they are, since their rows are no whole number of blocks.
    pub left: Vec<String>,
    /// Tensors that the model has no use for, which are left out.
    pub report: LoadReport,
}

/// Writes the tensors of `specs` to `dir`, those that have a [`Role`] quantised, the others as
/// they are stored: one file, or several with an index, each of at most `most_file_bytes` unless one tensor is larger.
/// No more than one tensor is in memory at a time.
///
/// `on_bytes` is called with the bytes read so far, for progress.
///
/// # Errors
/// [`ModelError::Weights`] listing every tensor that is missing, has another shape or is quantised already;
/// [`ModelError::Pack`] for the first that holds what cannot be quantised: files before its own are there then;
/// [`ModelError::Write`].
pub fn write_quantized(
    files: &WeightFiles,
    specs: &[(String, Vec<usize>)],
    quantization: Quantization,
    (dir, most_file_bytes): (&Path, usize),
    on_bytes: impl Fn(usize),
) -> Result<QuantizedFiles> {
    check(files, specs)?;
    let mut tensors: Vec<(String, Written<'_>)> = Vec::new();
    let (mut n_quantized, mut left) = (0, Vec::new());
    let run = Run {
        n_read: Cell::new(0),
        on_bytes: &on_bytes,
        failure: RefCell::new(None),
    };
    for (name, shape) in specs {
        let Some(info) = files.info(name) else {
            continue;
        };
        let bits = quantization.bits_of(name, shape);
        if bits.is_none() && Role::of(name).is_some() {
            left.push(name.clone());
        }
        let written = |part, shape| Written {
            files,
            name,
            info,
            part,
            shape,
            run: &run,
        };
        match (bits, shape.as_slice()) {
            (Some(bits), [d_out, d_in]) => {
                n_quantized += 1;
                let matrix = [*d_out, *d_in];
                let stored = [*d_out, d_in * bits.count() / 8].to_vec();
                tensors.push((name.clone(), written(Part::Values(bits, matrix), stored)));
                let scales = [*d_out, d_in / BLOCK].to_vec();
                let scale_name = format!("{name}{SCALE}");
                tensors.push((scale_name, written(Part::Scales(bits, matrix), scales)));
            }
            _ => tensors.push((name.clone(), written(Part::Whole, shape.clone()))),
        }
    }
    let n_bytes = tensors.iter().map(|(_, tensor)| tensor.data_len()).sum();
    let names = write(
        in_shards(tensors, most_file_bytes),
        quantization,
        (dir, n_bytes),
        &run.failure,
    )?;
    let expected = specs.iter().map(|(name, _)| name.clone()).collect();
    Ok(QuantizedFiles {
        files: names,
        n_bytes,
        n_quantized,
        left,
        report: LoadReport {
            unexpected: files.others(&expected),
        },
    })
}

fn check(files: &WeightFiles, specs: &[(String, Vec<usize>)]) -> Result<()> {
    let mut problems = super::load::problems(files, specs);
    let quantized = specs.iter().filter(|(name, _)| {
        let info = files.info(name);
        info.is_some_and(|info| info.bits.is_some())
    });
    problems.extend(quantized.map(|(name, _)| format!("{name} is quantised already")));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ModelError::Weights { problems }),
    }
}

/// The tensors of one file.
type Shard<'a> = Vec<(String, Written<'a>)>;

fn in_shards(tensors: Shard<'_>, most_bytes: usize) -> Vec<Shard<'_>> {
    let mut shards = vec![Vec::new()];
    let mut shard_bytes = 0;
    for (name, tensor) in tensors {
        let len = tensor.data_len();
        if shard_bytes > 0 && shard_bytes + len > most_bytes {
            shards.push(Vec::new());
            shard_bytes = 0;
        }
        shard_bytes += len;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, tensor));
        }
    }
    shards
}

fn write(
    shards: Vec<Shard<'_>>,
    quantization: Quantization,
    (dir, n_bytes): (&Path, usize),
    failure: &RefCell<Option<ModelError>>,
) -> Result<Vec<String>> {
    let metadata = HashMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("quantization".to_owned(), quantization.to_string()),
    ]);
    let n_shards = shards.len();
    let mut weight_map = BTreeMap::new();
    let mut names = Vec::with_capacity(n_shards + 1);
    for (n, shard) in shards.into_iter().enumerate() {
        let file = match n_shards {
            1 => SINGLE.to_owned(),
            _ => format!("model-{:05}-of-{n_shards:05}.safetensors", n + 1),
        };
        for (name, _) in &shard {
            weight_map.insert(name.clone(), file.clone());
        }
        let path = dir.join(&file);
        safetensors::serialize_to_file(shard, Some(metadata.clone()), &path)
            .map_err(|error| write_error(&path, error))?;
        if let Some(error) = failure.take() {
            // It has the right length, and not the right content.
            std::fs::remove_file(&path).map_err(|error| write_error(&path, error))?;
            return Err(error);
        }
        make_readable(&path).map_err(|error| write_error(&path, error))?;
        names.push(file);
    }
    if n_shards > 1 {
        let index = json!({ "metadata": { "total_size": n_bytes }, "weight_map": weight_map });
        let path = dir.join(INDEX);
        std::fs::write(&path, format!("{index:#}\n")).map_err(|e| write_error(&path, e))?;
        names.push(INDEX.to_owned());
    }
    Ok(names)
}

fn write_error(path: &Path, reason: impl ToString) -> ModelError {
    ModelError::Write {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Gives a file the permissions of others: the library makes it for its owner alone.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What goes on while tensors are written.
struct Run<'a> {
    n_read: Cell<usize>,
    on_bytes: &'a dyn Fn(usize),
    /// Why a tensor could not be made. Whoever writes it cannot be told, and writes the file to its end.
    failure: RefCell<Option<ModelError>>,
}

/// What of a stored tensor is written.
#[derive(Debug, Clone, Copy)]
enum Part {
    Whole,
    Values(Bits, [usize; 2]),
    Scales(Bits, [usize; 2]),
}

/// A tensor that is made when it is written.
struct Written<'a> {
    files: &'a WeightFiles,
    /// Of the tensor that it is made of.
    name: &'a str,
    info: &'a TensorInfo,
    part: Part,
    shape: Vec<usize>,
    run: &'a Run<'a>,
}

impl Written<'_> {
    fn bytes(&self) -> Result<Vec<u8>> {
        let stored = self.files.stored(self.name, self.info)?;
        // Quantising is deterministic, so values and scales that are written apart belong together.
        let quantized = |bits, shape| {
            PackedMatrix::quantize(&stored, self.info.dtype, shape, bits)
                .map_err(|error| error.of(self.name))
        };
        Ok(match self.part {
            Part::Whole => stored.into_owned(),
            Part::Values(bits, shape) => quantized(bits, shape)?.value_bytes().to_vec(),
            Part::Scales(bits, shape) => quantized(bits, shape)?.scale_bytes(),
        })
    }
}

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        match (self.part, self.info.dtype) {
            (Part::Values(Bits::Eight, _), _) => Dtype::I8,
            (Part::Values(Bits::Four, _), _) => Dtype::U8,
            (Part::Scales(..), _) | (Part::Whole, DType::F16) => Dtype::F16,
            (Part::Whole, DType::BF16) => Dtype::BF16,
            (Part::Whole, _) => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // Then the file is given up, whatever else is in it.
        if self.run.failure.borrow().is_some() {
            return Cow::Borrowed(&[]);
        }
        let bytes = self.bytes();
        self.files.release(self.info);
        // A quantised matrix is read twice, for its values and for its scales.
        let n_bytes = self.info.stored_bytes();
        let n_bytes = match self.part {
            Part::Whole => n_bytes,
            Part::Values(..) => n_bytes - n_bytes / 2,
            Part::Scales(..) => n_bytes / 2,
        };
        let n_read = self.run.n_read.get() + n_bytes;
        self.run.n_read.set(n_read);
        (self.run.on_bytes)(n_read);
        Cow::Owned(bytes.unwrap_or_else(|error| {
            *self.run.failure.borrow_mut() = Some(error);
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        let values: usize = self.shape.iter().product();
        values
            * match self.dtype() {
                Dtype::I8 | Dtype::U8 => 1,
                Dtype::F16 | Dtype::BF16 => 2,
                _ => 4,
            }
    }
}
