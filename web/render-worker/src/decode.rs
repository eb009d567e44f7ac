//! Text of a file, whatever its encoding: named by the request, told by its mark, or tried from the
//! strictest on.

use glyph_web_core::encoding::{
    before_cut_character, beyond_ascii, blocks_of_text, has_control_bytes, is_western,
    utf16_by_zeros,
};
use glyph_worker::{MessageError, Reply, as_js, field, js_message, name_of, read_blob};
use js_sys::{Array, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::{Blob, TextDecoder, TextDecoderOptions};

use crate::error::RenderFailure;

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

const UTF16: [&str; 2] = ["UTF-16LE", "UTF-16BE"];
const WESTERN: &str = "windows-1252";

/// What a request may name.
const ENCODINGS: [&str; 5] = ["UTF-8", UTF16[0], UTF16[1], "GB18030", WESTERN];

/// Reads `file` of a message. Of a text with more than `most` characters the page gets the beginning
/// alone, and all of it as a blob, which does not pass through the page's thread.
pub async fn decode(
    message: &JsValue,
    most: Option<usize>,
    encoding: Option<&str>,
    reply: Reply,
) -> Result<(), RenderFailure> {
    const OPTION: &str = "file";
    let known = encoding.map(named).transpose()?;
    let file = field(message, OPTION);
    let name = name_of(&file, OPTION);
    let bytes = read_blob(file, OPTION).await?;
    reply.still_wanted()?;
    if bytes.is_empty() {
        return Err(RenderFailure::Empty { name });
    }
    let (text, encoding) = decoded(&bytes, known).ok_or(RenderFailure::Binary { name })?;
    let end = most.and_then(|most| text.char_indices().nth(most));
    let body = as_js(&Decoded {
        text: end.map_or(text.as_str(), |(end, _)| &text[..end]),
        encoding,
        characters: text.chars().count(),
        bytes: text.len(),
    });
    let whole = match end {
        Some(_) => {
            let parts = Array::of1(&Uint8Array::from(text.as_bytes()));
            let whole = Blob::new_with_u8_array_sequence(&parts);
            let whole = whole.map_err(|error| RenderFailure::Handover {
                reason: js_message(&error),
            })?;
            whole.into()
        }
        None => JsValue::NULL,
    };
    // Setting a property of a plain object cannot fail.
    let _ = Reflect::set(&body, &"whole".into(), &whole);
    reply.send_value("done", &body, &Array::new());
    Ok(())
}

/// The encoding that a request names.
fn named(name: &str) -> Result<&'static str, MessageError> {
    let encoding = ENCODINGS.into_iter().find(|encoding| *encoding == name);
    encoding.ok_or_else(|| MessageError::Argument {
        option: "encoding".to_owned(),
        found: format!("{name:?}"),
        expected: "UTF-8, UTF-16LE, UTF-16BE, GB18030 or windows-1252",
    })
}

/// The text of bytes, and how they are written, which the request may know.
fn decoded(bytes: &[u8], known: Option<&'static str>) -> Option<(String, &'static str)> {
    let mark = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    let told = known.or(mark.map(|(_, encoding)| *encoding));
    if let Some(encoding) = told.or_else(|| utf16_by_zeros(bytes)) {
        return read(bytes, encoding);
    }
    // A zero byte is in no text of the other encodings.
    let has_zero = bytes.contains(&0);
    if !has_zero && let Some(text) = read(bytes, "UTF-8") {
        return Some(text);
    }
    if has_control_bytes(bytes)
        && let Some(text) = utf16(bytes)
    {
        return Some(text);
    }
    if has_zero {
        return None;
    }
    let western = beyond_ascii(bytes).and_then(|sample| read(sample, WESTERN));
    let encoding = match western {
        Some((sample, encoding)) if is_western(&sample) => encoding,
        _ => "GB18030",
    };
    read(bytes, encoding)
}

/// UTF-16 without a mark, and without the zeros of Latin letters.
fn utf16(bytes: &[u8]) -> Option<(String, &'static str)> {
    let texts = UTF16.into_iter().filter_map(|encoding| {
        let text = read(bytes, encoding)?;
        Some((blocks_of_text(&text.0)?, text))
    });
    let likeliest = texts.min_by_key(|(blocks, _)| *blocks);
    likeliest.map(|(_, text)| text)
}

/// The text, where all bytes are of that encoding; a file of UTF-8 may have been cut within a character.
fn read(bytes: &[u8], encoding: &'static str) -> Option<(String, &'static str)> {
    let bytes = match encoding {
        "UTF-8" => before_cut_character(bytes),
        _ => bytes,
    };
    let options = TextDecoderOptions::new();
    options.set_fatal(true);
    let decoder = TextDecoder::new_with_label_and_options(encoding, &options).ok()?;
    let text = decoder.decode_with_u8_array(bytes).ok()?;
    Some((text, encoding))
}
