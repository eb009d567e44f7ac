//! The renderer in a worker of the page: text in, pages out one by one.

mod archive;
mod decode;
mod fonts;
mod render;

use std::cell::RefCell;

use glyph_web_core::messages::RenderRequest;
use glyph_worker::{Request, serve, text};

use crate::fonts::Fonts;

/// What requests share.
#[derive(Default)]
struct State {
    fonts: RefCell<Fonts>,
}

fn main() {
    serve(State::default(), handle);
}

async fn handle(state: &State, request: Request<RenderRequest>) -> Result<(), String> {
    let Request {
        body,
        message,
        reply,
    } = request;
    match body {
        RenderRequest::Render {
            style,
            overrides,
            rules,
            fonts,
        } => {
            let job = render::Job {
                text: text(&message).await?,
                style,
                overrides,
                rules,
                fonts,
                reply,
            };
            job.run(state).await
        }
        RenderRequest::Decode { most, encoding } => {
            decode::decode(&message, most, encoding.as_deref(), reply).await
        }
        RenderRequest::Zip => archive::zip(&message, reply).await,
    }
}
