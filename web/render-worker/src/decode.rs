//! Text of a file, whatever its encoding: told by its mark, else tried from the strictest on.

use js_sys::{Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::{TextDecoder, TextDecoderOptions};

/// A file's text.
#[derive(Debug, Serialize)]
pub struct Decoded {
    text: String,
    encoding: &'static str,
}

/// Marks at the start of a file, and what they say.
const MARKS: [(&[u8], &str); 3] = [
    (b"\xEF\xBB\xBF", "UTF-8"),
    (b"\xFF\xFE", "UTF-16LE"),
    (b"\xFE\xFF", "UTF-16BE"),
];

/// Bytes that are looked at for zeros.
const SAMPLE_BYTES: usize = 1 << 16;

/// Reads `data` of a message.
pub fn decode(message: &JsValue) -> Result<Decoded, String> {
    let data = Reflect::get(message, &"data".into()).unwrap_or(JsValue::NULL);
    let bytes = Uint8Array::new(&data).to_vec();
    if bytes.is_empty() {
        return Err("empty".to_owned());
    }
    for (mark, encoding) in MARKS {
        if bytes.starts_with(mark) {
            return read(&bytes, encoding).ok_or_else(|| "binary".to_owned());
        }
    }
    if let Some(encoding) = utf16_by_zeros(&bytes) {
        return read(&bytes, encoding).ok_or_else(|| "binary".to_owned());
    }
    // A zero byte is in no text of the other encodings.
    if bytes.contains(&0) {
        return Err("binary".to_owned());
    }
    let read = ["UTF-8", "GB18030"]
        .iter()
        .find_map(|encoding| read(&bytes, encoding));
    read.ok_or_else(|| "binary".to_owned())
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
fn read(bytes: &[u8], encoding: &'static str) -> Option<Decoded> {
    let options = TextDecoderOptions::new();
    options.set_fatal(true);
    let decoder = TextDecoder::new_with_label_and_options(encoding, &options).ok()?;
    let text = decoder.decode_with_u8_array(bytes).ok()?;
    Some(Decoded { text, encoding })
}
