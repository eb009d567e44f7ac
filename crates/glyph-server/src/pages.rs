//! POST /v1/pages: a text's pages, as the model would see them.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use glyph_engine::EngineError;
use glyph_model::checkpoint::CheckpointSettings;
use glyph_model::preprocess::{PatchGrid, smart_resize};
use glyph_render::Renderer;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::auth::Caller;
use crate::body::JsonBody;
use crate::drawing::Drawing;
use crate::error::{ApiError, ApiErrors, Code};
use crate::fields::{Fields, shown};
use crate::images::{PixelHold, n_pixels};
use crate::state::AppState;
use crate::style_schema::StyleKeys;

/// Name of the figures within the archive.
const FIGURES_NAME: &str = "pages.json";

/// A text to draw. Fields that are not named here are passed over.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct PagesRequest {
    /// The text.
    #[schema(min_length = 1, pattern = r"\S")]
    pub text: String,
    /// How it is rendered; as the model's own style says, or else the official one, when it is missing.
    pub style: Option<StyleKeys>,
    /// How the pages are sent; `png` when it is missing.
    pub format: Option<PagesFormat>,
}

/// How pages are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PagesFormat {
    /// As base64 in one JSON object.
    #[default]
    Png,
    /// As an archive of PNG files, with the figures in `pages.json`.
    Zip,
}

/// A text's pages.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PagesAnswer {
    /// The pages in order.
    pages: Vec<PageObject>,
    /// Vision tokens of all pages.
    vision_tokens: usize,
    /// Tokens of the text by the model's tokenizer.
    text_tokens: usize,
    /// Text tokens per vision token.
    compression_ratio: f64,
    /// Characters that were laid out.
    characters: u64,
    /// Characters that no font has, each with how often it was drawn as a box.
    missing_characters: BTreeMap<String, u64>,
    /// Fonts that stand in for the one that the style names.
    font_substitutions: BTreeMap<String, String>,
    /// Seconds that drawing took.
    render_s: f64,
}

/// A page.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PageObject {
    /// Its number, from 0.
    index: usize,
    /// Width.
    width_px: u32,
    /// Height.
    height_px: u32,
    /// Tokens that the model takes for it.
    vision_tokens: usize,
    /// The PNG file as base64, or its name in the archive.
    #[serde(flatten)]
    file: PageFile,
}

/// Where a page's file is.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PageFile {
    /// The PNG file as base64.
    Png(String),
    /// Its name in the archive.
    File(String),
}

/// An archive of PNG files, with the figures in `pages.json`: bytes, for which a schema has no type.
#[derive(Debug, ToSchema)]
#[schema(value_type = Value)]
pub struct PagesArchive(Vec<u8>);

/// Draws a text's pages and says what they take.
#[utoipa::path(
    post,
    path = "/v1/pages",
    tag = "Documents",
    request_body = PagesRequest,
    responses(
        (status = 200, description = "The pages", content(
            (PagesAnswer = "application/json"),
            (PagesArchive = "application/zip"),
        )),
        ApiErrors,
    ),
    security((), ("api_key" = [])),
)]
pub async fn draw(
    State(state): State<AppState>,
    Caller(caller): Caller,
    JsonBody(mut fields, body): JsonBody,
) -> Result<Response, ApiError> {
    let text: String = fields.required("text")?;
    if text.trim().is_empty() {
        return Err(ApiError::value("text", "empty", "text to draw"));
    }
    let style: Option<Map<String, Value>> = fields.optional("style")?;
    let format = format(&mut fields)?;
    let settings = state.settings()?;
    let of_work = state.clone();
    let drawn = move || {
        let _body = body;
        let renderer = of_work.renderers().find(style, &text, "style")?;
        let drawn = Drawn::new(&of_work, &settings, &renderer, &text)?;
        drawn.answer(&settings, &text, format)
    };
    state.blocking(&caller, drawn).await
}

fn format(fields: &mut Fields) -> Result<PagesFormat, ApiError> {
    let name: Option<String> = fields.optional("format")?;
    match name.as_deref() {
        None | Some("png") => Ok(PagesFormat::Png),
        Some("zip") => Ok(PagesFormat::Zip),
        Some(other) => {
            let value = shown(&Value::from(other));
            Err(ApiError::value("format", value, "png or zip"))
        }
    }
}

/// Pages with their files.
struct Drawn {
    pages: Vec<glyph_render::PngPage>,
    hold: PixelHold,
    report: glyph_render::RenderReport,
    seconds: f64,
}

