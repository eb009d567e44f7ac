//! A server with the API of OpenAI.

use std::cell::Cell;

use glyph_web_core::address::Address;
use glyph_web_core::keys::unsendable;
use glyph_web_core::settings::Runner;
use glyph_web_core::sse::{ChatEvent, EventStream, Piece, error_message};
use js_sys::{JSON, JsString, Reflect, Uint8Array};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, Blob, FileReader, ReadableStreamDefaultReader, RequestCache, RequestInit, Response,
};

use crate::browser::JsError;
use crate::state::State;
use crate::text::Text;

/// Header that the server of this project sends with the page; proxies have none of that name.
const RUNTIME: &str = "x-glyph-runtime";

/// A model of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedModel {
    /// Its name.
    pub id: String,
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<usize>,
    /// Pages of one question.
    pub max_pages: Option<usize>,
}

/// What is known of the server.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ServerState {
    /// Not asked yet.
    #[default]
    Unknown,
    /// The page comes from a host without the API.
    NoServer,
    /// Being asked.
    Asking,
    /// It answers.
    Ready(Vec<ServedModel>),
    /// It does not; why, and what to do.
    Failed(String),
}

impl ServerState {
    /// Where answers come from until the person chooses.
    pub fn default_runner(&self) -> Runner {
        match self {
            Self::NoServer => Runner::Tab,
            _ => Runner::Server,
        }
    }

    /// The models.
    pub fn models(&self) -> &[ServedModel] {
        match self {
            Self::Ready(models) => models,
            _ => &[],
        }
    }

    /// The chosen model if the server has it, else its first.
    pub fn find(&self, chosen: Option<&str>) -> Option<&ServedModel> {
        let models = self.models();
        let chosen = models
            .iter()
            .find(|model| Some(model.id.as_str()) == chosen);
        chosen.or(models.first())
    }

    /// The name of [`find`](Self::find).
    pub fn model(&self, chosen: Option<&str>) -> Option<String> {
        self.find(chosen).map(|model| model.id.clone())
    }
}

thread_local! {
    /// Counts how often a server was asked for its models, so that a late reply does not replace a newer one.
    static INQUIRIES: Cell<u32> = const { Cell::new(0) };
}

/// Whom an address belongs to, for whom alone a key is meant; `None` where it is no address.
fn origin(server: &str) -> Option<String> {
    if server.is_empty() {
        return window().location().origin().ok();
    }
    Address::parse(server).map(|address| address.origin().to_owned())
}

/// The origin of the server in the settings; `None` where they have no address.
pub fn chosen_origin(state: State) -> Option<String> {
    origin(&state.settings.with(|settings| settings.server_route("")))
}

/// The key that was entered for the server in the settings; empty where there is none.
pub fn chosen_key(state: State) -> String {
    let origin = chosen_origin(state).unwrap_or_default();
    state.api_keys.with(|keys| keys.of(&origin).to_owned())
}

/// Keeps a key for the server in the settings, and for no other.
pub fn put_key(state: State, key: &str) {
    if let Some(origin) = untrack(|| chosen_origin(state)) {
        state.api_keys.update(|keys| keys.set(&origin, key));
    }
}

/// Looks who serves this page, then asks the server for its models whenever it is the one to answer
/// and its address or key change.
pub fn follow(state: State) {
    let route = Memo::new(move |_| state.settings.with(|settings| settings.server_route("")));
    let key = Memo::new(move |_| chosen_key(state));
    let chosen = Memo::new(move |_| state.settings.with(|settings| settings.runner));
    Effect::new(move || {
        // Read, not only tracked: a memo that nobody has read follows nothing yet.
        let _ = (route.get(), key.get());
        // Also when the person chooses what was the default: then it must say why it does not answer.
        if chosen.get() != Some(Runner::Tab) {
            connect(state);
        }
    });
}

