//! `glyph ask`: a question about a text and images.

use std::io::{self, IsTerminal};
use std::time::Instant;

use glyph_device::dtype_name;
use glyph_model::preprocess::{ImagePatches, PatchGrid};
use glyph_model::prompt::{Message, Prompt};

use crate::args::AskArgs;
use crate::ask_report::{AskReport, TextFigures};
use crate::budget::{AllPages, Budget, Overflow};
use crate::device::Target;
use crate::document::{PageImage, Pages, Source};
use crate::error::CliError;
use crate::generation::{AnswerFigures, AnswerSettings, Stream, answer};
use crate::model::Model;
use crate::page_directory::PageDirectory;
use crate::report::{RenderNotes, count_pages, timed};
use crate::request_memory::RequestSize;
use crate::{output, progress, style};

/// Longest answer unless the command line says otherwise.
const DEFAULT_ANSWER_TOKENS: usize = 1024;

const OVERFLOW_ADVICE: &str = "Ask about a part of the text, choose a --style with a smaller font or \
     a lower dpi, or transcribe page by page with glyph read";

const NO_PAGES: &str = "no --text and no --image: the question is asked without pages";

/// Runs the command.
pub fn run(args: &AskArgs) -> Result<(), CliError> {
    if args.question.trim().is_empty() {
        let message = "the question is empty. Give it in quotes, as the last argument";
        return Err(CliError::Usage(message.to_owned()));
    }
    let start = Instant::now();
    let target = Target::open(args.model.device, args.model.dtype)?;
    let model = Model::open(args.model.model.as_deref())?;
    let settings = AnswerSettings::new(&args.sampling, &model.settings.generation)?;
    let source = Source::read(&args.source)?;
    let budget = Budget::new(&model, ("the question", &args.question), args.max_tokens)?;

    let request = Request {
        model: &model,
        budget: &budget,
        question: &args.question,
    };
    let document = request.document(&source, args)?;
    let (prompt, max_new_tokens) = request.prompt(&document)?;
    progress::spinner("counting the text's tokens");
    let text = source.text.as_deref();
    let text_figures = text
        .map(|text| TextFigures::new(&model, text, document.text_vision_tokens))
        .transpose()?;
    progress::clear();
    document
        .image_notes
        .iter()
        .for_each(|note| output::note(note));
    document.notes.print();
    let asked = [text.unwrap_or_default(), &args.question];
    if let Some(note) = model.files.unread_note(&asked) {
        output::note(&note);
    }
    if let Some(note) = model.files.many_pages_note(document.patches.len()) {
        output::note(&note);
    }
    if document.patches.is_empty() {
        output::note(NO_PAGES);
        if !io::stdin().is_terminal() {
            output::note(
                "standard input is not read. To ask about what stands there, give --text -",
            );
        }
    }

    let model_name = model.files.name();
    let mut load_s = 0.0;
    let size = RequestSize::new(&prompt, max_new_tokens);
    let (checkpoint, _) = timed(&mut load_s, || {
        target.guarded(|| model.load(&target, &args.model, size))
    })?;
    let stream = if args.json {
        Stream::None
    } else {
        Stream::Stdout
    };
    let doing = format!("reading {} vision tokens", document.vision_tokens);
    let length = (max_new_tokens, stream);
    let (generated, said) = target.guarded(|| {
        answer(
            &checkpoint,
            &prompt,
            &document.patches,
            &settings,
            length,
            &doing,
        )
    })?;

    let report = AskReport {
        answer: &said.content,
        reasoning: (!said.reasoning.is_empty()).then_some(said.reasoning.as_str()),
        model: model_name,
        device: target.device.name,
        dtype: dtype_name(checkpoint.dtype),
        kv_cache: checkpoint.kv_precision.name(),
        quantization: checkpoint.quantization,
        pages: document.patches.len(),
        vision_tokens: document.vision_tokens,
        text: text_figures,
        load_s,
        render_s: document.render_s,
        preprocess_s: document.preprocess_s,
        figures: AnswerFigures::new(&prompt, &generated),
        total_s: start.elapsed().as_secs_f64(),
        notes: document.notes,
    };
    if args.json {
        return output::json(&report);
    }
    output::note_to_person(&report.summary());
    Ok(())
}

