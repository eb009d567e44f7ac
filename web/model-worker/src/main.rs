//! The model in a worker of the page: a checkpoint in, answers out word by word.

mod answer;
mod cache;
mod device;
mod error;
mod files;
mod load;
mod reader;
mod source;
mod versions;

use std::cell::RefCell;
use std::rc::Rc;

use glyph_model::Checkpoint;
use glyph_web_core::messages::ModelRequest;
use glyph_worker::{Request, serve, text};

use crate::error::ModelFailure;

/// What requests share.
#[derive(Default)]
struct State {
    model: RefCell<Option<Rc<Checkpoint>>>,
}

impl State {
    fn model(&self) -> Result<Rc<Checkpoint>, ModelFailure> {
        let model = self.model.borrow().clone();
        model.ok_or(ModelFailure::NotLoaded)
    }
}

fn main() {
    serve(State::default(), handle);
}

async fn handle(state: &State, request: Request<ModelRequest>) -> Result<(), ModelFailure> {
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
            let source = source::Source::new(base, listing, &message)?;
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
        ModelRequest::CountTokens => {
            let model = state.model()?;
            let text = text(&message).await?;
            reply.still_wanted()?;
            let tokens = model.settings.encoder.tokenizer.encode(&text)?;
            reply.send("done", &tokens.len());
            Ok(())
        }
    }
}
