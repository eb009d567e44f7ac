//! The model in a worker of the page: a checkpoint in, answers out word by word.

mod answer;
mod device;
mod error;
mod files;
mod load;

use std::cell::RefCell;
use std::rc::Rc;

use glyph_model::Checkpoint;
use glyph_web_core::messages::ModelRequest;
use glyph_worker::{Request, WorkerError, serve, text};

/// What requests share.
#[derive(Default)]
struct State {
    model: RefCell<Option<Rc<Checkpoint>>>,
}

impl State {
    fn model(&self) -> Result<Rc<Checkpoint>, String> {
        let model = self.model.borrow().clone();
        model.ok_or_else(|| "no model is loaded yet".to_owned())
    }
}

fn main() {
    serve(State::default(), handle);
}

async fn handle(state: &State, request: Request<ModelRequest>) -> Result<(), WorkerError> {
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
        ModelRequest::CountTokens => {
            let model = state.model()?;
            let text = text(&message).await?;
            let tokens = model.settings.encoder.tokenizer.encode(&text);
            let tokens = tokens.map_err(error::described)?;
            reply.send("done", &tokens.len());
            Ok(())
        }
    }
}
