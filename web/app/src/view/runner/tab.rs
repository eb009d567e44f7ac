//! The model in this tab: loading it, and how far that is.

use glyph_web_core::accounting::bytes_shown;
use glyph_web_core::messages::{DeviceChoice, LoadedModel};
use glyph_web_core::stage::{LoadStage, TabDevice};
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::options::TabOptions;
use crate::api;
use crate::browser::{self, pass_focus};
use crate::i18n::Strings;
use crate::model::{self, LoadProgress, TabModel};
use crate::state::{State, state};

/// The buttons of its state.
const BUTTONS: &str = ".tab-status button";

/// Its state, and where it comes from.
#[component]
pub fn TabFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let status = move || {
        // Each state has a button of its own.
        on_cleanup(|| pass_focus(BUTTONS, &[BUTTONS]));
        shown(state, state.model.get())
    };
    let announced = Memo::new(move |_| announced(state));
    view! {
        <div class="tab-status" data-testid="tab-status">{status}</div>
        <p class="hidden-label" role="status" data-testid="tab-announced">{announced}</p>
        <WebGpuNote/>
        <details class="runner-details">
            <summary>
                {move || format!("{} · {}", state.model_name(), device_word(state))}
            </summary>
            <TabOptions/>
        </details>
        <Show when=move || state.answering_built_in().is_some()>
            <p class="hint">{move || words().mini_note}</p>
        </Show>
    }
}

/// What a state looks like.
fn shown(state: State, model: TabModel) -> AnyView {
    let words = state.words();
    let load = move |_| {
        spawn_local(async move {
            // What went wrong is shown by the model's state.
            let _ = model::load(state).await;
        });
    };
    let reason = failure(words, &model);
    match model {
        TabModel::None => {
            let size = state.answering_built_in();
            let size = size.map(|built_in| format!(" ({})", bytes_shown(built_in.bytes as f64)));
            view! {
                <button on:click=load data-testid="load">
                    {words.load_model} {size}
                </button>
            }
            .into_any()
        }
        TabModel::Loading { .. } => view! { <Loading/> }.into_any(),
        TabModel::Ready { info, .. } => ready(state, &info).into_any(),
        TabModel::Failed(_) | TabModel::Crashed(_) => view! {
            <p class="notice error" data-testid="tab-failed">
                <span>{reason}</span>
                <button class="quiet" on:click=load>{words.server_retry}</button>
                <Show when=move || state.folder.with(Option::is_some)>
                    <button class="quiet" on:click=move |_| model::forget(state)>
                        {move || state.words().forget_folder}
                    </button>
                </Show>
            </p>
        }
        .into_any(),
    }
}

/// Why there is no model, in words for people; empty where that is no failure.
fn failure(words: &Strings, model: &TabModel) -> String {
    match model {
        TabModel::Failed(reason) => format!("{}{reason}", words.model_failed),
        TabModel::Crashed(reason) => words.model_crashed(reason),
        TabModel::None | TabModel::Loading { .. } | TabModel::Ready { .. } => String::new(),
    }
}

/// A model that answers, and what is not as it was wanted.
fn ready(state: State, info: &LoadedModel) -> impl IntoView + use<> {
    let words = state.words();
    let fallback = info.fallback_reason.clone().map(|reason| {
        let reason = words.fallback_reason(&reason);
        view! { <p class="notice warning">{words.fallback} " " {reason}</p> }
    });
    let not_kept = info.cache_error.clone().map(|reason| {
        let reason = words.not_kept_reason(&reason);
        view! { <p class="hint">{words.not_cached} " " {reason}</p> }
    });
    view! {
        <p class="ready" data-testid="tab-ready">
            <span>{ready_words(state, info)}</span>
            <button class="quiet" on:click=move |_| model::forget(state)>
                {words.unload_model}
            </button>
        </p>
        {fallback}
        {not_kept}
    }
}

