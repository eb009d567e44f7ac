//! A server with the API of OpenAI.

use glyph_web_core::settings::Runner;
use glyph_web_core::sse::{ChatEvent, EventStream, Piece, error_message};
use js_sys::{Reflect, Uint8Array};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob, FileReader, ReadableStreamDefaultReader, RequestInit, Response};

use crate::browser::JsError;
use crate::state::State;

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
    let is_wanted = Memo::new(move |_| {
        let chosen = state.settings.with(|settings| settings.runner);
        chosen != Some(Runner::Tab)
    });
    Effect::new(move || {
        let (route, _) = (route.get(), state.api_key.get());
        if is_wanted.get() {
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
    let status = response.status();
    let body = body_json(&response).await;
    match status {
        200..=299 => {}
        401 | 403 => return Err(words.server_wants_key.to_owned()),
        404 | 405 => return Err(words.server_is_no_api(&shown(server))),
        _ => {
            let reason = error_message(&body).unwrap_or_else(|| format!("HTTP {status}"));
            return Err(words.server_refused(&shown(server), &reason));
        }
    }
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

/// Counts the tokens of a text by the server's tokenizer; `None` where it has no such route.
pub async fn count_tokens(state: State, text: &str) -> Option<usize> {
    let server = state
        .settings
        .with_untracked(|settings| settings.server_route(""));
    let count = async |content: &str| -> Option<u64> {
        let body = json!({"messages": [{"role": "user", "content": content}]});
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&body.to_string().into());
        let response = send(state, &format!("{server}/v1/tokenize"), &init)
            .await
            .ok()?;
        body_json(&response).await.get("text_tokens")?.as_u64()
    };
    // The template's own tokens are not the text's.
    let (whole, template) = (count(text).await?, count(".").await?);
    Some((whole + 1).saturating_sub(template) as usize)
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

/// Why an answer did not come to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatError {
    /// The person ended it.
    Aborted,
    /// The server does not answer, or its answer broke off.
    Gone,
    /// The server says why.
    Refused(String),
}

impl From<JsError> for ChatError {
    fn from(error: JsError) -> Self {
        match error {
            JsError::Aborted => Self::Aborted,
            JsError::Failed(_) => Self::Gone,
        }
    }
}

/// Asks, and hands out the answer piece by piece.
pub async fn chat(
    state: State,
    request: ChatRequest<'_>,
    mut on_piece: impl FnMut(Piece),
) -> Result<(), ChatError> {
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
    let response = send(state, &format!("{server}/v1/chat/completions"), &init).await?;
    if !response.ok() {
        let status = response.status();
        let reason = error_message(&body_json(&response).await);
        return Err(ChatError::Refused(
            reason.unwrap_or_else(|| format!("HTTP {status}")),
        ));
    }
    let reader = response.body().map(|body| body.get_reader());
    let reader: ReadableStreamDefaultReader = reader.ok_or(ChatError::Gone)?.unchecked_into();
    let mut events = EventStream::default();
    let mut is_finished = false;
    while let Some(bytes) = next_bytes(&reader).await? {
        // One update for all that came together.
        let mut whole: Option<Piece> = None;
        for data in events.push(&bytes) {
            match ChatEvent::from_data(&data).map_err(ChatError::Refused)? {
                ChatEvent::Piece(piece) => {
                    is_finished |= piece.finish_reason.is_some();
                    let whole = whole.get_or_insert_default();
                    whole.content.push_str(&piece.content);
                    whole.reasoning.push_str(&piece.reasoning);
                    whole.finish_reason = piece.finish_reason.or(whole.finish_reason.take());
                    whole.usage = piece.usage.or(whole.usage);
                }
                ChatEvent::Error(reason) => return Err(ChatError::Refused(reason)),
                ChatEvent::End => is_finished = true,
            }
        }
        whole.into_iter().for_each(&mut on_piece);
    }
    if is_finished {
        Ok(())
    } else {
        Err(ChatError::Gone)
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
