//! The server that answers.

use glyph_web_core::address::Address;
use glyph_web_core::settings::Runner;
use leptos::prelude::*;

use crate::browser::pass_focus;
use crate::server::{self, ServerState};
use crate::state::state;

/// Its address, key and model.
#[component]
pub fn ServerFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let status = move || {
        // The button goes when it is pressed; the address is in the details.
        on_cleanup(|| {
            pass_focus(
                "[data-testid=server-status] button",
                &[".runner-details > summary"],
            );
        });
        match state.server.get() {
            ServerState::Unknown | ServerState::NoServer | ServerState::Ready(_) => None,
            ServerState::Asking => {
                Some(view! { <p class="hint">{words().server_asking}</p> }.into_any())
            }
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
