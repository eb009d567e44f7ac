//! `glyph read`: every page transcribed, each by a prompt of its own.

use std::slice;
use std::time::Instant;

use glyph_device::dtype_name;
use glyph_model::Checkpoint;
use glyph_model::preprocess::PatchGrid;
use glyph_model::prompt::{Message, Prompt, PromptEncoder};
use glyph_model::quantize::Quantization;
use serde::Serialize;

use crate::args::ReadArgs;
use crate::budget::{AllPages, Budget, Overflow};
use crate::device::Target;
use crate::document::{PageImage, Pages, Source};
use crate::error::CliError;
use crate::generation::{AnswerFigures, AnswerSettings, Stream, answer};
use crate::model::{Model, ModelFiles};
use crate::report::{RenderNotes, count_pages, timed};
use crate::request_memory::{RequestMemory, RequestSize};
use crate::{output, progress, style};

/// Longest transcript of a page unless the command line says otherwise.
const DEFAULT_PAGE_TOKENS: usize = 8192;
/// The same by what the page can hold, so that a transcript that never ends is cut off before long: a vision token stands
/// for four characters or for as many tokens of text, and for a few times as many of fine print.
const TOKENS_PER_VISION_TOKEN: usize = 16;
/// What even a page of a few vision tokens may have: a model may think before it reads.
const LEAST_PAGE_TOKENS: usize = 1024;

const OVERFLOW_ADVICE: &str = "Choose a --style with smaller pages or a lower dpi";

/// The object that `glyph read --json` prints.
#[derive(Debug, Serialize)]
struct ReadReport {
    /// All transcripts, joined by newlines.
    text: String,
    model: String,
    device: String,
    dtype: &'static str,
    kv_cache: &'static str,
    /// How the decoder's weights are quantised.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<Quantization>,
    pages: Vec<PageReport>,
    vision_tokens: usize,
    answer_tokens: usize,
    load_s: f64,
    render_s: f64,
    total_s: f64,
    #[serde(flatten)]
    notes: RenderNotes,
}

/// One page of it.
#[derive(Debug, Serialize)]
struct PageReport {
    /// Path of the image, "page N" of the text.
    name: String,
    text: String,
    /// What the model thought before it, which is no part of the text.
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning: String,
    vision_tokens: usize,
    preprocess_s: f64,
    #[serde(flatten)]
    figures: AnswerFigures,
}

/// Runs the command.
pub fn run(args: &ReadArgs) -> Result<(), CliError> {
    if args.prompt.trim().is_empty() {
        let message = "the --prompt is empty. Leave it out for the usual one";
        return Err(CliError::Usage(message.to_owned()));
    }
    let start = Instant::now();
    let target = Target::open(args.model.device, args.model.dtype)?;
    let model = Model::open(args.model.model.as_deref())?;
    let settings = AnswerSettings::new(&args.sampling, &model.settings.generation)?;
    let source = Source::read(&args.source)?;
    if source.is_empty() {
        let message = "there is nothing to read. Give a text with --text or a picture with --image";
        return Err(CliError::Usage(message.to_owned()));
    }
    let n_images = source.images.len();
    let text = source.text.as_deref();
    let renderer = text
        .map(|text| style::renderer_to_read(args.source.style.as_deref(), &model.files, text))
        .transpose()?;
    if let Some(note) = model.files.unread_note(&[text.unwrap_or_default()]) {
        output::note(&note);
    }
    let rendered = renderer.as_ref().zip(text);
    progress::spinner("laying out");
    let counted = rendered.map_or(Ok(0), |(renderer, text)| count_pages(renderer, text));
    let n_pages = counted.ok().map(|n_rendered| n_images + n_rendered);

    let mut pages = Pages::new(&source.images, rendered, false);
    let first = pages.next().transpose()?;
    let budget = Budget::new(&model, ("the --prompt", &args.prompt), args.max_tokens)?;
    let stream = if args.json {
        Stream::None
    } else {
        Stream::Stdout
    };
    let reader = Reader {
        target: &target,
        files: model.files.clone(),
        budget,
        settings,
        prompt: &args.prompt,
        n_pages,
        stream,
    };
    // The first page shows whether pages fit at all, before the weights are read.
    let mut size = RequestSize::default();
    if let Some(first) = &first {
        let (prompt, max_new_tokens) = reader.prompt(
            first.grid(&model.settings.preprocessor)?,
            &model.settings.encoder,
        )?;
        size = RequestSize::new(&prompt, max_new_tokens);
    }
    let model_name = model.files.name();
    let mut load_s = 0.0;
    let (checkpoint, memory) = timed(&mut load_s, || {
        target.guarded(|| model.load(&target, &args.model, size))
    })?;

    let mut reports = Vec::new();
    for page in first.into_iter().map(Ok).chain(&mut pages) {
        let place = (&checkpoint, &memory);
        reports.push(reader.read(place, page?, reports.len() + 1)?);
    }
    let notes = pages.notes();
    notes.print();
    if !args.json {
        return Ok(());
    }
    output::json(&ReadReport {
        text: reports
            .iter()
            .map(|page| page.text.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        model: model_name,
        device: target.device.name,
        dtype: dtype_name(checkpoint.dtype),
        kv_cache: checkpoint.kv_precision.name(),
        quantization: checkpoint.quantization,
        vision_tokens: reports.iter().map(|page| page.vision_tokens).sum(),
        answer_tokens: reports.iter().map(|page| page.figures.answer_tokens).sum(),
        pages: reports,
        load_s,
        render_s: pages.render_s,
        total_s: start.elapsed().as_secs_f64(),
        notes,
    })
}

/// What is the same for every page.
struct Reader<'a> {
    target: &'a Target,
    files: ModelFiles,
    budget: Budget,
    settings: AnswerSettings,
    prompt: &'a str,
    /// None where the text is too long to count them first.
    n_pages: Option<usize>,
    stream: Stream,
}

