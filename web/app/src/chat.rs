//! A question to a server, and its answer piece by piece.

use glyph_web_core::sse::{ChatEvent, EventStream, Piece, StreamError};
use js_sys::{Reflect, Uint8Array};
use leptos::task::spawn_local;
use serde_json::json;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob, FileReader, ReadableStreamDefaultReader, RequestInit};

use crate::browser::JsError;
use crate::i18n::Strings;
use crate::server::{refusal, send, shown};
use crate::state::State;

/// A question to the server.
pub struct ChatRequest<'a> {
    /// The server's address.
    pub server: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The pages.
    pub pages: &'a [Blob],
    /// The question.
    pub question: &'a str,
    /// Longest answer.
    pub max_tokens: usize,
    /// Ends it.
    pub signal: Option<AbortSignal>,
}

/// Asks, and hands out the answer piece by piece.
pub async fn chat(
    state: State,
    request: ChatRequest<'_>,
    on_piece: impl FnMut(Piece),
) -> Result<(), JsError> {
    let words = state.words();
    let mut content = Vec::with_capacity(request.pages.len() + 1);
    for page in request.pages {
        let url = data_url(page).await?;
        content.push(json!({"type": "image_url", "image_url": {"url": url}}));
    }
    content.push(json!({"type": "text", "text": request.question}));
    let body = json!({
        "model": request.model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": request.max_tokens,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body.to_string().into());
    init.set_signal(request.signal.as_ref());
    let server = request.server;
    let response = send(state, server, "v1/chat/completions", &init).await?;
    if !response.ok() {
        return Err(JsError::Failed(refusal(state, server, &response).await));
    }
    let content_type = response.headers().get("content-type").ok().flatten();
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let is_stream = content_type.starts_with("text/event-stream");
    let broke_off = || JsError::Failed(words.server_broke_off.to_owned());
    let reader = response.body().map(|body| body.get_reader());
    let reader: ReadableStreamDefaultReader = reader.ok_or_else(broke_off)?.unchecked_into();
    let end = read_events(&reader, is_stream, words, on_piece).await;
    // A server goes on for whoever does not hang up.
    spawn_local(async move {
        // Of a stream that has ended or failed there is nothing to be cancelled.
        let _ = JsFuture::from(reader.cancel()).await;
    });
    match end? {
        StreamEnd::Finished => Ok(()),
        // Some servers stream under another type, so only where nothing came does the type count.
        StreamEnd::Nothing if !is_stream => Err(JsError::Failed(
            words.server_no_stream(&shown(server), &content_type),
        )),
        StreamEnd::Nothing | StreamEnd::BrokenOff => Err(broke_off()),
    }
}

/// How a stream of events ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    /// With the end of the answer.
    Finished,
    /// In the middle of the answer.
    BrokenOff,
    /// Before the first event.
    Nothing,
}

/// Hands out the pieces of a stream until the server says that nothing follows, or nothing comes. What is by its
/// type no stream may still be one.
async fn read_events(
    reader: &ReadableStreamDefaultReader,
    is_stream: bool,
    words: &Strings,
    mut on_piece: impl FnMut(Piece),
) -> Result<StreamEnd, JsError> {
    let mut events = EventStream::default();
    let mut end = StreamEnd::Nothing;
    loop {
        let bytes = next_bytes(reader).await;
        let bytes = bytes.map_err(|error| error.or(words.server_broke_off.to_owned()))?;
        let Some(bytes) = bytes else {
            return Ok(end);
        };
        // One update for all that came together.
        let mut whole: Option<Piece> = None;
        let mut last = None;
        events.push(&bytes);
        while last.is_none()
            && let Some(data) = events.next_data()
        {
            match data.and_then(|data| ChatEvent::from_data(&data)) {
                Ok(ChatEvent::Piece(piece)) => {
                    if piece.finish_reason.is_some() {
                        end = StreamEnd::Finished;
                    } else if end == StreamEnd::Nothing {
                        end = StreamEnd::BrokenOff;
                    }
                    let whole = whole.get_or_insert_default();
                    whole.n_pieces += piece.n_pieces;
                    whole.content.push_str(&piece.content);
                    whole.reasoning.push_str(&piece.reasoning);
                    whole.finish_reason = piece.finish_reason.or(whole.finish_reason.take());
                    whole.usage = piece.usage.or(whole.usage);
                }
                Ok(ChatEvent::End) => last = Some(Ok(StreamEnd::Finished)),
                Ok(ChatEvent::Error(reason)) => {
                    let reason = words.server_gave_up(reason.as_deref());
                    last = Some(Err(JsError::Failed(reason)));
                }
                // A large file rather than a large event.
                Err(StreamError::LargeEvent) if end == StreamEnd::Nothing && !is_stream => {
                    last = Some(Ok(StreamEnd::Nothing));
                }
                Err(error) => {
                    let reason = words.stream_unreadable(&error);
                    last = Some(Err(JsError::Failed(reason)));
                }
            }
        }
        whole.into_iter().for_each(&mut on_piece);
        if let Some(last) = last {
            return last;
        }
    }
}

async fn next_bytes(reader: &ReadableStreamDefaultReader) -> Result<Option<Vec<u8>>, JsError> {
    let chunk = JsFuture::from(reader.read()).await.map_err(JsError::new)?;
    let get = |key: &str| Reflect::get(&chunk, &key.into()).unwrap_or(JsValue::UNDEFINED);
    if get("done").is_truthy() {
        return Ok(None);
    }
    Ok(Some(Uint8Array::new(&get("value")).to_vec()))
}

/// A page as a `data:` address.
async fn data_url(blob: &Blob) -> Result<String, JsError> {
    let reader = FileReader::new().map_err(JsError::new)?;
    let read = js_sys::Promise::new(&mut |resolve, reject| {
        reader.set_onload(Some(&resolve));
        reader.set_onerror(Some(&reject));
        if let Err(error) = reader.read_as_data_url(blob) {
            // The promise is settled once; what a rejection returns does not matter.
            let _ = reject.call1(&JsValue::NULL, &error);
        }
    });
    JsFuture::from(read).await.map_err(JsError::new)?;
    let url = reader.result().map_err(JsError::new)?;
    Ok(url.as_string().unwrap_or_default())
}