fn ready_words(state: State, info: &LoadedModel) -> String {
    let words = state.words();
    let device = match (&info.adapter, info.device) {
        (Some(adapter), _) => format!("WebGPU · {adapter}"),
        (None, TabDevice::Webgpu) => "WebGPU".to_owned(),
        (None, TabDevice::Cpu) => words.on_cpu.to_owned(),
    };
    let cached = if info.from_cache {
        words.from_cache
    } else {
        ""
    };
    let (ready, name, size) = (words.ready_tab, &info.name, bytes_shown(info.bytes as f64));
    format!("{ready} {device} · {name} · {size} {cached}")
}

/// What assistive technology says of a state: not every byte that comes.
fn announced(state: State) -> String {
    let words = state.words();
    match state.model.get() {
        TabModel::Loading { .. } => stage_words(state, &state.load_progress.read()).to_owned(),
        TabModel::Ready { info, .. } => ready_words(state, &info),
        model => failure(words, &model),
    }
}

fn device_word(state: State) -> &'static str {
    let words = state.words();
    match state.settings.with(|settings| settings.device) {
        DeviceChoice::Auto => words.device_auto,
        DeviceChoice::Webgpu => words.device_webgpu,
        DeviceChoice::Cpu => words.device_cpu,
    }
}

/// What is being fetched or loaded, and how far.
#[component]
fn Loading() -> impl IntoView {
    let state = state();
    let what = move || loading_words(state, &state.load_progress.read());
    let share = move || {
        let progress = state.load_progress.read();
        (progress.total > 0.0).then(|| (progress.bytes / progress.total).to_string())
    };
    view! {
        <div class="loading">
            <label class="progress">
                <span>{what}</span>
                <progress max="1" value=share></progress>
            </label>
            <button class="quiet" on:click=move |_| model::unload(state)>
                {move || state.words().cancel}
            </button>
        </div>
    }
}

fn loading_words(state: State, progress: &LoadProgress) -> String {
    let words = state.words();
    let what = stage_words(state, progress);
    let file = progress.file.clone().unwrap_or_default();
    let bytes = match (progress.bytes, progress.total) {
        (0.0, _) => String::new(),
        (bytes, 0.0) => bytes_shown(bytes),
        (bytes, total) => format!("{} / {}", bytes_shown(bytes), bytes_shown(total)),
    };
    let cached = if progress.from_cache {
        words.from_cache
    } else {
        ""
    };
    format!("{what} {file} {bytes} {cached}")
}

fn stage_words(state: State, progress: &LoadProgress) -> &'static str {
    let words = state.words();
    match progress.stage {
        Some(LoadStage::Download) => words.stage_download,
        Some(LoadStage::Device) => words.stage_device,
        Some(LoadStage::Weights) => words.stage_weights,
        None => words.loading_model,
    }
}

/// Says why the model will run on the CPU, or not at all, before it is loaded.
#[component]
fn WebGpuNote() -> impl IntoView {
    let state = state();
    let problem = RwSignal::new(None::<String>);
    spawn_local(async move {
        let found = browser::awaited::<Option<String>>(api::webgpu_problem()).await;
        problem.set(found.unwrap_or_default());
    });
    let note = move || {
        let words = state.words();
        let device = state.settings.with(|settings| settings.device);
        let problem = problem.get()?;
        let note = match (device, problem.as_str()) {
            (DeviceChoice::Cpu, _) => return None,
            (DeviceChoice::Webgpu, problem) => words.webgpu_required(problem),
            (DeviceChoice::Auto, "insecure") => words.webgpu_insecure.to_owned(),
            (DeviceChoice::Auto, "unsupported") => words.webgpu_unsupported.to_owned(),
            (DeviceChoice::Auto, _) => words.webgpu_no_adapter.to_owned(),
        };
        Some(view! { <p class="notice warning" data-testid="no-webgpu">{note}</p> })
    };
    view! { {note} }
}
