//! A text's pages.

use glyph_page_tokens::SizeRules;
use glyph_render::{RenderReport, RenderStyle, Renderer};
use glyph_web_core::messages::SizeRules as Rules;
use glyph_web_core::messages::{
    BorrowedFont, FontFile, MissingCharacter, PageFigures, RenderSummary, Style, Substitution,
};
use glyph_web_core::scripts::has_complex_scripts;
use glyph_worker::{Reply, described, now_ms, pause};
use js_sys::{Array, Reflect, Uint8Array};
use serde::Serialize;
use serde_json::{Map, Value};
use wasm_bindgen::JsValue;

use crate::State;
use crate::fonts::{fetch_always, fetch_cjk};

/// How long pages are gathered before they are sent and messages are looked at.
const BATCH_MS: f64 = 40.0;

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
    stage: &'static str,
    /// Share that is done, from 0 to 1.
    share: f64,
}

impl Job {
    pub async fn run(self, state: &State) -> Result<(), String> {
        let start_ms = now_ms();
        fetch_always(&state.fonts, &self.fonts).await?;
        let renderer = self.renderer(state).await?;
        let rules = size_rules(self.rules);
        let characters = self.text.chars().count().max(1) as f64;

        let mut summary = RenderSummary::default();
        let mut batch = Batch::new();
        let mut pages = renderer.png_pages(&self.text);
        while let Some(page) = pages.next() {
            let page = page.map_err(|error| format!("a page cannot be encoded: {error}"))?;
            let (width, height) = (page.width_px as usize, page.height_px as usize);
            let vision_tokens = rules
                .vision_tokens(height, width)
                .map_err(|reason| format!("a page of this style {reason}"))?;
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
                let stage = "pages";
                self.reply.send("progress", &Progress { stage, share });
                pause().await;
                if self.reply.is_cancelled() {
                    self.reply.cancelled();
                    return Ok(());
                }
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
    async fn renderer(&self, state: &State) -> Result<Renderer, String> {
        let style = self.style()?;
        let is_known = state.fonts.borrow().library().resolves(&style.font_path);
        if !is_known {
            self.fetch_cjk(state).await?;
        }
        let make = || {
            let fonts = state.fonts.borrow().library();
            Renderer::new(style.clone(), fonts).map_err(|error| error.to_string())
        };
        let renderer = make()?;
        let lacks_characters = renderer.first_missing(&self.text).is_some();
        if lacks_characters && self.fetch_cjk(state).await? {
            return make();
        }
        Ok(renderer)
    }

    async fn fetch_cjk(&self, state: &State) -> Result<bool, String> {
        let (stage, share) = ("font", 0.0);
        self.reply.send("progress", &Progress { stage, share });
        fetch_cjk(&state.fonts, &self.fonts).await
    }

    /// The style that the request names, its overrides in their places.
    fn style(&self) -> Result<RenderStyle, String> {
        let mut keys: Map<String, Value> = match &self.style {
            Style::Keys(keys) => keys.clone(),
            Style::Named(name) if name == "official" => official(&self.text).into(),
            Style::Named(name) => return Err(format!("there is no style named {name:?}")),
        };
        for (key, value) in &self.overrides {
            keys.insert(key.clone(), value.clone());
        }
        RenderStyle::try_from(keys).map_err(|error| error.to_string())
    }
}

/// The official style of a text's language: Chinese if it holds a character from U+4E00 to U+9FFF.
fn official(text: &str) -> RenderStyle {
    let is_chinese = text.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c));
    if is_chinese {
        RenderStyle::official_zh()
    } else {
        RenderStyle::official_en()
    }
}

fn size_rules(rules: Rules) -> SizeRules {
    SizeRules {
        patch_size: rules.patch_size.max(1),
        merge_size: rules.merge_size.max(1),
        temporal_patch_size: rules.temporal_patch_size.max(1),
        min_pixels: rules.min_pixels,
        max_pixels: rules.max_pixels,
    }
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
        let page = described(figures);
        let png = Uint8Array::from(png);
        // Setting a property of a plain object cannot fail.
        let _ = Reflect::set(&page, &JsValue::from("png"), &png);
        self.buffers.push(&png.buffer());
        self.pages.push(&page);
    }

    /// The first page goes alone, so that something is seen at once.
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
