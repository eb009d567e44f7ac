//! A server with the API of OpenAI.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use glyph_web_core::address::Address;
use glyph_web_core::keys::{ApiKeys, unsendable};
use glyph_web_core::settings::{Runner, Settings, route_of};
use glyph_web_core::sse::error_message;
use js_sys::{JSON, JsString};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestCache, RequestInit, Response, Url};

use crate::browser::JsError;
use crate::i18n::Strings;
use crate::state::{State, Uncounted};
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
    /// Servers that do not count tokens: they are not sent every text.
    static NOT_COUNTING: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
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
    origin(&state.settings.with(Settings::server_base))
}

/// The key that was entered for the server in the settings; empty where there is none.
pub fn chosen_key(state: State) -> String {
    let origin = chosen_origin(state).unwrap_or_default();
    state.api_keys.with(|keys| keys.of(&origin).to_owned())
}

/// The same for the server at an address, without following it.
fn key_of(state: State, server: &str) -> String {
    let origin = origin(server).unwrap_or_default();
    let key = |keys: &ApiKeys| keys.of(&origin).to_owned();
    state.api_keys.with_untracked(key)
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
    let base = Memo::new(move |_| state.settings.with(Settings::server_base));
    let key = Memo::new(move |_| chosen_key(state));
    let chosen = Memo::new(move |_| state.settings.with(|settings| settings.runner));
    Effect::new(move || {
        // Read, not only tracked: a memo that nobody has read follows nothing yet.
        let _ = (base.get(), key.get());
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
        .with_untracked(|settings| (settings.server_base(), settings.runner.is_some()));
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
    let response = send(state, server, "v1/models", &init).await;
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
    let models: Vec<ServedModel> = models
        .iter()
        .filter_map(|model| {
            Some(ServedModel {
                id: model.get("id")?.as_str()?.to_owned(),
                context_tokens: number(model, "max_model_len"),
                max_pages: number(model, "max_pages"),
            })
        })
        .collect();
    if models.is_empty() {
        return Err(words.server_has_no_model(&shown(server)));
    }
    Ok(models)
}

/// The server's address for people.
pub fn shown(server: &str) -> String {
    if !server.is_empty() {
        return server.to_owned();
    }
    let page = document().base_uri().ok().flatten().unwrap_or_default();
    let home = Url::new_with_base(".", &page).map(|home| home.href());
    let home = home.unwrap_or(page);
    home.trim_end_matches('/').to_owned()
}

/// Why nobody answers.
fn unreachable(words: &Strings, server: &str) -> String {
    let is_mixed = Address::parse(server).is_some_and(|address| address.is_mixed_content());
    let is_https = window()
        .location()
        .protocol()
        .is_ok_and(|scheme| scheme == "https:");
    if is_mixed && is_https {
        return words.server_blocked(server);
    }
    words.server_unreachable(&shown(server))
}

/// Sends a request to a route of a server, with the key that was entered for it. What fails is said in
/// words for people.
pub async fn send(
    state: State,
    server: &str,
    route: &str,
    init: &RequestInit,
) -> Result<Response, JsError> {
    let words = state.words();
    if origin(server).is_none() {
        return Err(JsError::Failed(words.address_refused(server)));
    }
    let key = key_of(state, server);
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
    let url = route_of(server, route);
    let response = JsFuture::from(window().fetch_with_str_and_init(&url, init)).await;
    let response = response.and_then(JsCast::dyn_into).map_err(JsError::new);
    response.map_err(|error| error.or(unreachable(words, server)))
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
pub async fn refusal(state: State, server: &str, response: &Response) -> String {
    let words = state.words();
    let has_key = !key_of(state, server).is_empty();
    let reason = error_message(&body_json(response).await);
    match (response.status(), reason) {
        (401, _) if !has_key => words.server_wants_key.to_owned(),
        (401, reason) => words.key_not_taken(&shown(server), reason.as_deref()),
        (_, Some(reason)) => words.server_refused(&shown(server), &reason),
        (status, None) => words.server_failed(&shown(server), status),
    }
}

/// Whether a server may have a route that counts tokens: it has not said that it has none.
pub fn may_count(server: &str) -> bool {
    !NOT_COUNTING.with_borrow(|servers| servers.contains(server))
}

/// Counts the tokens of a text by a server's tokenizer; the error says why it cannot.
pub async fn count_tokens(state: State, server: &str, text: &Text) -> Result<usize, Uncounted> {
    let content = match &text.whole {
        Some(whole) => JsFuture::from(whole.text()).await,
        None => Ok(JsValue::from_str(&text.content)),
    };
    let content = content.map_err(uncounted)?;
    // The template's own tokens are not the text's.
    let whole = count_content(state, server, &content).await?;
    let template = count_content(state, server, &".".into()).await?;
    Ok((whole + 1).saturating_sub(template))
}

async fn count_content(state: State, server: &str, content: &JsValue) -> Result<usize, Uncounted> {
    // A long text stays JavaScript's: copies of it would keep the page from answering.
    let content = JSON::stringify(content).map_err(uncounted)?;
    let body = JsString::from("{\"messages\":[{\"role\":\"user\",\"content\":");
    let body = body.concat(&content).concat(&"}]}".into());
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body);
    let response = send(state, server, "v1/tokenize", &init).await;
    let response = response.map_err(|error| Uncounted::Failed(error.to_string()))?;
    let has_no_route = matches!(response.status(), 404 | 405);
    if !has_no_route && !response.ok() {
        return Err(Uncounted::Failed(refusal(state, server, &response).await));
    }
    let body = body_json(&response).await;
    let count = body.get("text_tokens").and_then(Value::as_u64);
    let Some(count) = count.filter(|_| !has_no_route) else {
        NOT_COUNTING.with_borrow_mut(|servers| servers.insert(server.to_owned()));
        return Err(Uncounted::NoRoute);
    };
    Ok(count as usize)
}

fn uncounted(error: JsValue) -> Uncounted {
    Uncounted::Failed(JsError::new(error).to_string())
}
