//! How many tokens the text has for whoever would answer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::messages::LoadedModel;
use glyph_web_core::settings::{Runner, Settings};
use glyph_web_core::stage::TabDevice;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::browser::{self, JsError};
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

/// A text whose counting has ended a model's worker: it would end the next one too.
struct FatalText {
    text: Text,
    /// The model.
    info: Arc<LoadedModel>,
    /// What its worker has ended with.
    reason: String,
}

impl FatalText {
    /// Why a model does not count a text, where it is this one.
    fn refusal(&self, info: &LoadedModel, text: &Text) -> Option<String> {
        // Loaded again, it may run on another device or come from the cache.
        let is_model = self.info.name == info.name && self.info.bytes == info.bytes;
        (is_model && self.text == *text).then(|| self.reason.clone())
    }
}

fn counting(state: State, fatal: RwSignal<Option<FatalText>>, text: &Text) -> Counting {
    // The built-in model's tokens are bytes.
    if text.bytes == 0 || state.answering_built_in().is_some() {
        return Counting::AtOnce(TextTokens::Known(text.bytes));
    }
    let refused = |why| Counting::AtOnce(TextTokens::Refused(why));
    match state.runner() {
        Runner::Tab => match state.answering_loaded() {
            Some(info) => {
                let refusal = fatal.with(|fatal| fatal.as_ref()?.refusal(&info, text));
                match refusal {
                    Some(reason) => refused(Uncounted::Failed(reason)),
                    None => Counting::InTab(info),
                }
            }
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

async fn count(
    state: State,
    fatal: RwSignal<Option<FatalText>>,
    counting: Counting,
    text: &Text,
) -> TextTokens {
    let counted = match counting {
        Counting::AtOnce(tokens) => return tokens,
        Counting::InTab(_) => count_in_tab(state, fatal, text).await,
        Counting::ByServer { base, .. } => server::count_tokens(state, &base, text).await,
    };
    counted.map_or_else(TextTokens::Refused, TextTokens::Known)
}

/// Has the model in this tab count, and notes a text that has ended its worker.
async fn count_in_tab(
    state: State,
    fatal: RwSignal<Option<FatalText>>,
    text: &Text,
) -> Result<usize, Uncounted> {
    let TabModel::Ready { model, info } = state.model.get_untracked() else {
        return Err(Uncounted::NoModel);
    };
    // A worker may have ended while nobody waited for it: not by this text then.
    let was_closed = model.is_closed();
    let count = model.count_tokens(&text.source());
    let count = browser::awaited_of_worker::<usize>(count, state.words()).await;
    count.map_err(|error| {
        let is_fatal = !was_closed && model.is_closed() && error != JsError::Aborted;
        let reason = error.to_string();
        let failure = model::failure(state, &model, error);
        if is_fatal {
            // Counting is the CPU's work: WebGPU has not failed, also where an answer that ended with it
            // was taken for that.
            if info.device == TabDevice::Webgpu {
                state.webgpu_failure.set(None);
            }
            let text = text.clone();
            fatal.set(Some(FatalText { text, info, reason }));
        }
        Uncounted::Failed(failure.to_string())
    })
}

/// Counts the text's tokens by whoever would answer, whenever that or the text change.
pub fn follow(state: State) {
    let latest = Rc::new(Cell::new(0));
    let fatal = RwSignal::new(None::<FatalText>);
    // Other settings than those of who answers change nothing here.
    let inputs = Memo::new(move |_| {
        let text = state.text.get();
        let counting = counting(state, fatal, &text);
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
            let tokens = count(state, fatal, counting, &text).await;
            if latest.get() == id {
                state.text_tokens.set(tokens);
            }
        });
    });
}
