//! The model in this tab.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::accounting::{kv_bytes_per_token, size_rules};
use glyph_web_core::address;
use glyph_web_core::messages::LoadedModel;
use glyph_web_core::settings::Runner;
use js_sys::Reflect;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, FileList, Response};

use crate::api::{self, LoadOptions, Model};
use crate::browser::{self, JsError};
use crate::state::{BuiltIn, State, TextTokens};

/// How long the text must rest before its tokens are counted.
const PATIENCE_MS: u32 = 500;

/// How far a model is.
#[derive(Clone, Default)]
pub enum TabModel {
    /// Not asked for.
    #[default]
    None,
    /// On its way.
    Loading {
        /// Ends it.
        abort: Option<AbortController>,
    },
    /// Answers.
    Ready {
        /// The model.
        model: Model,
        /// What it is.
        info: Arc<LoadedModel>,
    },
    /// Cannot be loaded; why.
    Failed(String),
}

impl TabModel {
    /// What the loaded model is.
    pub fn info(&self) -> Option<&Arc<LoadedModel>> {
        match self {
            Self::Ready { info, .. } => Some(info),
            _ => None,
        }
    }
}

/// How far the loading is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadProgress {
    /// `download`, `weights` or `warmUp`.
    pub stage: String,
    /// The file.
    pub file: Option<String>,
    /// Bytes so far.
    pub bytes: f64,
    /// All bytes; 0 where unknown.
    pub total: f64,
    /// From the browser's cache.
    pub from_cache: bool,
}

/// A folder with a checkpoint, which goes before the address in the settings.
#[derive(Clone)]
pub struct Folder {
    files: FileList,
    /// Its name.
    pub name: String,
}

#[derive(Deserialize)]
struct Assets {
    model: ModelAssets,
}

#[derive(Deserialize)]
struct ModelAssets {
    name: String,
    base: String,
    files: Vec<ModelFile>,
}

#[derive(Deserialize)]
struct ModelFile {
    bytes: u64,
}

/// Reads the small files of the built-in model.
pub fn read_built_in(state: State) {
    spawn_local(async move {
        match built_in().await {
            Ok(built_in) => state.built_in.set(Some(Arc::new(built_in))),
            Err(JsError::Aborted) => {}
            Err(JsError::Failed(reason)) => {
                state
                    .notice
                    .set(Some(state.words().page_incomplete(&reason)));
            }
        }
    });
}

async fn built_in() -> Result<BuiltIn, JsError> {
    let Assets { model } = browser::awaited(api::assets()).await?;
    let file = async |name: &str| json_file(&format!("{}{name}", model.base)).await;
    let style = match file("render.json").await? {
        Value::Object(keys) => keys,
        _ => Map::new(),
    };
    Ok(BuiltIn {
        bytes: model.files.iter().map(|file| file.bytes).sum(),
        rules: size_rules(&file("preprocessor_config.json").await?),
        kv_bytes_per_token: kv_bytes_per_token(&file("config.json").await?).unwrap_or_default(),
        style,
        name: model.name.clone(),
    })
}

async fn json_file(url: &str) -> Result<Value, JsError> {
    let response = JsFuture::from(window().fetch_with_str(url)).await;
    let response: Response = response.and_then(JsCast::dyn_into).map_err(JsError::new)?;
    let text = response.text().map_err(JsError::new)?;
    let text = JsFuture::from(text).await.map_err(JsError::new)?;
    let text = text.as_string().unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| JsError::Failed(format!("{url}: {error}")))
}

/// The model, loaded first where it is not, or where its worker has ended.
pub async fn ready(state: State) -> Result<(Model, Arc<LoadedModel>), JsError> {
    if let TabModel::Ready { model, info } = state.model.get_untracked()
        && !model.is_closed()
    {
        return Ok((model, info));
    }
    load(state).await
}

/// Loads the model of a folder, then and whenever it is loaded again.
pub async fn open_folder(state: State, files: FileList) {
    let path = files.get(0).map(|file| {
        let path = Reflect::get(&file, &"webkitRelativePath".into()).unwrap_or_default();
        path.as_string().unwrap_or_default()
    });
    let path = path.unwrap_or_default();
    let name = path.split('/').next().unwrap_or_default().to_owned();
    state.folder.set(Some(Folder { files, name }));
    // What went wrong is shown by the model's state.
    let _ = load(state).await;
}

