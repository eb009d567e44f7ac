//! Who answers a question.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::limits::Limits;
use glyph_web_core::messages::LoadedModel;
use glyph_web_core::settings::Runner;
use glyph_web_core::style::StyleBase;
use js_sys::Function;
use leptos::prelude::*;
use serde_json::{Map, Value};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

use crate::api::Model;
use crate::ask::LOOK_MS;
use crate::browser::JsError;
use crate::exchange::Exchange;
use crate::limits::limits;
use crate::model;
use crate::state::State;

/// Who answers all prompts of a question, whatever the person chooses meanwhile.
pub struct Answerer {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// What pages are drawn by for it, unless the person wants the official style.
    style: Option<Map<String, Value>>,
    /// What it takes.
    pub limits: Limits,
}

/// Where an answer is made.
pub enum Place {
    /// A server.
    Server {
        /// Its address.
        base: String,
    },
    /// This tab.
    Tab {
        /// The model.
        model: Model,
        /// What it is.
        info: Arc<LoadedModel>,
    },
}

impl Answerer {
    /// Who answers by the settings of now; the model in this tab is loaded where it is not there.
    pub async fn find(state: State, exchange: Exchange) -> Result<Self, JsError> {
        if untrack(|| state.runner()) == Runner::Tab {
            let (model, info) = loaded(state, exchange).await?;
            return Ok(Self {
                name: info.name.clone(),
                style: info.style.clone(),
                limits: Limits {
                    context_tokens: Some(info.context_tokens),
                    most_pages: None,
                },
                place: Place::Tab { model, info },
            });
        }
        let settings = state.settings.get_untracked();
        let chosen = settings.server_model.as_deref();
        let name = state.server.with_untracked(|server| server.model(chosen));
        let not_ready = || JsError::Failed(state.words().server_not_ready.to_owned());
        let name = name.ok_or_else(not_ready)?;
        let limits = untrack(|| limits(state));
        started(state, exchange).await?;
        // Servers have no style; that of the built-in model is known.
        let built_in = state.built_in.get_untracked();
        let built_in = built_in.filter(|built_in| built_in.name == name);
        Ok(Self {
            style: built_in.map(|built_in| built_in.style.clone()),
            name,
            limits,
            place: Place::Server {
                base: settings.server_base(),
            },
        })
    }

    /// Whether the pages that are there are drawn in its style.
    pub fn has_its_pages(&self, state: State) -> bool {
        let base = state
            .settings
            .with_untracked(|settings| settings.style.base);
        let style = self.style.as_ref().filter(|_| base == StyleBase::Model);
        untrack(|| state.base_style()).as_ref() == style
    }
}

/// Waits for the files of the built-in model.
async fn started(state: State, exchange: Exchange) -> Result<(), JsError> {
    while state.is_starting.get_untracked() {
        if exchange.signal().is_some_and(|signal| signal.aborted()) {
            return Err(JsError::Aborted);
        }
        exchange.waiting(state.words().fetching_style.to_owned());
        TimeoutFuture::new(LOOK_MS).await;
    }
    Ok(())
}

/// The model in this tab, loaded where it is not there.
async fn loaded(state: State, exchange: Exchange) -> Result<(Model, Arc<LoadedModel>), JsError> {
    let words = state.words();
    exchange.waiting(words.waiting_model.to_owned());
    // Who stops an answer does not wait for the model either.
    let stop = Closure::<dyn FnMut()>::new(move || model::unload(state));
    let signal = exchange.signal();
    let on_abort = |stop: Option<&Function>| {
        if let Some(signal) = &signal {
            signal.set_onabort(stop);
        }
    };
    on_abort(Some(stop.as_ref().unchecked_ref()));
    let loaded = model::ready(state).await;
    on_abort(None);
    loaded.map_err(|error| {
        let reason = format!("{}{error}", words.model_failed);
        error.or(reason)
    })
}
