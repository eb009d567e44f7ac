//! A text's pages.

use glyph_page_tokens::SizeRules;
use glyph_render::{RenderError, RenderReport, RenderStyle, Renderer};
use glyph_web_core::messages::SizeRules as Rules;
use glyph_web_core::messages::{
    BorrowedFont, FontFile, MissingCharacter, PageFigures, RenderSummary, Style, Substitution,
};
use glyph_web_core::scripts::has_complex_scripts;
use glyph_web_core::stage::DrawingStage;
use glyph_worker::{MessageError, Reply, as_js, now_ms, pause};
use js_sys::{Array, Reflect, Uint8Array};
use serde::Serialize;
use serde_json::{Map, Value};
use wasm_bindgen::JsValue;

use crate::error::RenderFailure;
use crate::fonts::Fonts;

/// How long pages are gathered before they are sent and messages are looked at.
const BATCH_MS: f64 = 40.0;

/// Largest patch and merge of the rules: their product must stay a number of px.
const MOST_RULE: usize = 1 << 12;

/// What a request asks for.
pub struct Job {
    pub text: String,
    pub style: Style,
    pub overrides: Map<String, Value>,
    pub rules: Rules,
    pub fonts: Vec<FontFile>,
    pub reply: Reply,
}

/// How far a text has come.
#[derive(Debug, Serialize)]
struct Progress {
    /// `font` or `pages`.
    stage: DrawingStage,
    /// Share that is done, from 0 to 1.
    share: f64,
}

impl Job {
    pub async fn run(self, fonts: &Fonts) -> Result<(), RenderFailure> {
        let start_ms = now_ms();
        let rules = size_rules(self.rules)?;
        fonts.fetch_always(&self.fonts).await?;
        self.reply.still_wanted()?;
        let renderer = self.renderer(fonts).await?;
        let characters = self.text.chars().count().max(1) as f64;

        let mut summary = RenderSummary::default();
        let mut batch = Batch::new();
        let mut pages = renderer.png_pages(&self.text);
        while let Some(page) = pages.next() {
            let page = page.map_err(|error| RenderFailure::Page {
                page: summary.pages + 1,
                reason: error.to_string(),
            })?;
            let (width, height) = (page.width_px as usize, page.height_px as usize);
            let vision_tokens = rules.vision_tokens(height, width);
            let vision_tokens = vision_tokens.map_err(|reason| RenderFailure::PageSize {
                width_px: width,
                height_px: height,
                reason,
            })?;
            summary.pages += 1;
            summary.vision_tokens += vision_tokens;
            summary.png_bytes += page.png.len() as u64;
            batch.add(
                &PageFigures {
                    index: page.index,
                    width_px: page.width_px,
                    height_px: page.height_px,
                    vision_tokens,
                },
                &page.png,
            );
            if batch.is_due() {
                batch.send(self.reply);
                let share = pages.report().characters as f64 / characters;
                let stage = DrawingStage::Pages;
                self.reply.send("progress", &Progress { stage, share });
                pause().await;
                self.reply.still_wanted()?;
            }
        }
        batch.send(self.reply);
        let report = pages.report();
        drop(pages);
        report_into(&mut summary, report);
        summary.has_complex_scripts = has_complex_scripts(&self.text);
        summary.style = renderer.style().clone().into();
        summary.seconds = (now_ms() - start_ms) / 1000.0;
        self.reply.send("done", &summary);
        Ok(())
    }

    /// The renderer, with the Chinese font where style or text need it.
    async fn renderer(&self, fonts: &Fonts) -> Result<Renderer, RenderFailure> {
        let style = self.style()?;
        if !fonts.library().resolves(&style.font_path) {
            self.fetch_cjk(fonts).await?;
        }
        let make = || {
            let renderer = Renderer::new(style.clone(), fonts.library());
            renderer.map_err(|error| match error {
                RenderError::Style(error) => RenderFailure::Style(error),
                RenderError::Font(error) => RenderFailure::Font {
                    name: style.font_path.clone(),
                    reason: error.to_string(),
                },
            })
        };
        let renderer = make()?;
        if !fonts.has_cjk() && renderer.first_missing(&self.text).is_some() {
            self.fetch_cjk(fonts).await?;
            return make();
        }
        Ok(renderer)
    }