/// Frees the model, and the next one comes from where the settings say.
pub fn forget(state: State) {
    state.folder.set(None);
    unload(state);
}

/// Loads a model in place of the one that is there: that of the folder, of the address, or the built-in one.
pub async fn load(state: State) -> Result<(Model, Arc<LoadedModel>), JsError> {
    unload(state);
    let options: LoadOptions = api::options();
    let (url, device) = state
        .settings
        .with_untracked(|settings| (settings.model_url.clone(), settings.device));
    let folder = state.folder.get_untracked();
    let address = address::checkpoint(&url);
    match (folder, address) {
        (Some(folder), _) => options.set_files(&folder.files),
        (None, Some(url)) if !url.is_empty() => options.set_url(&url),
        (None, Some(_)) => {}
        (None, None) => {
            let reason = untrack(|| state.words()).checkpoint_refused(url.trim());
            state.model.set(TabModel::Failed(reason.clone()));
            return Err(JsError::Failed(reason));
        }
    }
    options.set_device(&browser::described(&device));
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        let progress = serde_wasm_bindgen::from_value(progress).unwrap_or_default();
        state.load_progress.set(progress);
    });
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    let abort = AbortController::new().ok();
    if let Some(abort) = &abort {
        options.set_signal(&abort.signal());
    }
    state.load_progress.set(LoadProgress::default());
    state.model.set(TabModel::Loading { abort });
    let loaded = JsFuture::from(api::load_model(&options)).await;
    let loaded = loaded.map_err(|error| JsError::told(error, state.words()));
    let loaded = loaded.and_then(|model| {
        let info = serde_wasm_bindgen::from_value::<LoadedModel>(model.clone());
        let info = info.map_err(|error| JsError::Failed(error.to_string()))?;
        Ok((model.unchecked_into::<Model>(), Arc::new(info)))
    });
    state.model.set(match &loaded {
        Ok((model, info)) => TabModel::Ready {
            model: model.clone(),
            info: Arc::clone(info),
        },
        Err(JsError::Aborted) => TabModel::None,
        Err(JsError::Failed(reason)) => TabModel::Failed(reason.clone()),
    });
    loaded
}

/// Frees the model.
pub fn unload(state: State) {
    match state.model.get_untracked() {
        TabModel::Ready { model, .. } => model.close(),
        TabModel::Loading { abort: Some(abort) } => abort.abort(),
        _ => {}
    }
    state.model.set(TabModel::None);
}

/// Counts the text's tokens by whoever would answer, whenever that or the text change.
pub fn follow_tokens(state: State) {
    let latest = Rc::new(Cell::new(0));
    Effect::new(move || {
        let latest = Rc::clone(&latest);
        let id = latest.get() + 1;
        latest.set(id);
        let text = state.text.get();
        let runner = state.runner();
        let is_built_in = state.answering_built_in().is_some();
        let model = state.model.get();
        let is_ready = state.server.with(|server| !server.models().is_empty());
        // The built-in model's tokens are bytes.
        if is_built_in || text.bytes == 0 {
            state.text_tokens.set(TextTokens::Known(text.bytes));
            return;
        }
        state.text_tokens.set(TextTokens::Unknown);
        spawn_local(async move {
            // While the text is typed, nobody is asked for every letter.
            TimeoutFuture::new(PATIENCE_MS).await;
            if latest.get() != id {
                return;
            }
            let words = state.words();
            let tokens = match (runner, model) {
                (Runner::Tab, TabModel::Ready { model, .. }) => {
                    let count = browser::awaited::<usize>(model.count_tokens(&text.source())).await;
                    count.map_err(|error| error.to_string())
                }
                (Runner::Tab, _) => Err(words.tokens_need_model.to_owned()),
                (Runner::Server, _) if is_ready => crate::server::count_tokens(state, &text).await,
                (Runner::Server, _) => Err(words.server_not_ready.to_owned()),
            };
            if latest.get() == id {
                state.text_tokens.set(match tokens {
                    Ok(count) => TextTokens::Known(count),
                    Err(reason) => TextTokens::Refused(reason),
                });
            }
        });
    });
}
