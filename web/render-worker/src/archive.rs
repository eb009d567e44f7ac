//! Files in a zip archive.

use std::fmt::Display;
use std::io::{Cursor, Write};

use glyph_worker::{MessageError, Reply, array, now_ms, pause, read_blob};
use js_sys::{Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::RenderFailure;

/// Name of the option.
const ENTRIES: &str = "entries";

/// How often progress is told and messages are looked at.
const PROGRESS_MS: f64 = 40.0;

/// How far an archive is.
#[derive(Debug, Serialize)]
struct Progress {
    /// Files that are packed.
    done: u32,
    /// All files.
    of: u32,
}

/// Packs `entries`, pairs of a name and a blob. They are stored as they are: pages are compressed.
pub async fn zip(message: &JsValue, reply: Reply) -> Result<(), RenderFailure> {
    let entries = array(message, ENTRIES)?;
    let of = entries.length();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut told_ms = now_ms();
    for (entry, done) in entries.iter().zip(1..) {
        let (name, blob) = pair(&entry)?;
        let bytes = read_blob(blob, ENTRIES).await?;
        archive.start_file(name, options).map_err(failed)?;
        archive.write_all(&bytes).map_err(failed)?;
        if now_ms() - told_ms > PROGRESS_MS {
            reply.send("progress", &Progress { done, of });
            pause().await;
            told_ms = now_ms();
        }
        reply.still_wanted()?;
    }
    let archive = archive.finish().map_err(failed)?;
    let bytes = Uint8Array::from(archive.get_ref().as_slice());
    reply.send_value("done", &bytes, &Array::of1(&bytes.buffer()));
    Ok(())
}

fn pair(entry: &JsValue) -> Result<(String, JsValue), MessageError> {
    let pair = entry.dyn_ref::<Array>();
    let named = pair.and_then(|pair| Some((pair.get(0).as_string()?, pair.get(1))));
    named.ok_or_else(|| MessageError::argument(ENTRIES, entry, "an array of [name, Blob]"))
}

fn failed(error: impl Display) -> RenderFailure {
    RenderFailure::Archive {
        reason: error.to_string(),
    }
}
