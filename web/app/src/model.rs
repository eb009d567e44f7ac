//! The model in this tab.

use std::cell::Cell;
use std::sync::Arc;

use glyph_web_core::accounting::{MissingNumber, kv_bytes_per_token, size_rules};
use glyph_web_core::address;
use glyph_web_core::messages::{DeviceChoice, LoadedModel};
use glyph_web_core::stage::{LoadStage, TabDevice};
use js_sys::{Array, Promise, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal, RequestInit, Response};

use crate::api::{self, LoadOptions, Model};
use crate::browser::{self, JsError};
use crate::i18n::Strings;
use crate::state::{BuiltIn, State};

/// How long the small files of the built-in model may take, as long as a font: pages wait for them.
const MOST_START_MS: u32 = 120_000;

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
        /// What it brings, for all who wait for it.
        loading: Promise,
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
    /// Was loaded, and has ended by itself; why.
    Crashed(String),
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
    /// What it does; nothing at first.
    pub stage: Option<LoadStage>,
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
    files: Array,
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
        match built_in(state.words()).await {
            Ok(built_in) => state.built_in.set(Some(Arc::new(built_in))),
            Err(JsError::Aborted) => {}
            Err(JsError::Failed(reason)) => {
                state
                    .notice
                    .set(Some(state.words().page_incomplete(&reason)));
            }
        }
        // Without its style, pages are drawn in the official one.
        state.is_starting.set(false);
    });
}

async fn built_in(words: &Strings) -> Result<BuiltIn, JsError> {
    const CONFIG: &str = "config.json";
    const PREPROCESSOR: &str = "preprocessor_config.json";
    let Assets { model } = browser::awaited_of_worker(api::assets(), words).await?;
    let url = |name: &str| format!("{}{name}", model.base);
    let patience = AbortSignal::timeout_with_u32(MOST_START_MS);
    let file = async |name: &str| json_file(words, &url(name), &patience).await;
    let lacks = |name: &str, MissingNumber(path): MissingNumber| {
        JsError::Failed(words.number_missing(&url(name), path))
    };
    let rules = size_rules(&file(PREPROCESSOR).await?);
    let kv_bytes_per_token = kv_bytes_per_token(&file(CONFIG).await?);
    let style = match file("render.json").await? {
        Value::Object(keys) => keys,
        _ => Map::new(),
    };
    Ok(BuiltIn {
        bytes: model.files.iter().map(|file| file.bytes).sum(),
        rules: rules.map_err(|missing| lacks(PREPROCESSOR, missing))?,
        kv_bytes_per_token: kv_bytes_per_token.map_err(|missing| lacks(CONFIG, missing))?,
        style,
        name: model.name.clone(),
    })
}

async fn json_file(words: &Strings, url: &str, patience: &AbortSignal) -> Result<Value, JsError> {
    let broken = |error: JsValue| {
        let reason = JsError::new(error).to_string();
        JsError::Failed(words.file_broke_off(url, &reason))
    };
    let init = RequestInit::new();
    init.set_signal(Some(patience));
    let response = JsFuture::from(window().fetch_with_str_and_init(url, &init)).await;
    let response: Response = response.and_then(JsCast::dyn_into).map_err(broken)?;
    if !response.ok() {
        let reason = words.file_not_fetched(url, response.status());
        return Err(JsError::Failed(reason));
    }
    let text = response.text().map_err(broken)?;
    let text = JsFuture::from(text).await.map_err(broken)?;
    let text = text.as_string().unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| JsError::Failed(format!("{url}: {error}")))
}

thread_local! {
    /// Counts the loads and ends of models: what an earlier load brings late is not wanted.
    static LOADS: Cell<u32> = const { Cell::new(0) };
}

/// The model: the one that is being loaded is waited for, and one is loaded where there is none, or where
/// its worker has ended.
pub async fn ready(state: State) -> Result<(Model, Arc<LoadedModel>), JsError> {
    match state.model.get_untracked() {
        TabModel::Ready { model, info } if !model.is_closed() => Ok((model, info)),
        TabModel::Loading { loading, .. } => loaded(loading, state.words()).await,
        _ => begin(state).await,
    }
}

