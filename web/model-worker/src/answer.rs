//! An answer about pages.

use glyph_model::generate::{FinishReason, Generation, GenerationEvent, generate};
use glyph_model::preprocess::RgbImage;
use glyph_model::prompt::Message;
use glyph_web_core::messages::AnswerSummary;
use glyph_web_core::stage::{AnswerStage, Finish};
use glyph_worker::{MessageError, Reply, array, now_ms, read_blob};
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::State;
use crate::error::ModelFailure;

/// What a request asks for.
pub struct Job {
    pub pages: Vec<Vec<u8>>,
    pub question: String,
    pub max_tokens: Option<usize>,
    pub temperature: Option<f32>,
    pub seed: Option<u64>,
    pub reply: Reply,
}

#[derive(Debug, Serialize)]
struct Piece<'a> {
    text: &'a str,
    tokens: usize,
}

#[derive(Debug, Serialize)]
struct Progress {
    stage: AnswerStage,
    done: usize,
    of: usize,
}

/// The picture files of a message.
pub async fn pages(message: &JsValue) -> Result<Vec<Vec<u8>>, MessageError> {
    const OPTION: &str = "pages";
    let mut pages = Vec::new();
    for blob in array(message, OPTION)?.iter() {
        pages.push(read_blob(blob, OPTION).await?);
    }
    Ok(pages)
}

impl Job {
    pub async fn run(self, state: &State) -> Result<AnswerSummary, ModelFailure> {
        let start_ms = now_ms();
        let checkpoint = state.model()?;
        let settings = &checkpoint.settings;
        let images = self.pages.iter().map(|page| RgbImage::decode(page));
        let images = images.collect::<glyph_model::Result<Vec<_>>>()?;
        let images = settings.preprocess(&images)?;
        let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
        let message = Message::pages_and_question(images.len(), &self.question);
        let prompt = settings.encoder.encode(&[message], &grids)?;

        let mut options = Generation::from_checkpoint(&checkpoint);
        let context_tokens = settings.config.text_config.max_position_embeddings;
        let left = context_tokens.saturating_sub(prompt.ids.len());
        let wanted = self.max_tokens.unwrap_or(options.max_new_tokens);
        // An answer that can have one token can have fewer than were wanted.
        options.max_new_tokens = if left > 0 { wanted.min(left) } else { wanted };
        options.sampling.seed = self.seed;
        if let Some(temperature) = self.temperature {
            options.sampling.temperature = temperature;
        }

        let mut first_token_ms = None;
        let mut tokens = 0;
        let generated = generate(&checkpoint, &prompt, &images, &options, |event| {
            let progress = match event {
                GenerationEvent::Encoded { images, of } => Some((AnswerStage::Encode, images, of)),
                GenerationEvent::Prefilled { positions, of } => {
                    Some((AnswerStage::Prefill, positions, of))
                }
                GenerationEvent::Token(step) => {
                    tokens += 1;
                    first_token_ms.get_or_insert_with(now_ms);
                    let text = &step.text;
                    self.reply.send("token", &Piece { text, tokens });
                    None
                }
            };
            if let Some((stage, done, of)) = progress {
                self.reply.send("progress", &Progress { stage, done, of });
            }
            !self.reply.is_cancelled()
        });
        let generated = generated.await?;
        let end_ms = now_ms();
        let first_token_ms = first_token_ms.unwrap_or(end_ms);
        Ok(AnswerSummary {
            text: generated.text,
            finish_reason: match generated.finish_reason {
                FinishReason::Stop => Finish::Stop,
                FinishReason::Length => Finish::Length,
                FinishReason::Cancelled => Finish::Cancelled,
            },
            prompt_tokens: prompt.ids.len(),
            image_tokens: prompt.n_image_tokens(),
            answer_tokens: generated.ids.len(),
            first_token_s: (first_token_ms - start_ms) / 1000.0,
            decode_s: (end_ms - first_token_ms) / 1000.0,
        })
    }
}