/// Asks the server in the settings for its models. Of several inquiries the last one counts.
pub fn connect(state: State) {
    INQUIRIES.set(INQUIRIES.get() + 1);
    let id = INQUIRIES.get();
    let (server, is_chosen) = state
        .settings
        .with_untracked(|settings| (settings.server_route(""), settings.runner.is_some()));
    spawn_local(async move {
        let put = |found: ServerState| {
            // The person may have typed on.
            let is_latest = INQUIRIES.get() == id;
            if is_latest {
                state.server.set(found);
            }
            is_latest
        };
        if server.is_empty() && !is_chosen && !is_served_by_api().await {
            put(ServerState::NoServer);
            return;
        }
        if put(ServerState::Asking) {
            put(match models(state, &server).await {
                Ok(models) => ServerState::Ready(models),
                Err(reason) => ServerState::Failed(reason),
            });
        }
    });
}

/// Whether this page comes from a server with the API: plain hosts of files are not asked for
/// routes that they do not have.
async fn is_served_by_api() -> bool {
    let init = RequestInit::new();
    init.set_method("HEAD");
    let response = JsFuture::from(window().fetch_with_str_and_init("./", &init)).await;
    let response = response
        .ok()
        .and_then(|response| response.dyn_into::<Response>().ok());
    response.is_some_and(|response| response.headers().has(RUNTIME).unwrap_or(false))
}

async fn models(state: State, server: &str) -> Result<Vec<ServedModel>, String> {
    let words = state.words();
    let init = RequestInit::new();
    // A browser holds a request back that it could answer from the one before, which may hang.
    init.set_cache(RequestCache::NoStore);
    let response = send(state, server, "/v1/models", &init).await;
    let response = response.map_err(|error| error.to_string())?;
    if matches!(response.status(), 404 | 405) {
        return Err(words.server_is_no_api(&shown(server)));
    }
    if !response.ok() {
        return Err(refusal(state, server, &response).await);
    }
    let body = body_json(&response).await;
    let models = body.get("data").and_then(Value::as_array);
    let models = models.ok_or_else(|| words.server_is_no_api(&shown(server)))?;
    let number = |model: &Value, key: &str| model.get(key)?.as_u64().map(|n| n as usize);
    Ok(models
        .iter()
        .filter_map(|model| {
            Some(ServedModel {
                id: model.get("id")?.as_str()?.to_owned(),
                context_tokens: number(model, "max_model_len"),
                max_pages: number(model, "max_pages"),
            })
        })
        .collect())
}

/// The server's address for people.
fn shown(server: &str) -> String {
    if server.is_empty() {
        return window().location().origin().unwrap_or_default();
    }
    server.to_owned()
}

/// Sends a request to a route of a server, with the key that was entered for it. What fails is said in
/// words for people.
async fn send(
    state: State,
    server: &str,
    route: &str,
    init: &RequestInit,
) -> Result<Response, JsError> {
    let words = state.words();
    let origin = origin(server);
    let origin = origin.ok_or_else(|| JsError::Failed(words.address_refused(server)))?;
    let key = state
        .api_keys
        .with_untracked(|keys| keys.of(&origin).to_owned());
    if let Some(character) = unsendable(&key) {
        return Err(JsError::Failed(words.key_refused(character)));
    }
    let headers = web_sys::Headers::new().map_err(JsError::new)?;
    let set = |name: &str, value: &str| headers.set(name, value).map_err(JsError::new);
    set("content-type", "application/json")?;
    if !key.is_empty() {
        set("authorization", &format!("Bearer {key}"))?;
    }
    init.set_headers(&headers);
    let url = format!("{server}{route}");
    let response = JsFuture::from(window().fetch_with_str_and_init(&url, init)).await;
    let response = response.and_then(JsCast::dyn_into).map_err(JsError::new);
    response.map_err(|error| error.or(words.server_unreachable(&shown(server))))
}

async fn body_json(response: &Response) -> Value {
    let Ok(text) = response.text() else {
        return Value::Null;
    };
    let text = JsFuture::from(text)
        .await
        .ok()
        .and_then(|text| text.as_string());
    serde_json::from_str(&text.unwrap_or_default()).unwrap_or(Value::Null)
}

