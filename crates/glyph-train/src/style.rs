//! What the pages of a checkpoint look like, by its `render.json`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::batch::PageShape;
use crate::data::PageGrid;
use crate::mini::COLUMN_PX;

/// Columns and lines of a page by a checkpoint's `render.json`.
pub fn page_grid(style_path: &Path) -> Result<PageGrid> {
    let PageShape { columns, lines, .. } = page_shape(style_path)?;
    Ok(PageGrid::new(columns, lines))
}

/// Geometry of a page by a checkpoint's `render.json`.
pub fn page_shape(style_path: &Path) -> Result<PageShape> {
    let unusable = || format!("{} cannot be used", style_path.display());
    let json = std::fs::read_to_string(style_path).with_context(unusable)?;
    shape_of(&json).with_context(unusable)
}

fn shape_of(json: &str) -> Result<PageShape> {
    let json: serde_json::Value = serde_json::from_str(json)?;
    let size = json["page-size"].as_str().context("it has no page-size")?;
    let (width, height) = size
        .split_once(',')
        .context("page-size is not width,height")?;
    let line_px = json["line-height"]
        .as_u64()
        .context("it has no line-height")?;
    let line_px = (line_px as usize).max(1);
    Ok(PageShape {
        columns: width.trim().parse::<usize>()? / COLUMN_PX,
        lines: height.trim().parse::<usize>()? / line_px,
        line_px,
    })
}
