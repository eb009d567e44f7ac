//! Where answers come from: a server, or a model in this tab.

use glyph_web_core::accounting::bytes_shown;
use glyph_web_core::address::{Address, checkpoint};
use glyph_web_core::messages::DeviceChoice;
use glyph_web_core::mini;
use glyph_web_core::settings::Runner;
use leptos::html::Input;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlInputElement;

use super::fields::Choice;
use crate::model::{self, LoadProgress, TabModel};
use crate::server::{self, ServerState};
use crate::state::{State, state};
use crate::{api, browser};

/// The choice and what belongs to it.
#[component]
pub fn RunnerFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let options = Signal::derive(move || {
        vec![
            (Runner::Server, words().run_server.to_owned()),
            (Runner::Tab, words().run_tab.to_owned()),
        ]
    });
    view! {
        <div class="runner" role="group" aria-label=move || words().where_heading>
            <Choice
                legend=move || words().where_heading
                name="runner"
                options
                value=Signal::derive(move || state.runner())
                set=Callback::new(move |runner| {
                    state.settings.update(|settings| settings.runner = Some(runner));
                })
            />
            <Show
                when=move || state.runner() == Runner::Server
                fallback=move || view! { <TabFields/> }
            >
                <ServerFields/>
            </Show>
        </div>
    }
}

#[component]
fn ServerFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let status = move || match state.server.get() {
        ServerState::Unknown | ServerState::NoServer => None,
        ServerState::Asking => {
            Some(view! { <p class="hint">{words().server_asking}</p> }.into_any())
        }
        ServerState::Ready(_) => None,
        ServerState::Failed(reason) => {
            let retry = move |_| server::connect(state);
            Some(
                view! {
                    <p class="notice error">
                        <span>{reason}</span>
                        <button class="quiet" on:click=retry>{words().server_retry}</button>
                    </p>
                }
                .into_any(),
            )
        }
    };
    let models = move || {
        let chosen = state.model_name();
        let models = state.server.with(|server| server.models().to_vec());
        models
            .into_iter()
            .map(|model| {
                let is_chosen = model.id == chosen;
                view! { <option value=model.id.clone() prop:selected=is_chosen>{model.id.clone()}</option> }
            })
            .collect_view()
    };
    view! {
        <div role="status" data-testid="server-status">{status}</div>
        <details class="runner-details">
            <summary>
                {move || {
                    let address = state.settings.with(|settings| settings.server.clone());
                    let address = Some(address).filter(|address| !address.is_empty());
                    let address = address.or_else(|| window().location().origin().ok());
                    let model = state.model_name();
                    let parts = [model, address.unwrap_or_default()];
                    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
                }}
            </summary>
            <div class="fields">
                <label class="field wide">
                    <span>{move || words().server_address}</span>
                    <input
                        type="url"
                        placeholder=move || words().server_address_hint
                        prop:value=move || state.settings.with(|settings| settings.server.clone())
                        on:change=move |event| {
                            let entered = event_target_value(&event);
                            let server = Address::parse(&entered).map(|address| address.url());
                            // What is no address stays, to be mended.
                            let server = server.unwrap_or_else(|| entered.trim().to_owned());
                            state.settings.update(|settings| {
                                settings.server = server;
                                settings.runner = Some(Runner::Server);
                            });
                        }
                    />
                </label>
                // The hint stands below, where it has room to wrap.
                <div class="field wide">
                    <label class="field">
                        <span>{move || words().server_key}</span>
                        <input
                            type="password"
                            autocomplete="off"
                            aria-describedby="server-key-hint"
                            disabled=move || server::chosen_origin(state).is_none()
                            prop:value=move || server::chosen_key(state)
                            on:change=move |event| {
                                server::put_key(state, &event_target_value(&event));
                            }
                        />
                    </label>
                    <p class="hint" id="server-key-hint">{move || words().server_key_hint}</p>
                </div>
                <label class="field">
                    <span>{move || words().server_model}</span>
                    <select on:change=move |event| {
                        let model = event_target_value(&event);
                        state.settings.update(|settings| settings.server_model = Some(model));
                    }>{models}</select>
                </label>
            </div>
        </details>
    }
}

