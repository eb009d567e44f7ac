//! Files in a zip archive.

use std::io::{Cursor, Write};

use glyph_worker::{Reply, js_message};
use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Packs `entries`, pairs of a name and a blob. They are stored as they are: pages are compressed.
pub async fn zip(message: &JsValue, reply: Reply) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("the archive cannot be made: {error}");
    let entries = Reflect::get(message, &"entries".into()).unwrap_or(JsValue::NULL);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for entry in Array::from(&entries).iter() {
        let entry = Array::from(&entry);
        let name = entry.get(0).as_string().unwrap_or_default();
        let blob: Blob = entry.get(1).unchecked_into();
        let buffer = JsFuture::from(blob.array_buffer()).await;
        let buffer = buffer.map_err(|error| failed(&js_message(&error)))?;
        archive
            .start_file(name, options)
            .map_err(|error| failed(&error))?;
        archive
            .write_all(&Uint8Array::new(&buffer).to_vec())
            .map_err(|error| failed(&error))?;
    }
    let archive = archive.finish().map_err(|error| failed(&error))?;
    let bytes = Uint8Array::from(archive.get_ref().as_slice());
    reply.send_value("done", &bytes, &Array::of1(&bytes.buffer()));
    Ok(())
}