async fn loaded(loading: Promise, words: &Strings) -> Result<(Model, Arc<LoadedModel>), JsError> {
    let model = JsFuture::from(loading).await;
    let model = model.map_err(|error| JsError::told(error, words))?;
    let info = serde_wasm_bindgen::from_value::<LoadedModel>(model.clone());
    let info = info.map_err(|error| JsError::Failed(error.to_string()))?;
    Ok((model.unchecked_into(), Arc::new(info)))
}

/// Loads the model of a folder, then and whenever it is loaded again.
pub async fn open_folder(state: State, files: Array) {
    // Of no file there is no path.
    let path = Reflect::get(&files.get(0), &"webkitRelativePath".into()).unwrap_or_default();
    let path = path.as_string().unwrap_or_default();
    let name = path.split('/').next().unwrap_or_default().to_owned();
    state.folder.set(Some(Folder { files, name }));
    // What went wrong is shown by the model's state.
    let _ = load(state).await;
}

/// Frees the model, and the next one comes from where the settings say.
pub fn forget(state: State) {
    state.folder.set(None);
    state.webgpu_failure.set(None);
    unload(state);
}

/// Frees the model, and the next one runs on this device.
pub fn choose_device(state: State, device: DeviceChoice) {
    state.settings.update(|settings| settings.device = device);
    state.webgpu_failure.set(None);
    unload(state);
}

/// Loads a model because the person wants that; WebGPU is tried again.
pub async fn load(state: State) -> Result<(Model, Arc<LoadedModel>), JsError> {
    state.webgpu_failure.set(None);
    begin(state).await
}

/// Loads a model in place of the one that is there or on its way: that of the folder, of the address, or
/// the built-in one.
async fn begin(state: State) -> Result<(Model, Arc<LoadedModel>), JsError> {
    unload(state);
    let id = LOADS.get();
    let is_wanted = move || LOADS.get() == id;
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
    let failure = state.webgpu_failure.get_untracked();
    let failure = failure.filter(|_| device == DeviceChoice::Auto);
    let device = if failure.is_some() {
        DeviceChoice::Cpu
    } else {
        device
    };
    options.set_device(&browser::described(&device));
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        if is_wanted() {
            let progress = serde_wasm_bindgen::from_value(progress).unwrap_or_default();
            state.load_progress.set(progress);
        }
    });
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    let abort = AbortController::new().ok();
    if let Some(abort) = &abort {
        options.set_signal(&abort.signal());
    }
    state.load_progress.set(LoadProgress::default());
    let loading = api::load_model(&options);
    state.model.set(TabModel::Loading {
        abort,
        loading: loading.clone(),
    });
    let loaded = loaded(loading, state.words()).await;
    let loaded = loaded.map(|(model, mut info)| {
        if failure.is_some() {
            Arc::make_mut(&mut info).fallback_reason = failure;
        }
        (model, info)
    });
    if !is_wanted() {
        if let Ok((model, _)) = loaded {
            model.close();
        }
        return Err(JsError::Aborted);
    }
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

/// Frees the model, or ends its loading.
pub fn unload(state: State) {
    LOADS.set(LOADS.get() + 1);
    match state.model.get_untracked() {
        TabModel::Ready { model, .. } => model.close(),
        TabModel::Loading {
            abort: Some(abort), ..
        } => abort.abort(),
        _ => {}
    }
    state.model.set(TabModel::None);
}

/// What an error of a model means. Where its worker has ended, that is noted: the next question loads it anew.
pub fn failure(state: State, model: &Model, error: JsError) -> JsError {
    if !model.is_closed() || error == JsError::Aborted {
        return error;
    }
    let reason = error.to_string();
    note_crash(state, &reason);
    error.or(state.words().model_crashed(&reason))
}

/// Notes why a model's worker has ended, unless another model has taken its place.
fn note_crash(state: State, reason: &str) {
    let device_of_closed = |model: &TabModel| match model {
        TabModel::Ready { model, info } if model.is_closed() => Some(info.device),
        _ => None,
    };
    let Some(device) = state.model.with_untracked(device_of_closed) else {
        return;
    };
    if device == TabDevice::Webgpu {
        state.webgpu_failure.set(Some(reason.to_owned()));
    }
    state.model.set(TabModel::Crashed(reason.to_owned()));
}
