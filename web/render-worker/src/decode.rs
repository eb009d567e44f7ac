//! Text of a file, whatever its encoding: named by the request, told by its mark, or tried from the
//! strictest on.

use glyph_worker::{Reply, described, field, js_message, read_blob};
use js_sys::{Array, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::{Blob, TextDecoder, TextDecoderOptions};

/// A file's text for the page; `whole` goes beside it.
#[derive(Debug, Serialize)]
struct Decoded<'a> {
    /// The text or its beginning.
    text: &'a str,
    encoding: &'static str,
    /// Characters of the whole text.
    characters: usize,
    /// Bytes of the whole text in UTF-8.
    bytes: usize,
}

/// Marks at the start of a file, and what they say.
const MARKS: [(&[u8], &str); 3] = [
    (b"\xEF\xBB\xBF", "UTF-8"),
    (b"\xFF\xFE", "UTF-16LE"),
    (b"\xFE\xFF", "UTF-16BE"),
];

/// What a request may name.
const ENCODINGS: [&str; 4] = ["UTF-8", "UTF-16LE", "UTF-16BE", "GB18030"];

/// Bytes that are looked at for zeros.
const SAMPLE_BYTES: usize = 1 << 16;

/// Reads `file` of a message. Of a text with more than `most` characters the page gets the beginning
/// alone, and all of it as a blob, which does not pass through the page's thread.
pub async fn decode(
    message: &JsValue,
    most: Option<usize>,
    encoding: Option<&str>,
    reply: Reply,
) -> Result<(), String> {
    let bytes = read_blob(field(message, "file")).await?;
    let (text, encoding) = decoded(&bytes, encoding)?;
    let end = most.and_then(|most| text.char_indices().nth(most));
    let body = described(&Decoded {
        text: end.map_or(text.as_str(), |(end, _)| &text[..end]),
        encoding,
        characters: text.chars().count(),
        bytes: text.len(),
    });
    let whole = match end {
        Some(_) => {
            let parts = Array::of1(&Uint8Array::from(text.as_bytes()));
            let whole = Blob::new_with_u8_array_sequence(&parts);
            whole.map_err(|error| js_message(&error))?.into()
        }
        None => JsValue::NULL,
    };
    // Setting a property of a plain object cannot fail.
    let _ = Reflect::set(&body, &"whole".into(), &whole);
    reply.send_value("done", &body, &Array::new());
    Ok(())
}

/// The text of bytes, and how they are written, which the request may know.
fn decoded(bytes: &[u8], known: Option<&str>) -> Result<(String, &'static str), String> {
    if bytes.is_empty() {
        return Err("empty".to_owned());
    }
    if let Some(known) = known {
        let encoding = ENCODINGS.into_iter().find(|encoding| *encoding == known);
        let encoding = encoding.ok_or_else(|| format!("there is no encoding named {known:?}"))?;
        return read(bytes, encoding).ok_or_else(|| "binary".to_owned());
    }
    let mark = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    let told = mark.map(|(_, encoding)| *encoding);
    let encodings: &[&'static str] = match told.or_else(|| utf16_by_zeros(bytes)) {
        Some(encoding) => &[encoding],
        // A zero byte is in no text of the other encodings.
        None if bytes.contains(&0) => &[],
        None => &["UTF-8", "GB18030"],
    };
    let mut texts = encodings
        .iter()
        .filter_map(|encoding| read(bytes, encoding));
    texts.next().ok_or_else(|| "binary".to_owned())
}

/// UTF-16 without a mark: Latin text has a zero in every other byte.
fn utf16_by_zeros(bytes: &[u8]) -> Option<&'static str> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let zeros = |start: usize| {
        let places = sample.iter().skip(start).step_by(2);
        places.filter(|byte| **byte == 0).count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let few = sample.len() / 20;
    let many = sample.len() / 5;
    match (even, odd) {
        _ if bytes.len() % 2 == 1 => None,
        (even, odd) if odd > many && even <= few => Some("UTF-16LE"),
        (even, odd) if even > many && odd <= few => Some("UTF-16BE"),
        _ => None,
    }
}

/// The text, where all bytes are of that encoding.
fn read(bytes: &[u8], encoding: &'static str) -> Option<(String, &'static str)> {
    let options = TextDecoderOptions::new();
    options.set_fatal(true);
    let decoder = TextDecoder::new_with_label_and_options(encoding, &options).ok()?;
    let text = decoder.decode_with_u8_array(bytes).ok()?;
    Some((text, encoding))
}
