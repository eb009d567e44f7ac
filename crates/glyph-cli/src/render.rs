//! `glyph render`: a text's pages as PNG files.

use serde::Serialize;

use crate::args::RenderArgs;
use crate::ask_report::TextFigures;
use crate::document::patch_grid;
use crate::error::CliError;
use crate::model::Model;
use crate::page_directory::PageDirectory;
use crate::report::{RenderNotes, count_of_pages, count_pages, timed};
use crate::{output, progress, style, text_input};

/// The object that `glyph render --json` prints.
#[derive(Debug, Serialize)]
struct RenderOutput {
    pages: Vec<PageFile>,
    /// Model whose style and token counts these are.
    model: String,
    vision_tokens: usize,
    #[serde(flatten)]
    text: TextFigures,
    render_s: f64,
    #[serde(flatten)]
    notes: RenderNotes,
}

/// One page.
#[derive(Debug, Serialize)]
struct PageFile {
    file: String,
    width_px: u32,
    height_px: u32,
    vision_tokens: usize,
}

/// Runs the command.
pub fn run(args: &RenderArgs) -> Result<(), CliError> {
    let model = Model::open(args.model.as_deref())?;
    let preprocessor = &model.settings.preprocessor;
    let text = text_input::read(&args.text)?;
    let renderer = style::renderer(args.style.as_deref(), &model.files, &text)?;
    let directory = PageDirectory::create(&args.out)?;
    progress::spinner("laying out");
    let counted = count_pages(&renderer, &text);
    directory.check(counted.unwrap_or_else(|n_counted| n_counted))?;
    let bar = match counted {
        Ok(n_pages) => progress::bar(n_pages, "rendering"),
        Err(_) => progress::spinner("rendering"),
    };

    let mut render_s = 0.0;
    let mut pages = renderer.png_pages_parallel(&text);
    let mut files = Vec::new();
    while let Some(page) = timed(&mut render_s, || pages.next()) {
        let number = files.len() + 1;
        let page = page.map_err(|error| CliError::Encode {
            page: number,
            reason: error.to_string(),
        })?;
        let path = directory.write(number, &page.png)?;
        let size_px = [page.width_px as usize, page.height_px as usize];
        let grid = patch_grid(&format!("page {number}"), size_px, preprocessor)?;
        files.push(PageFile {
            file: path.display().to_string(),
            width_px: page.width_px,
            height_px: page.height_px,
            vision_tokens: grid.n_tokens(preprocessor.merge_size),
        });
        bar.inc(1);
    }
    progress::clear();
    directory.remove_after(files.len())?;

    progress::spinner("counting the text's tokens");
    let vision_tokens = files.iter().map(|page| page.vision_tokens).sum();
    let rendered = RenderOutput {
        pages: files,
        model: model.files.name(),
        vision_tokens,
        text: TextFigures::new(&model, &text, vision_tokens)?,
        render_s,
        notes: RenderNotes::new(pages.report()),
    };
    progress::clear();
    rendered.notes.print();
    if args.json {
        output::json(&rendered)
    } else {
        output::line(&rendered.summary(args))
    }
}

impl RenderOutput {
    /// One line for a person.
    fn summary(&self, args: &RenderArgs) -> String {
        let Self {
            pages,
            vision_tokens,
            render_s,
            ..
        } = self;
        let characters = self.text.text_characters.unwrap_or_default();
        format!(
            "{} in {} · {characters} characters · {vision_tokens} vision tokens · {render_s:.2} s",
            count_of_pages(pages.len()),
            args.out.display(),
        )
    }
}
