//! The renderer in a worker of the page: text in, pages out one by one.

mod archive;
mod decode;
mod error;
mod fonts;
mod render;

use glyph_web_core::messages::RenderRequest;
use glyph_worker::{Request, serve, text};

use crate::error::RenderFailure;
use crate::fonts::Fonts;

fn main() {
    serve(Fonts::default(), handle);
}

/// The fonts are what requests share.
async fn handle(fonts: &Fonts, request: Request<RenderRequest>) -> Result<(), RenderFailure> {
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
            fonts: files,
        } => {
            let text = text(&message).await?;
            reply.still_wanted()?;
            let job = render::Job {
                text,
                style,
                overrides,
                rules,
                fonts: files,
                reply,
            };
            job.run(fonts).await
        }
        RenderRequest::Decode { most, encoding } => {
            decode::decode(&message, most, encoding.as_deref(), reply).await
        }
        RenderRequest::Zip => archive::zip(&message, reply).await,
    }
}
