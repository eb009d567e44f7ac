//! How many tokens the text has for whoever would answer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::messages::LoadedModel;
use glyph_web_core::settings::{Runner, Settings};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::browser;
use crate::model::{self, TabModel};
use crate::server;
use crate::state::{State, TextTokens, Uncounted};
use crate::text::Text;

/// How long the text must rest before its tokens are counted.
const PATIENCE_MS: u32 = 500;

/// How the tokens of the text are found out.
#[derive(Debug, Clone, PartialEq)]
enum Counting {
    /// Nobody is asked.
    AtOnce(TextTokens),
    /// The model in this tab is asked.
    InTab(Arc<LoadedModel>),
    /// The server at an address is asked, which answers by this model.
    ByServer { base: String, model: String },
}

fn counting(state: State, text: &Text) -> Counting {
    // The built-in model's tokens are bytes.
    if text.bytes == 0 || state.answering_built_in().is_some() {
        return Counting::AtOnce(TextTokens::Known(text.bytes));
    }
    let refused = |why| Counting::AtOnce(TextTokens::Refused(why));
    match state.runner() {
        Runner::Tab => match state.answering_loaded() {
            Some(info) => Counting::InTab(info),
            None => refused(Uncounted::NoModel),
        },
        Runner::Server => {
            let base = state.settings.with(Settings::server_base);
            let model = state.model_name();
            if model.is_empty() {
                refused(Uncounted::NoServer)
            } else if server::may_count(&base) {
                Counting::ByServer { base, model }
            } else {
                refused(Uncounted::NoRoute)
            }
        }
    }
}

async fn count(state: State, counting: Counting, text: &Text) -> TextTokens {
    let counted = match counting {
        Counting::AtOnce(tokens) => return tokens,
        Counting::InTab(_) => match state.model.get_untracked() {
            TabModel::Ready { model, .. } => {
                let count = model.count_tokens(&text.source());
                let count = browser::awaited_of_worker::<usize>(count, state.words()).await;
                count.map_err(|error| {
                    Uncounted::Failed(model::failure(state, &model, error).to_string())
                })
            }
            _ => Err(Uncounted::NoModel),
        },
        Counting::ByServer { base, .. } => server::count_tokens(state, &base, text).await,
    };
    counted.map_or_else(TextTokens::Refused, TextTokens::Known)
}

/// Counts the text's tokens by whoever would answer, whenever that or the text change.
pub fn follow(state: State) {
    let latest = Rc::new(Cell::new(0));
    // Other settings than those of who answers change nothing here.
    let inputs = Memo::new(move |_| {
        let text = state.text.get();
        let counting = counting(state, &text);
        (text, counting)
    });
    Effect::new(move || {
        let (text, counting) = inputs.get();
        let latest = Rc::clone(&latest);
        let id = latest.get() + 1;
        latest.set(id);
        if let Counting::AtOnce(tokens) = counting {
            state.text_tokens.set(tokens);
            return;
        }
        state.text_tokens.set(TextTokens::Unknown);
        spawn_local(async move {
            // While the text is typed, nobody is asked for every letter.
            TimeoutFuture::new(PATIENCE_MS).await;
            if latest.get() != id {
                return;
            }
            let tokens = count(state, counting, &text).await;
            if latest.get() == id {
                state.text_tokens.set(tokens);
            }
        });
    });
}