impl Drawn {
    fn new(
        state: &AppState,
        settings: &CheckpointSettings,
        renderer: &Renderer,
        text: &str,
    ) -> Result<Self, ApiError> {
        let start = Instant::now();
        let most_pages = state.config().max_pages;
        let (style, pool) = (renderer.style(), state.pixels());
        if let Some((width_px, height_px)) = style.whole_page_px() {
            // What the model does not take need not be drawn.
            vision_tokens(settings, [width_px, height_px])?;
        }
        let mut budget = pool.budget();
        let mut drawing = Drawing::new(renderer.png_pages_parallel(text), style, pool, "style")?;
        let mut pages = Vec::new();
        while let Some((page, hold)) = drawing.next_page(&budget)? {
            let n_pages = pages.len() + 1;
            if n_pages > most_pages {
                return Err(EngineError::TooManyPages {
                    n_pages,
                    most_pages,
                }
                .into());
            }
            let page = page.map_err(|error| ApiError::internal(&error))?;
            let pixels = n_pixels([page.width_px, page.height_px]);
            // Its file, and what is made of that, may take as much as the page did.
            let hold = budget.fit(hold, pixels, "style")?;
            budget.keep(hold);
            pages.push(page);
        }
        let report = drawing.report();
        let seconds = start.elapsed().as_secs_f64();
        state.metrics().rendered(pages.len(), seconds);
        Ok(Self {
            pages,
            hold: budget.into_hold(),
            report,
            seconds,
        })
    }

    fn answer(
        self,
        settings: &CheckpointSettings,
        text: &str,
        format: PagesFormat,
    ) -> Result<Response, ApiError> {
        let text_tokens = settings.encoder.tokenizer.count(text);
        let text_tokens = text_tokens.map_err(|error| ApiError::internal(&error))?;
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let mut pages = Vec::with_capacity(self.pages.len());
        for page in &self.pages {
            let file = match format {
                PagesFormat::Png => PageFile::Png(BASE64_STANDARD.encode(&page.png)),
                PagesFormat::Zip => {
                    let name = format!("page_{:04}.png", page.index + 1);
                    add(&mut archive, &name, CompressionMethod::Stored, &page.png)?;
                    PageFile::File(name)
                }
            };
            pages.push(PageObject {
                index: page.index,
                width_px: page.width_px,
                height_px: page.height_px,
                vision_tokens: vision_tokens(settings, [page.width_px, page.height_px])?,
                file,
            });
        }
        let vision_tokens: usize = pages.iter().map(|page| page.vision_tokens).sum();
        let substitutions = self.report.font_substitutions.into_iter();
        let missing = self.report.missing_glyphs.into_iter();
        let answer = PagesAnswer {
            pages,
            vision_tokens,
            text_tokens,
            compression_ratio: text_tokens as f64 / vision_tokens.max(1) as f64,
            characters: self.report.characters,
            missing_characters: missing.map(|(c, n)| (c.to_string(), n)).collect(),
            font_substitutions: substitutions
                .map(|font| (font.requested, font.used))
                .collect(),
            render_s: self.seconds,
        };
        if format == PagesFormat::Png {
            let json = serde_json::to_vec(&answer).map_err(|error| ApiError::internal(&error))?;
            let headers = [(header::CONTENT_TYPE, "application/json")];
            return Ok((headers, HeldBytes::body(json, self.hold)).into_response());
        }
        let figures =
            serde_json::to_vec_pretty(&answer).map_err(|error| ApiError::internal(&error))?;
        let how = CompressionMethod::Deflated;
        add(&mut archive, FIGURES_NAME, how, &figures)?;
        let archive = archive
            .finish()
            .map_err(|error| ApiError::internal(&error))?;
        let archive = PagesArchive(archive.into_inner());
        let headers = [
            (header::CONTENT_TYPE, "application/zip"),
            (
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"pages.zip\"",
            ),
        ];
        let body = HeldBytes::body(archive.0, self.hold);
        Ok((headers, body).into_response())
    }
}

/// An answer with its part of what pages may take, until the client has it.
struct HeldBytes {
    bytes: Vec<u8>,
    _hold: PixelHold,
}

impl HeldBytes {
    fn body(bytes: Vec<u8>, mut hold: PixelHold) -> Body {
        hold.shrink_to_bytes(bytes.len());
        Body::from(Bytes::from_owner(Self { bytes, _hold: hold }))
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn add(
    archive: &mut ZipWriter<Cursor<Vec<u8>>>,
    name: &str,
    how: CompressionMethod,
    bytes: &[u8],
) -> Result<(), ApiError> {
    let options = SimpleFileOptions::default().compression_method(how);
    archive
        .start_file(name, options)
        .map_err(|error| ApiError::internal(&error))?;
    archive
        .write_all(bytes)
        .map_err(|error| ApiError::internal(&error))
}

/// Tokens that the model takes for a page of a size.
fn vision_tokens(
    settings: &CheckpointSettings,
    [width_px, height_px]: [u32; 2],
) -> Result<usize, ApiError> {
    let preprocessor = &settings.preprocessor;
    let (height_px, width_px) = smart_resize(height_px as usize, width_px as usize, preprocessor)
        .map_err(|reason| {
        let message = format!("a page of that style {reason}");
        ApiError::of(Code::InvalidValue, "style", message)
    })?;
    let side_px = preprocessor.patch_size;
    let grid = PatchGrid {
        rows: height_px / side_px,
        columns: width_px / side_px,
    };
    Ok(grid.n_tokens(preprocessor.merge_size))
}