#[component]
fn TabFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let load = move |_| {
        spawn_local(async move {
            // What went wrong is shown by the model's state.
            let _ = model::load(state).await;
        });
    };
    let status = move || match state.model.get() {
        TabModel::None => {
            let size = state.answering_built_in();
            let size = size.map(|built_in| format!(" ({})", bytes_shown(built_in.bytes as f64)));
            view! {
                <button on:click=load data-testid="load">
                    {words().load_model} {size}
                </button>
            }
            .into_any()
        }
        TabModel::Loading { .. } => view! { <Loading/> }.into_any(),
        TabModel::Ready { info, .. } => {
            let device = match (&info.adapter, info.device.as_str()) {
                (Some(adapter), _) => format!("WebGPU · {adapter}"),
                (None, "webgpu") => "WebGPU".to_owned(),
                _ => words().on_cpu.to_owned(),
            };
            let cached = if info.from_cache {
                words().from_cache
            } else {
                ""
            };
            let size = bytes_shown(info.bytes as f64);
            let fallback = info.fallback_reason.clone().map(|reason| {
                view! { <p class="notice warning">{words().fallback} " " {reason}</p> }
            });
            let not_kept = info.cache_error.clone().map(|reason| {
                view! { <p class="hint">{words().not_cached} " " {reason}</p> }
            });
            view! {
                <p class="ready" data-testid="tab-ready">
                    <span>
                        {format!("{} {device} · {} · {size} {cached}", words().ready_tab, info.name)}
                    </span>
                    <button class="quiet" on:click=move |_| model::forget(state)>
                        {words().unload_model}
                    </button>
                </p>
                {fallback}
                {not_kept}
            }
                .into_any()
        }
        TabModel::Failed(reason) => view! {
            <p class="notice error" data-testid="tab-failed">
                <span>{words().model_failed} {reason}</span>
                <button class="quiet" on:click=load>{words().server_retry}</button>
                <Show when=move || state.folder.with(Option::is_some)>
                    <button class="quiet" on:click=move |_| model::forget(state)>
                        {words().forget_folder}
                    </button>
                </Show>
            </p>
        }
        .into_any(),
    };
    view! {
        <div role="status" data-testid="tab-status">{status}</div>
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
    let what = match progress.stage.as_str() {
        "download" => words.stage_download,
        "weights" => words.stage_weights,
        "warmUp" => words.stage_warm_up,
        _ => words.loading_model,
    };
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

/// Says why the answer will make no sense, where the built-in model was not trained on such characters.
#[component]
pub fn ReadingNote(question: RwSignal<String>) -> impl IntoView {
    let state = state();
    let is_known_text = Memo::new(move |_| {
        state.text.with(|text| {
            // Of a long text only the beginning is here; its bytes tell of the rest.
            text.characters == text.bytes && mini::can_read(&text.content)
        })
    });
    let is_known_question = Memo::new(move |_| question.with(|text| mini::can_read(text)));
    let is_known = move || is_known_text.get() && is_known_question.get();
    // Where there is no name yet, nobody would answer.
    let is_built_in =
        move || !state.model_name().is_empty() && state.answering_built_in().is_some();
    view! {
        <Show when=move || !is_known() && is_built_in()>
            <p class="notice warning" data-testid="unread">{move || state.words().mini_unread}</p>
        </Show>
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

#[component]
fn TabOptions() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let folder = NodeRef::<Input>::new();
    // The attribute has no name in the view's language.
    Effect::new(move || {
        if let Some(folder) = folder.get() {
            let _ = folder.set_attribute("webkitdirectory", "");
        }
    });
    let open = move |_| {
        if let Some(folder) = folder.get_untracked() {
            folder.click();
        }
    };
    let on_folder = move |event| {
        let input: HtmlInputElement = event_target(&event);
        if let Some(files) = input.files().filter(|files| files.length() > 0) {
            spawn_local(model::open_folder(state, files));
        }
    };
    let choose_device = move |event| {
        let device = match event_target_value(&event).as_str() {
            "webgpu" => DeviceChoice::Webgpu,
            "cpu" => DeviceChoice::Cpu,
            _ => DeviceChoice::Auto,
        };
        state.settings.update(|settings| settings.device = device);
        model::unload(state);
    };
    let devices = move || {
        [
            ("auto", DeviceChoice::Auto, words().device_auto),
            ("webgpu", DeviceChoice::Webgpu, words().device_webgpu),
            ("cpu", DeviceChoice::Cpu, words().device_cpu),
        ]
        .map(|(value, device, label)| {
            let is_chosen = move || state.settings.with(|settings| settings.device == device);
            view! { <option value=value prop:selected=is_chosen>{label}</option> }
        })
        .collect_view()
    };
    view! {
        <div class="fields">
            <label class="field">
                <span>{move || words().device}</span>
                <select on:change=choose_device data-testid="device">{devices}</select>
            </label>
            <label class="field wide">
                <span>{move || words().model_url}</span>
                <input
                    type="text"
                    inputmode="url"
                    placeholder=move || words().model_url_hint
                    prop:value=move || state.settings.with(|settings| settings.model_url.clone())
                    on:change=move |event| {
                        let entered = event_target_value(&event).trim().to_owned();
                        let url = checkpoint(&entered);
                        let refusal = url.is_none().then(|| words().checkpoint_refused(&entered));
                        let url = url.unwrap_or(entered);
                        state.settings.update(|settings| settings.model_url = url);
                        model::forget(state);
                        if let Some(refusal) = refusal {
                            state.model.set(TabModel::Failed(refusal));
                        }
                    }
                />
            </label>
            <button on:click=open>{move || words().model_folder}</button>
            <input
                type="file"
                hidden
                multiple
                node_ref=folder
                data-testid="folder"
                aria-label=move || words().model_folder
                on:change=on_folder
            />
            <Kept/>
        </div>
    }
}

/// What the browser keeps, and a button to delete it.
#[component]
fn Kept() -> impl IntoView {
    let state = state();
    let bytes = RwSignal::new(0.0);
    let look = move || {
        spawn_local(async move {
            let found = browser::awaited::<f64>(api::cached_bytes()).await;
            bytes.set(found.unwrap_or_default());
        });
    };
    Effect::new(move || {
        let is_settled = state
            .model
            .with(|model| !matches!(model, TabModel::Loading { .. }));
        if is_settled {
            look();
        }
    });
    let delete = move |_| {
        spawn_local(async move {
            // What is left is counted again.
            let _ = JsFuture::from(api::delete_cached()).await;
            look();
        });
    };
    view! {
        <p class="kept" data-testid="kept">
            <span>{move || format!("{} {}", state.words().cached, bytes_shown(bytes.get()))}</span>
            <button class="quiet" disabled=move || bytes.get() == 0.0 on:click=delete>
                {move || state.words().delete_cached}
            </button>
        </p>
    }
}
