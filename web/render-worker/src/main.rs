//! The renderer in a worker of the page: text in, pages out one by one.

mod archive;
mod decode;
mod fonts;
mod render;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use glyph_web_core::messages::RenderRequest;
use glyph_worker::{Request, listen};
use wasm_bindgen_futures::spawn_local;

use crate::fonts::Fonts;

/// What requests share.
#[derive(Default)]
struct State {
    fonts: RefCell<Fonts>,
    /// The request that is to end.
    cancelled: Cell<Option<u32>>,
}

fn main() {
    let state = Rc::new(State::default());
    listen(move |request: Request<RenderRequest>| {
        let state = Rc::clone(&state);
        spawn_local(async move {
            let reply = request.reply;
            if let Err(message) = handle(&state, request).await {
                reply.error(&message);
            }
        });
    });
}

async fn handle(state: &State, request: Request<RenderRequest>) -> Result<(), String> {
    let Request {
        body,
        message,
        reply,
    } = request;
    match body {
        RenderRequest::Render {
            text,
            style,
            overrides,
            rules,
            fonts,
        } => {
            let job = render::Job {
                text,
                style,
                overrides,
                rules,
                fonts,
                reply,
            };
            job.run(state).await
        }
        RenderRequest::Decode => {
            reply.send("done", &decode::decode(&message)?);
            Ok(())
        }
        RenderRequest::Zip => archive::zip(&message, reply).await,
        RenderRequest::Cancel { request } => {
            state.cancelled.set(Some(request));
            Ok(())
        }
    }
}