/// Why a server refuses, and what to do.
async fn refusal(state: State, server: &str, response: &Response) -> String {
    let words = state.words();
    match (response.status(), error_message(&body_json(response).await)) {
        (401 | 403, _) => words.server_wants_key.to_owned(),
        (_, Some(reason)) => words.server_refused(&shown(server), &reason),
        (status, None) => words.server_failed(&shown(server), status),
    }
}

/// Counts the tokens of a text by the server's tokenizer; the error says why it cannot.
pub async fn count_tokens(state: State, text: &Text) -> Result<usize, String> {
    let content = match &text.whole {
        Some(whole) => JsFuture::from(whole.text()).await,
        None => Ok(JsValue::from_str(&text.content)),
    };
    let content = content.map_err(|error| JsError::new(error).to_string())?;
    let server = state
        .settings
        .with_untracked(|settings| settings.server_route(""));
    // The template's own tokens are not the text's.
    let whole = count_content(state, &server, &content).await?;
    let template = count_content(state, &server, &".".into()).await?;
    Ok((whole + 1).saturating_sub(template))
}

async fn count_content(state: State, server: &str, content: &JsValue) -> Result<usize, String> {
    let words = state.words();
    // A long text stays JavaScript's: copies of it would keep the page from answering.
    let content = JSON::stringify(content).map_err(|error| JsError::new(error).to_string())?;
    let body = JsString::from("{\"messages\":[{\"role\":\"user\",\"content\":");
    let body = body.concat(&content).concat(&"}]}".into());
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body);
    let response = send(state, server, "/v1/tokenize", &init).await;
    let response = response.map_err(|error| error.to_string())?;
    if matches!(response.status(), 404 | 405) {
        return Err(words.server_cannot_count.to_owned());
    }
    if !response.ok() {
        return Err(refusal(state, server, &response).await);
    }
    let body = body_json(&response).await;
    let count = body.get("text_tokens").and_then(Value::as_u64);
    let count = count.ok_or_else(|| words.server_cannot_count.to_owned())?;
    Ok(count as usize)
}

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
    mut on_piece: impl FnMut(Piece),
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
    let response = send(state, server, "/v1/chat/completions", &init).await?;
    if !response.ok() {
        return Err(JsError::Failed(refusal(state, server, &response).await));
    }
    let content_type = response.headers().get("content-type").ok().flatten();
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let broke_off = || JsError::Failed(words.server_broke_off.to_owned());
    let gave_up = |reason: String| JsError::Failed(words.server_gave_up(&reason));
    let reader = response.body().map(|body| body.get_reader());
    let reader: ReadableStreamDefaultReader = reader.ok_or_else(broke_off)?.unchecked_into();
    let mut events = EventStream::default();
    let mut is_finished = false;
    let mut has_events = false;
    loop {
        let bytes = next_bytes(&reader).await;
        let bytes = bytes.map_err(|error| error.or(words.server_broke_off.to_owned()))?;
        let Some(bytes) = bytes else {
            break;
        };
        // One update for all that came together.
        let mut whole: Option<Piece> = None;
        let mut failure = None;
        for data in events.push(&bytes) {
            has_events = true;
            match ChatEvent::from_data(&data) {
                Ok(ChatEvent::Piece(piece)) => {
                    is_finished |= piece.finish_reason.is_some();
                    let whole = whole.get_or_insert_default();
                    whole.n_pieces += piece.n_pieces;
                    whole.content.push_str(&piece.content);
                    whole.reasoning.push_str(&piece.reasoning);
                    whole.finish_reason = piece.finish_reason.or(whole.finish_reason.take());
                    whole.usage = piece.usage.or(whole.usage);
                }
                Ok(ChatEvent::End) => is_finished = true,
                Ok(ChatEvent::Error(reason)) | Err(reason) => failure = Some(gave_up(reason)),
            }
        }
        whole.into_iter().for_each(&mut on_piece);
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    if is_finished {
        return Ok(());
    }
    // Some servers stream under another type, so only where nothing came does the type count.
    if has_events || content_type.starts_with("text/event-stream") {
        return Err(broke_off());
    }
    Err(JsError::Failed(
        words.server_no_stream(&shown(server), &content_type),
    ))
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
