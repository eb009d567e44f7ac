//! A server with the API of OpenAI.

use glyph_web_core::settings::Runner;
use glyph_web_core::sse::{ChatEvent, EventStream, Piece, error_message};
use js_sys::{JSON, JsString, Reflect, Uint8Array};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob, FileReader, ReadableStreamDefaultReader, RequestInit, Response};

use crate::browser::JsError;
use crate::state::State;
use crate::text::Text;

/// Header that the server of this project sends with every answer.
const REQUEST_ID: &str = "x-request-id";

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

/// Looks who serves this page, then asks the server for its models whenever it is the one to answer
/// and its address or key change.
pub fn follow(state: State) {
    let route = Memo::new(move |_| state.settings.with(|settings| settings.server_route("")));
    let chosen = Memo::new(move |_| state.settings.with(|settings| settings.runner));
    Effect::new(move || {
        let (route, _) = (route.get(), state.api_key.get());
        // Also when the person chooses what was the default: then it must say why it does not answer.
        if chosen.get() != Some(Runner::Tab) {
            spawn_local(connect(state, route));
        }
    });
}

/// Asks for the models.
pub async fn connect(state: State, server: String) {
    let is_chosen = state
        .settings
        .with_untracked(|settings| settings.runner.is_some());
    if server.is_empty() && !is_chosen && !is_served_by_api().await {
        state.server.set(ServerState::NoServer);
        return;
    }
    state.server.set(ServerState::Asking);
    let found = models(state, &server).await;
    // The person may have typed on.
    if state
        .settings
        .with_untracked(|settings| settings.server_route(""))
        == server
    {
        state.server.set(match found {
            Ok(models) => ServerState::Ready(models),
            Err(reason) => ServerState::Failed(reason),
        });
    }
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
    response.is_some_and(|response| response.headers().has(REQUEST_ID).unwrap_or(false))
}

async fn models(state: State, server: &str) -> Result<Vec<ServedModel>, String> {
    let words = state.words();
    let init = RequestInit::new();
    let response = send(state, &format!("{server}/v1/models"), &init).await;
    let response = response.map_err(|_| words.server_unreachable(&shown(server)))?;
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

async fn send(state: State, url: &str, init: &RequestInit) -> Result<Response, JsError> {
    let headers = web_sys::Headers::new().map_err(JsError::new)?;
    let set = |name: &str, value: &str| headers.set(name, value).map_err(JsError::new);
    set("content-type", "application/json")?;
    let key = state.api_key.get_untracked();
    if !key.trim().is_empty() {
        set("authorization", &format!("Bearer {}", key.trim()))?;
    }
    init.set_headers(&headers);
    let response = JsFuture::from(window().fetch_with_str_and_init(url, init)).await;
    response.and_then(JsCast::dyn_into).map_err(JsError::new)
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
    // The template's own tokens are not the text's.
    let whole = count_content(state, &content).await?;
    let template = count_content(state, &".".into()).await?;
    Ok((whole + 1).saturating_sub(template))
}

async fn count_content(state: State, content: &JsValue) -> Result<usize, String> {
    let words = state.words();
    let server = state
        .settings
        .with_untracked(|settings| settings.server_route(""));
    // A long text stays JavaScript's: copies of it would keep the page from answering.
    let content = JSON::stringify(content).map_err(|error| JsError::new(error).to_string())?;
    let body = JsString::from("{\"messages\":[{\"role\":\"user\",\"content\":");
    let body = body.concat(&content).concat(&"}]}".into());
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body);
    let response = send(state, &format!("{server}/v1/tokenize"), &init).await;
    let response = response.map_err(|_| words.server_unreachable(&shown(&server)))?;
    if matches!(response.status(), 404 | 405) {
        return Err(words.server_cannot_count.to_owned());
    }
    if !response.ok() {
        return Err(refusal(state, &server, &response).await);
    }
    let body = body_json(&response).await;
    let count = body.get("text_tokens").and_then(Value::as_u64);
    let count = count.ok_or_else(|| words.server_cannot_count.to_owned())?;
    Ok(count as usize)
}

/// A question to the server.
pub struct ChatRequest<'a> {
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
    let server = state
        .settings
        .with_untracked(|settings| settings.server_route(""));
    let response = send(state, &format!("{server}/v1/chat/completions"), &init).await;
    let response = response.map_err(|error| error.or(words.server_unreachable(&shown(&server))))?;
    if !response.ok() {
        return Err(JsError::Failed(refusal(state, &server, &response).await));
    }
    let broke_off = || JsError::Failed(words.server_broke_off.to_owned());
    let gave_up = |reason: String| JsError::Failed(words.server_gave_up(&reason));
    let reader = response.body().map(|body| body.get_reader());
    let reader: ReadableStreamDefaultReader = reader.ok_or_else(broke_off)?.unchecked_into();
    let mut events = EventStream::default();
    let mut is_finished = false;
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
            match ChatEvent::from_data(&data) {
                Ok(ChatEvent::Piece(piece)) => {
                    is_finished |= piece.finish_reason.is_some();
                    let whole = whole.get_or_insert_default();
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
        Ok(())
    } else {
        Err(broke_off())
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
