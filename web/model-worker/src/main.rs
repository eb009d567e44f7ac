//! The model in a worker of the page: a checkpoint in, answers out word by word.

mod answer;
mod device;
mod files;
mod load;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use glyph_model::Checkpoint;
use glyph_web_core::messages::ModelRequest;
use glyph_worker::{Request, listen};
use wasm_bindgen_futures::spawn_local;

/// What requests share.
#[derive(Default)]
struct State {
    model: RefCell<Option<Rc<Checkpoint>>>,
    /// The request that is to end.
    cancelled: Cell<Option<u32>>,
}

impl State {
    fn model(&self) -> Result<Rc<Checkpoint>, String> {
        let model = self.model.borrow().clone();
        model.ok_or_else(|| "no model is loaded yet".to_owned())
    }

    fn is_cancelled(&self, request: u32) -> bool {
        self.cancelled.get() == Some(request)
    }
}

fn main() {
    let state = Rc::new(State::default());
    listen(move |request: Request<ModelRequest>| {
        let state = Rc::clone(&state);
        spawn_local(async move {
            let reply = request.reply;
            if let Err(message) = handle(&state, request).await {
                reply.error(&message);
            }
        });
    });
}

async fn handle(state: &State, request: Request<ModelRequest>) -> Result<(), String> {
    let Request {
        body,
        message,
        reply,
    } = request;
    match body {
        ModelRequest::Load {
            name,
            base,
            listing,
            device,
        } => {
            let source = files::Source::new(base, listing, &message)?;
            let (checkpoint, info) = load::load(source, name, device, reply).await?;
            *state.model.borrow_mut() = Some(Rc::new(checkpoint));
            reply.send("done", &info);
            Ok(())
        }
        ModelRequest::Ask {
            question,
            max_tokens,
            temperature,
            seed,
        } => {
            let pages = answer::pages(&message).await?;
            let job = answer::Job {
                pages,
                question,
                max_tokens,
                temperature,
                seed,
                reply,
            };
            reply.send("done", &job.run(state).await?);
            Ok(())
        }
        ModelRequest::CountTokens { text } => {
            let model = state.model()?;
            let tokens = model.settings.encoder.tokenizer.encode(&text);
            let tokens = tokens.map_err(|error| error.to_string())?;
            reply.send("done", &tokens.len());
            Ok(())
        }
        ModelRequest::Cancel { request } => {
            state.cancelled.set(Some(request));
            Ok(())
        }
    }
}