/// Pages as the model takes them.
struct Document {
    patches: Vec<ImagePatches>,
    /// Vision tokens of all pages.
    vision_tokens: usize,
    /// Vision tokens of the pages that were rendered.
    text_vision_tokens: usize,
    render_s: f64,
    preprocess_s: f64,
    /// What to say of images that take long or are no pages of the model's.
    image_notes: Vec<String>,
    notes: RenderNotes,
}

/// What is asked of which model.
struct Request<'a> {
    model: &'a Model,
    budget: &'a Budget,
    question: &'a str,
}

impl Request<'_> {
    /// Draws and cuts every page; stops at the first that does not fit.
    fn document(&self, source: &Source, args: &AskArgs) -> Result<Document, CliError> {
        let n_images = source.images.len();
        let text = source.text.as_deref();
        let renderer = text
            .map(|text| {
                style::renderer_to_read(args.source.style.as_deref(), &self.model.files, text)
            })
            .transpose()?;
        let rendered = renderer.as_ref().zip(text);
        let directory = args
            .save_pages
            .as_deref()
            .map(PageDirectory::create)
            .transpose()?;
        progress::spinner("rendering");
        let mut pages = Pages::new(&source.images, rendered, directory.is_some());
        // Pages of a text that does not fit are not to lie among those of another.
        let mut to_save = Vec::new();
        let mut document = Document {
            patches: Vec::new(),
            vision_tokens: 0,
            text_vision_tokens: 0,
            render_s: 0.0,
            preprocess_s: 0.0,
            image_notes: Vec::new(),
            notes: RenderNotes::default(),
        };
        for page in &mut pages {
            let page = page?;
            if !self.add_page(&mut document, &page)? {
                let counted =
                    rendered.map_or(Ok(0), |(renderer, text)| count_pages(renderer, text));
                let n_seen = document.patches.len() + 1;
                return Err(self.budget.overflow(Overflow {
                    pages: n_seen,
                    vision_tokens: document.vision_tokens,
                    all_pages: match counted {
                        Ok(n_rendered) => AllPages::Exactly(n_images + n_rendered),
                        Err(n_counted) => AllPages::MoreThan(n_seen.max(n_images + n_counted)),
                    },
                    advice: OVERFLOW_ADVICE,
                }));
            }
            to_save.extend(page.png);
        }
        progress::clear();
        if let Some(directory) = &directory {
            directory.check(to_save.len())?;
            for (number, png) in (1..).zip(&to_save) {
                directory.write(number, png)?;
            }
            directory.remove_after(to_save.len())?;
        }
        document.render_s = pages.render_s;
        document.notes = pages.notes();
        Ok(document)
    }

    /// Counts a page and cuts it if it fits; false when it does not.
    fn add_page(&self, document: &mut Document, page: &PageImage) -> Result<bool, CliError> {
        let preprocessor = &self.model.settings.preprocessor;
        let grid: PatchGrid = page.grid(preprocessor)?;
        let n_tokens = grid.n_tokens(preprocessor.merge_size);
        document.vision_tokens += n_tokens;
        if page.is_rendered {
            document.text_vision_tokens += n_tokens;
        }
        let n_pages = document.patches.len() + 1;
        if !self.budget.holds(n_pages, document.vision_tokens) {
            return Ok(false);
        }
        let notes = page.notes(&self.model.files, preprocessor)?;
        document.image_notes.extend(notes);
        let patches = timed(&mut document.preprocess_s, || page.patches(preprocessor))?;
        document.patches.push(patches);
        Ok(true)
    }

    /// The prompt, and how long the answer may be.
    fn prompt(&self, document: &Document) -> Result<(Prompt, usize), CliError> {
        let n_pages = document.patches.len();
        let grids: Vec<PatchGrid> = document.patches.iter().map(|image| image.grid).collect();
        let message = Message::pages_and_question(n_pages, self.question);
        let prompt = self.model.settings.encoder.encode(&[message], &grids);
        let prompt = prompt.map_err(|error| self.model.files.prompt_error(error))?;
        let answer_tokens = self
            .budget
            .answer_tokens(prompt.ids.len(), DEFAULT_ANSWER_TOKENS);
        match answer_tokens {
            Some(max_new_tokens) => Ok((prompt, max_new_tokens)),
            None => Err(self.budget.overflow(Overflow {
                pages: n_pages,
                vision_tokens: document.vision_tokens,
                all_pages: AllPages::Exactly(n_pages),
                advice: OVERFLOW_ADVICE,
            })),
        }
    }
}
