//! Files in a zip archive.

use std::io::{Cursor, Write};

use glyph_worker::{Reply, field, read_blob};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Packs `entries`, pairs of a name and a blob. They are stored as they are: pages are compressed.
pub async fn zip(message: &JsValue, reply: Reply) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("the archive cannot be made: {error}");
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for entry in Array::from(&field(message, "entries")).iter() {
        let entry = Array::from(&entry);
        let name = entry.get(0).as_string().unwrap_or_default();
        let bytes = read_blob(entry.get(1)).await;
        let bytes = bytes.map_err(|error| failed(&error))?;
        archive
            .start_file(name, options)
            .map_err(|error| failed(&error))?;
        archive.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    let archive = archive.finish().map_err(|error| failed(&error))?;
    let bytes = Uint8Array::from(archive.get_ref().as_slice());
    reply.send_value("done", &bytes, &Array::of1(&bytes.buffer()));
    Ok(())
}
