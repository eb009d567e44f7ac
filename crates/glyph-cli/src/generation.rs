//! From the command line's settings to a streamed answer.

use std::io::{self, IsTerminal};

use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::config::GenerationConfig;
use glyph_model::generate::{
    FinishReason, Generated, Generation, GenerationEvent, SamplingParams, SplitAnswer,
    ThinkSplitter, generate,
};
use glyph_model::preprocess::ImagePatches;
use glyph_model::prompt::Prompt;
use serde::Serialize;

use crate::args::SamplingArgs;
use crate::error::CliError;
use crate::report::ratio;
use crate::{output, progress};

/// How answers are generated.
#[derive(Debug, Clone)]
pub struct AnswerSettings {
    sampling: SamplingParams,
    stop: Vec<String>,
}

impl AnswerSettings {
    /// The model's settings with those of the command line over them, all checked.
    pub fn new(args: &SamplingArgs, config: &GenerationConfig) -> Result<Self, CliError> {
        let mut sampling = SamplingParams::from_config(config);
        sampling.temperature = args.temperature.unwrap_or(sampling.temperature);
        sampling.top_p = args.top_p.unwrap_or(sampling.top_p);
        sampling.top_k = args.top_k.unwrap_or(sampling.top_k);
        sampling.repetition_penalty = args
            .repetition_penalty
            .unwrap_or(sampling.repetition_penalty);
        sampling.seed = args.seed;
        sampling.check().map_err(CliError::from_run)?;
        Ok(Self {
            sampling,
            stop: args.stop.clone(),
        })
    }
}

/// Who sees the answer while it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Nobody.
    None,
}

/// Answers a prompt; a streamed answer ends with a newline, and what the model thinks before it is not streamed.
/// `doing` is shown where the answer is not.
pub fn answer(
    checkpoint: &Checkpoint,
    prompt: &Prompt,
    images: &[ImagePatches],
    settings: &AnswerSettings,
    (max_new_tokens, stream): (usize, Stream),
    doing: &str,
) -> Result<(Generated, SplitAnswer), CliError> {
    let mut generation = Generation::from_checkpoint(checkpoint);
    generation.sampling = settings.sampling.clone();
    generation.stop.stop_strings.clone_from(&settings.stop);
    generation.max_new_tokens = max_new_tokens;

    // Where the answer itself is seen, nothing else is drawn once it begins.
    let is_seen = stream == Stream::Stdout && io::stdout().is_terminal();
    let spinner = progress::spinner(doing);
    let mut n_tokens = 0_usize;
    let mut splitter = ThinkSplitter::new();
    let mut said = SplitAnswer::default();
    let mut written = Ok(());
    let on_event = |event: GenerationEvent<'_>| {
        let step = match event {
            GenerationEvent::Encoded { images, of } => {
                spinner.set_message(format!("{doing}: {images} of {of} pages seen"));
                return true;
            }
            GenerationEvent::Prefilled { positions, of } => {
                spinner.set_message(format!("{doing}: {positions} of {of} tokens read"));
                return true;
            }
            GenerationEvent::Token(step) => step,
        };
        n_tokens += 1;
        let piece = splitter.push(&step.text);
        said.push(&piece);
        if is_seen && !piece.content.is_empty() {
            progress::clear();
        } else if !is_seen || said.content.is_empty() {
            spinner.set_message(format!("{doing}: {n_tokens} tokens"));
        }
        if stream == Stream::Stdout {
            written = output::text(&piece.content);
            progress::wrote_answer(&piece.content);
        }
        written.is_ok()
    };
    let generated = block_on(generate(checkpoint, prompt, images, &generation, on_event));
    progress::clear();
    written?;
    let generated = generated.map_err(CliError::from_run)?;
    let rest = splitter.finish();
    said.push(&rest);
    if stream == Stream::Stdout {
        output::line(&rest.content)?;
        progress::wrote_answer("\n");
    }
    if said.content.is_empty() && !said.reasoning.is_empty() {
        output::note(&no_answer(&generated, max_new_tokens));
    } else if generated.finish_reason == FinishReason::Length {
        output::note(&format!(
            "note: cut off after {max_new_tokens} tokens ({doing}). Allow it more --max-tokens"
        ));
    }
    Ok((generated, said))
}

/// Why there is a thought and no answer.
fn no_answer(generated: &Generated, max_new_tokens: usize) -> String {
    match generated.finish_reason {
        FinishReason::Length => format!(
            "no answer: the model was still thinking after {max_new_tokens} tokens. Allow it more --max-tokens"
        ),
        _ => "no answer: the model thought, and ended or met a --stop before it answered. --json has what it thought as \
              `reasoning`"
            .to_owned(),
    }
}

/// Token counts and times of an answer, as JSON has them.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerFigures {
    /// `stop`, or `length` when `--max-tokens` ended it.
    pub finish_reason: &'static str,
    /// Tokens of the prompt, pages and text.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// Seconds in the vision tower.
    pub encode_s: f64,
    /// Seconds in the decoder over the prompt.
    pub prefill_s: f64,
    /// Seconds in the decoder over the answer.
    pub decode_s: f64,
    /// Prompt tokens per second of prefill.
    pub prefill_tokens_per_s: Option<f64>,
    /// Answer tokens per second of decoding; the first comes with the prefill.
    pub decode_tokens_per_s: Option<f64>,
}

impl AnswerFigures {
    /// Of a finished answer.
    pub fn new(prompt: &Prompt, generated: &Generated) -> Self {
        let times = generated.times;
        let (prompt_tokens, answer_tokens) = (prompt.ids.len(), generated.ids.len());
        let decoded = answer_tokens.saturating_sub(1);
        Self {
            finish_reason: match generated.finish_reason {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Cancelled => "cancelled",
            },
            prompt_tokens,
            answer_tokens,
            encode_s: times.encode_s,
            prefill_s: times.prefill_s,
            decode_s: times.decode_s,
            prefill_tokens_per_s: ratio(prompt_tokens as f64, times.prefill_s),
            decode_tokens_per_s: ratio(decoded as f64, times.decode_s).filter(|_| decoded > 0),
        }
    }

    /// The times, for a person.
    pub fn summary(&self) -> String {
        let Self {
            encode_s,
            prefill_s,
            answer_tokens,
            ..
        } = self;
        let mut line = format!("encode {encode_s:.2} s · prefill {prefill_s:.2} s");
        if let Some(rate) = self.decode_tokens_per_s {
            line.push_str(&format!(" · {answer_tokens} tokens, {rate:.1} per second"));
        }
        line
    }
}
