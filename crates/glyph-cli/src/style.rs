//! How a text is rendered: the style asked for, the model's own, or the official one.

use std::path::{Path, PathBuf};

use glyph_model::checkpoint::CheckpointFiles;
use glyph_render::{FontError, FontLibrary, RenderError, RenderStyle, Renderer, StyleError};

use crate::error::CliError;
use crate::input;
use crate::model::ModelFiles;
use crate::output;

/// File of a model directory that holds its style.
const MODEL_STYLE: &str = "render.json";

/// Value of `--style` that asks for the official style.
const OFFICIAL: &str = "official";

/// The renderer for a text whose pages the model is to read; says so where it does not know pages of such a style.
pub fn renderer_to_read(
    requested: Option<&Path>,
    model: &ModelFiles,
    text: &str,
) -> Result<Renderer, CliError> {
    let renderer = renderer(requested, model, text)?;
    // Where it names the model's own style, there is nothing to say. One that cannot be used differs.
    let is_another = |own: Vec<u8>| {
        parsed(&own).ok().as_ref() != Some(renderer.style())
            || requested.is_some_and(|path| brings_font(path, renderer.style()))
    };
    if requested.is_some() && style_of(model)?.is_some_and(is_another) {
        output::note(&format!(
            "note: {} has a style of its own that it was trained on; it may not read pages of another --style",
            model.name()
        ));
    }
    Ok(renderer)
}

/// The renderer for a text.
pub fn renderer(
    requested: Option<&Path>,
    model: &ModelFiles,
    text: &str,
) -> Result<Renderer, CliError> {
    match requested {
        Some(path) if path.as_os_str() == OFFICIAL => official(text),
        Some(path) => from_file(path),
        None => match of_model(model)? {
            Some(renderer) => Ok(renderer),
            None => official(text),
        },
    }
}

/// Whether a font lies where a style's file looks for it, in the place of a bundled one.
fn brings_font(path: &Path, style: &RenderStyle) -> bool {
    font_file(path.parent(), style).is_some_and(|font| font.is_file())
}

/// Where a style in `folder` looks for its font.
fn font_file(folder: Option<&Path>, style: &RenderStyle) -> Option<PathBuf> {
    folder.map(|folder| folder.join(&style.font_path))
}

/// Width and height of the pages that the model was trained on, where its own style says so. A style that cannot be
/// used has no say about images.
pub fn own_page_px(model: &ModelFiles) -> Option<[usize; 2]> {
    let style = parsed(&style_of(model).ok()??).ok()?;
    let (width_px, height_px) = style.whole_page_px()?;
    Some([width_px as usize, height_px as usize])
}

/// Whether the model's own style, if it has one, can be used.
pub fn check(model: &ModelFiles) -> Result<(), CliError> {
    of_model(model).map(drop)
}

/// The official style for the text's language.
fn official(text: &str) -> Result<Renderer, CliError> {
    let style = RenderStyle::official(text);
    Renderer::new(style, FontLibrary::bundled()).map_err(|source| CliError::Style {
        name: OFFICIAL.to_owned(),
        source,
    })
}

fn from_file(path: &Path) -> Result<Renderer, CliError> {
    let json = input::STYLE.read_file(path)?;
    let style_error = |source| CliError::Style {
        name: path.display().to_string(),
        source,
    };
    from_json(&json, path.parent(), style_error)
}

/// The model's own style, if it has one.
fn style_of(model: &ModelFiles) -> Result<Option<Vec<u8>>, CliError> {
    let json = model.read(MODEL_STYLE);
    json.map_err(|error| model.error(error))
}

/// The renderer for the model's own style, if it has one.
pub fn of_model(model: &ModelFiles) -> Result<Option<Renderer>, CliError> {
    let Some(json) = style_of(model)? else {
        return Ok(None);
    };
    let folder = match model {
        ModelFiles::Bundled => None,
        ModelFiles::Directory(path) => Some(path.as_path()),
    };
    let style_error = |source| CliError::ModelStyle {
        name: model.name(),
        source,
    };
    from_json(&json, folder, style_error).map(Some)
}

fn parsed(json: &[u8]) -> Result<RenderStyle, StyleError> {
    let json = str::from_utf8(json)
        .map_err(|error| StyleError::NotJson(format!("it is not UTF-8: {error}")))?;
    RenderStyle::from_json(json)
}

/// The renderer for a configuration whose `font-path` is seen from `folder`. Where it leads to no
/// file, it names a bundled font.
fn from_json(
    json: &[u8],
    folder: Option<&Path>,
    style_error: impl Fn(RenderError) -> CliError,
) -> Result<Renderer, CliError> {
    let style = parsed(json).map_err(|error| style_error(error.into()))?;
    let mut fonts = FontLibrary::bundled();
    let font_file = font_file(folder, &style);
    if let Some(path) = font_file.as_ref().filter(|path| path.is_file()) {
        let bytes = input::FONT.read_file(path)?;
        fonts
            .add_font(&style.font_path, bytes)
            .map_err(|error| style_error(error.into()))?;
    } else if let Some(path) = font_file.filter(|_| !fonts.resolves(&style.font_path)) {
        let reason = match path.metadata() {
            Ok(_) => "it is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        // With the folder: a path seen from elsewhere is the usual mistake.
        let not_found = FontError::NotFound {
            requested: format!("{} ({reason})", path.display()),
            available: fonts.names().map(str::to_owned).collect(),
        };
        return Err(style_error(not_found.into()));
    }
    Renderer::new(style, fonts).map_err(style_error)
}