    async fn fetch_cjk(&self, fonts: &Fonts) -> Result<(), RenderFailure> {
        let (stage, share) = (DrawingStage::Font, 0.0);
        self.reply.send("progress", &Progress { stage, share });
        fonts.fetch_cjk(&self.fonts).await?;
        self.reply.still_wanted()?;
        Ok(())
    }

    /// The style that the request names, its overrides in their places.
    fn style(&self) -> Result<RenderStyle, RenderFailure> {
        let mut keys: Map<String, Value> = match &self.style {
            Style::Keys(keys) => keys.clone(),
            Style::Named(name) if name == "official" => RenderStyle::official(&self.text).into(),
            Style::Named(name) => {
                let error = MessageError::Argument {
                    option: "style".to_owned(),
                    found: format!("{name:?}"),
                    expected: "\"official\" or the keys of a style",
                };
                return Err(error.into());
            }
        };
        for (key, value) in &self.overrides {
            keys.insert(key.clone(), value.clone());
        }
        RenderStyle::try_from(keys).map_err(RenderFailure::Style)
    }
}

fn size_rules(rules: Rules) -> Result<SizeRules, MessageError> {
    for (key, value) in [
        ("patchSize", rules.patch_size),
        ("mergeSize", rules.merge_size),
        ("temporalPatchSize", rules.temporal_patch_size),
    ] {
        if !(1..=MOST_RULE).contains(&value) {
            return Err(MessageError::Argument {
                option: format!("rules.{key}"),
                found: value.to_string(),
                expected: "from 1 to 4096",
            });
        }
    }
    Ok(SizeRules {
        patch_size: rules.patch_size,
        merge_size: rules.merge_size,
        temporal_patch_size: rules.temporal_patch_size,
        min_pixels: rules.min_pixels,
        max_pixels: rules.max_pixels,
    })
}

fn report_into(summary: &mut RenderSummary, report: RenderReport) {
    summary.characters = report.characters;
    let missing = report.missing_glyphs.into_iter();
    summary.missing = missing
        .map(|(character, count)| MissingCharacter {
            character: character.to_string(),
            count,
        })
        .collect();
    let borrowed = report.borrowed_glyphs.into_iter();
    summary.borrowed = borrowed
        .map(|(font, count)| BorrowedFont { font, count })
        .collect();
    let substitutions = report.font_substitutions.into_iter();
    summary.substitutions = substitutions
        .map(|font| Substitution {
            requested: font.requested,
            used: font.used,
        })
        .collect();
}

/// Pages that go to the page together: thousands of messages would keep it from drawing.
struct Batch {
    pages: Array,
    buffers: Array,
    since_ms: f64,
}

impl Batch {
    fn new() -> Self {
        Self {
            pages: Array::new(),
            buffers: Array::new(),
            since_ms: now_ms(),
        }
    }

    fn add(&mut self, figures: &PageFigures, png: &[u8]) {
        let page = as_js(figures);
        let png = Uint8Array::from(png);
        // Setting a property of a plain object cannot fail.
        let _ = Reflect::set(&page, &JsValue::from("png"), &png);
        self.buffers.push(&png.buffer());
        self.pages.push(&page);
    }

    /// Whether pages have been gathered for long enough.
    fn is_due(&self) -> bool {
        now_ms() - self.since_ms > BATCH_MS
    }

    fn send(&mut self, reply: Reply) {
        if self.pages.length() > 0 {
            reply.send_value("pages", &self.pages, &self.buffers);
        }
        *self = Self::new();
    }
}
