//! Input that cannot work: every case a typed error that names what is wrong.

mod checkpoint;
mod config;
mod images;
mod quantized;
mod requests;
mod weights;

use std::path::Path;

use burn::tensor::DType;
use glyph_model::ModelError;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{copy_of, json, open_dir};

/// Asserts the variant and that the message names the things.
macro_rules! assert_refused {
    ($error:expr, $variant:pat, $($named:expr),+) => {{
        let error: ModelError = $error;
        let message = error.to_string();
        assert!(matches!(error, $variant), "{message}: not {}", stringify!($variant));
        $(assert!(message.contains($named), "{message}: does not name {}", $named);)+
    }};
}

use assert_refused;

fn refused(dir: &Path) -> ModelError {
    match open_dir(dir, DType::F32) {
        Err(error) => error,
        Ok(_) => panic!("the checkpoint opened"),
    }
}

/// A JSON file of `base` with another value of one key.
fn changed(name: &str, key: &str, value: Value) -> String {
    let mut changed = json(&format!("base/{name}"));
    changed[key] = value;
    changed.to_string()
}

/// A copy of `base` in which one file holds something else.
fn with_file(name: &str, content: impl AsRef<[u8]>) -> TempDir {
    let copy = copy_of("base");
    std::fs::write(copy.path().join(name), content).unwrap();
    copy
}
