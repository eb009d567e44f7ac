//! Which model is loaded in this tab, on what, and what the browser keeps of it.

use glyph_web_core::accounting::bytes_shown;
use glyph_web_core::address::checkpoint;
use glyph_web_core::messages::DeviceChoice;
use js_sys::Array;
use leptos::html::Input;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FileList, HtmlInputElement};

use crate::model::{self, TabModel};
use crate::state::state;
use crate::{api, browser};

/// Device, address or folder of the model.
#[component]
pub fn TabOptions() -> impl IntoView {
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
        let list = input.files();
        let of_list = |list: &FileList| -> Vec<File> {
            (0..list.length()).filter_map(|at| list.get(at)).collect()
        };
        let files: Array = list.iter().flat_map(of_list).collect();
        // The same folder can be chosen again; the list is empty then.
        input.set_value("");
        if files.length() > 0 {
            spawn_local(model::open_folder(state, files));
        }
    };
    let choose_device = move |event| {
        let device = match event_target_value(&event).as_str() {
            "webgpu" => DeviceChoice::Webgpu,
            "cpu" => DeviceChoice::Cpu,
            _ => DeviceChoice::Auto,
        };
        model::choose_device(state, device);
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
            <button
                class="quiet"
                aria-disabled=move || (bytes.get() == 0.0).to_string()
                on:click=delete
            >
                {move || state.words().delete_cached}
            </button>
        </p>
    }
}
