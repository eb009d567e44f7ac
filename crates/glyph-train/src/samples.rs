//! Held-out samples on disk: the pages as PNG, questions and expected answers as JSON.

use std::path::Path;

use anyhow::{Context, Result};
use glyph_render::{FontLibrary, RenderStyle, Renderer};
use serde::{Deserialize, Serialize};

use crate::data::{
    Document, Generator, Haystack, NeedleKind, NeedleSpec, PageGrid, Reading, Sample, Split, Task,
};

/// One sample as `samples.json` lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedSample {
    /// PNG files of the pages, in order, beside the list.
    pub pages: Vec<String>,
    /// What is asked.
    pub question: String,
    /// What is expected.
    pub answer: String,
}

/// Renders one sample of each kind of task with the style of a checkpoint.
pub fn save_samples(model: &Path, grid: PageGrid, seed: u64, out: &Path) -> Result<()> {
    let style_path = model.join("render.json");
    let style = std::fs::read_to_string(&style_path)
        .with_context(|| format!("cannot read {}", style_path.display()))?;
    let renderer = Renderer::new(RenderStyle::from_json(&style)?, FontLibrary::bundled())?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut generator = Generator::new(seed, Split::HeldOut);
    let needle = |kind, haystack| NeedleSpec::single(kind, haystack);
    let mut saved = Vec::new();
    for (i, (task, n_pages)) in [
        (Task::Read(Reading::Prose), 1),
        (Task::Read(Reading::Random), 1),
        (Task::Read(Reading::Code), 1),
        (
            Task::Needle(needle(NeedleKind::Numbers, Haystack::Noise)),
            1,
        ),
        (Task::Needle(needle(NeedleKind::Words, Haystack::Prose)), 3),
        (Task::Lookup(Document::Form), 1),
        (Task::Lookup(Document::Settings), 2),
        (Task::LookupAbsent(Document::Contacts), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let Sample {
            text,
            question,
            answer,
            ..
        } = generator.sample(task, grid, n_pages)?;
        let mut pages = Vec::new();
        for page in renderer.pages(&text) {
            let name = format!("sample{i}-page{}.png", page.index + 1);
            std::fs::write(out.join(&name), page.to_png()?)?;
            pages.push(name);
        }
        saved.push(SavedSample {
            pages,
            question,
            answer,
        });
    }
    let json = serde_json::to_string_pretty(&saved)? + "\n";
    Ok(std::fs::write(out.join("samples.json"), json)?)
}