impl Reader<'_> {
    /// The prompt for a page, and how long the transcript may be.
    fn prompt(
        &self,
        grid: PatchGrid,
        encoder: &PromptEncoder,
    ) -> Result<(Prompt, usize), CliError> {
        let message = Message::pages_and_question(1, self.prompt);
        let prompt = encoder
            .encode(&[message], &[grid])
            .map_err(|error| self.files.prompt_error(error))?;
        let by_page = prompt.n_image_tokens() * TOKENS_PER_VISION_TOKEN + LEAST_PAGE_TOKENS;
        let default_tokens = by_page.min(DEFAULT_PAGE_TOKENS);
        match self.budget.answer_tokens(prompt.ids.len(), default_tokens) {
            Some(max_new_tokens) => Ok((prompt, max_new_tokens)),
            None => Err(self.budget.overflow(Overflow {
                pages: 1,
                vision_tokens: prompt.n_image_tokens(),
                all_pages: AllPages::Exactly(1),
                advice: OVERFLOW_ADVICE,
            })),
        }
    }

    fn read(
        &self,
        (checkpoint, memory): (&Checkpoint, &RequestMemory),
        page: PageImage,
        number: usize,
    ) -> Result<PageReport, CliError> {
        let preprocessor = &checkpoint.settings.preprocessor;
        page.notes(&self.files, preprocessor)?
            .iter()
            .for_each(|note| output::note(note));
        let grid = page.grid(preprocessor)?;
        let (prompt, max_new_tokens) = self.prompt(grid, &checkpoint.settings.encoder)?;
        // Pictures may be of many sizes, and the first was not the largest.
        memory.check(RequestSize::new(&prompt, max_new_tokens))?;
        let mut preprocess_s = 0.0;
        let patches = timed(&mut preprocess_s, || page.patches(preprocessor))?;
        let name = page.name.clone();
        // Its pixels are not held while the model runs.
        drop(page);
        let of_all = self.n_pages.map(|n_pages| format!(" of {n_pages}"));
        let doing = format!("reading page {number}{}", of_all.unwrap_or_default());
        let length = (max_new_tokens, self.stream);
        let images = slice::from_ref(&patches);
        let (generated, said) = self
            .target
            .guarded(|| answer(checkpoint, &prompt, images, &self.settings, length, &doing))?;
        Ok(PageReport {
            name,
            vision_tokens: prompt.n_image_tokens(),
            preprocess_s,
            figures: AnswerFigures::new(&prompt, &generated),
            text: said.content,
            reasoning: said.reasoning,
        })
    }
}
