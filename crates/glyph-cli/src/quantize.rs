//! `glyph quantize`: a model with smaller weights, saved.

use std::fs;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use glyph_model::ModelError;
use glyph_model::checkpoint::config_json;
use glyph_model::config::{ModelConfig, parse_json};
use glyph_model::quantize::{BLOCK, Quantization};
use glyph_model::weights::{QuantizedFiles, write_quantized};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::args::QuantizeArgs;
use crate::error::CliError;
use crate::model::{self, ModelFiles};
use crate::{output, progress};

/// The file that says how the weights are quantised.
const CONFIG: &str = "config.json";

/// Weights that are larger are written as several files.
const MOST_FILE_BYTES: usize = 4 << 30;

/// The object that `glyph quantize --json` prints.
#[derive(Debug, Serialize)]
struct QuantizeReport {
    model: String,
    out: PathBuf,
    quantization: Quantization,
    /// Matrices that were quantised.
    quantized_tensors: usize,
    /// Linear layers that stay as they are.
    left_tensors: Vec<String>,
    /// Tensors that the model has no use for.
    unused_tensors: Vec<String>,
    bytes_before: usize,
    bytes_after: usize,
    files: Vec<String>,
}

/// Runs the command.
pub fn run(args: &QuantizeArgs) -> Result<(), CliError> {
    let files = ModelFiles::find(Some(&args.model))?;
    let is_there = args.out.exists();
    if is_there
        && args
            .out
            .read_dir()
            .is_ok_and(|mut dir| dir.next().is_some())
        || args.out.is_file()
    {
        return Err(CliError::Usage(format!(
            "{} is there already. Name a directory that is not, or an empty one",
            args.out.display()
        )));
    }
    // What is half written when it is broken off is not taken for a model. The directory is new, and goes where this
    // ends early.
    let partial = partial_directory(&args.out, is_there)?;
    let written = write(args, &files, partial.path());
    progress::clear();
    let report = written?;
    if is_there {
        move_files(partial.path(), &args.out, &report.files)?;
    } else {
        fs::rename(partial.path(), &args.out).map_err(|source| write_error(&args.out, source))?;
        // It has another name now.
        let _ = partial.keep();
    }
    if args.json {
        return output::json(&report);
    }
    for (tensors, why) in [
        (
            &report.left_tensors,
            "rows are no whole blocks of 32 values; left as they were",
        ),
        (
            &report.unused_tensors,
            "the model has no use for them; left out",
        ),
    ] {
        if !tensors.is_empty() {
            output::note(&format!("{}: {why}", model::some_names(tensors)));
        }
    }
    output::line(&format!(
        "{}: {} tensors as {}, {} of weights where there were {}",
        report.out.display(),
        report.quantized_tensors,
        report.quantization,
        ByteSize(report.bytes_after as u64),
        ByteSize(report.bytes_before as u64),
    ))
}

/// A new directory on the disk of `out`: in it, where it is there, else beside it.
fn partial_directory(out: &Path, is_there: bool) -> Result<TempDir, CliError> {
    let place = match out.parent() {
        _ if is_there => out,
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(place).map_err(|source| write_error(place, source))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix("quantising-").suffix(".partial");
    // As any directory; a temporary one would be closed to all others.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let made = builder.tempdir_in(place);
    made.map_err(|source| write_error(place, source))
}

/// Moves files from one directory to another of the same disk; the one without which there is no model comes last.
fn move_files(from: &Path, to: &Path, names: &[String]) -> Result<(), CliError> {
    let (last, first): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| *name == CONFIG);
    for name in first.into_iter().chain(last) {
        let path = to.join(name);
        fs::rename(from.join(name), &path).map_err(|source| write_error(&path, source))?;
    }
    Ok(())
}

fn write_error(path: &Path, source: std::io::Error) -> CliError {
    CliError::Write {
        path: path.to_owned(),
        source,
    }
}

fn write(args: &QuantizeArgs, files: &ModelFiles, dir: &Path) -> Result<QuantizeReport, CliError> {
    let model_error = |error| files.error(error);
    let json = config_json(files).map_err(model_error)?;
    let config = ModelConfig::from_json(&json).map_err(model_error)?;
    let weights = files.weights().map_err(model_error)?;
    let specs = model::specs(&model::config_for(config, &weights));

    let mut copied = copy_small_files(&args.model, dir)?;
    let path = dir.join(CONFIG);
    fs::write(&path, with_quantization(&json, args.quantize, files)?)
        .map_err(|source| write_error(&path, source))?;

    let n_bytes = weights.stored_bytes();
    let bar = progress::bytes_bar(n_bytes, format!("quantising {}", files.name()));
    let on_bytes = |n_bytes: usize| bar.set_position(n_bytes as u64);
    let place = (dir, MOST_FILE_BYTES);
    let written = write_quantized(&weights, &specs, args.quantize, place, on_bytes);
    let written = written.map_err(|error| match error {
        ModelError::Write { path, reason } => write_error(&path, std::io::Error::other(reason)),
        other => model_error(other),
    });
    let QuantizedFiles {
        files: written,
        n_bytes: bytes_after,
        n_quantized,
        left,
        report,
    } = written?;
    copied.extend(written);
    copied.push(CONFIG.to_owned());
    copied.sort();
    Ok(QuantizeReport {
        model: files.name(),
        out: args.out.clone(),
        quantization: args.quantize,
        quantized_tensors: n_quantized,
        left_tensors: left,
        unused_tensors: report.unexpected,
        bytes_before: n_bytes,
        bytes_after,
        files: copied,
    })
}

/// Copies all regular files but the weights and the configuration.
fn copy_small_files(from: &Path, to: &Path) -> Result<Vec<String>, CliError> {
    let read_error = |source| CliError::InputFile {
        what: "model directory",
        name: from.display().to_string(),
        source,
    };
    let mut copied = Vec::new();
    for entry in from.read_dir().map_err(read_error)? {
        let entry = entry.map_err(read_error)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_weights = model::is_weight_file(&name) || name.ends_with(".bin");
        if is_weights || name == CONFIG || !entry.path().is_file() {
            continue;
        }
        let path = to.join(&name);
        fs::copy(entry.path(), &path).map_err(|source| write_error(&path, source))?;
        copied.push(name);
    }
    Ok(copied)
}

/// The configuration with the key that says how the weights are quantised.
fn with_quantization(
    json: &str,
    quantization: Quantization,
    files: &ModelFiles,
) -> Result<String, CliError> {
    let parsed = parse_json(CONFIG, json).map_err(|error| files.error(error));
    let mut config: Map<String, Value> = parsed?;
    config.insert(
        "quantization_config".to_owned(),
        json!({ "quant_method": "glyph", "scheme": quantization, "block_size": BLOCK }),
    );
    Ok(format!("{:#}\n", Value::Object(config)))
}
