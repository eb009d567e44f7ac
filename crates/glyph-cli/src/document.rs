//! The pages of a request: images as given, then the rendered pages of the text.

use std::path::{Path, PathBuf};
use std::slice;

use glyph_model::ModelError;
use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::{ImagePatches, PatchGrid, RgbImage, image_patches, smart_resize};
use glyph_render::{Page, ParallelPages, Renderer};

use crate::args::SourceArgs;
use crate::error::CliError;
use crate::model::ModelFiles;
use crate::report::{RenderNotes, timed};
use crate::{input, style, text_input};

/// More patches than this take long on a processor: attention grows with their square.
const MANY_PATCHES: usize = 4096;

/// What the command line gives to look at.
#[derive(Debug)]
pub struct Source {
    /// Paths of the images; each is read when its turn comes.
    pub images: Vec<PathBuf>,
    /// The text, if there is one.
    pub text: Option<String>,
}

/// One page for the model.
#[derive(Debug)]
pub struct PageImage {
    /// Path of an image, "page N" of a text.
    pub name: String,
    /// Whether it was rendered from the text.
    pub is_rendered: bool,
    /// The pixels.
    pub image: RgbImage,
    /// The same as a PNG file, if asked for.
    pub png: Option<Vec<u8>>,
}

impl Source {
    /// Finds the images and reads the text.
    pub fn read(args: &SourceArgs) -> Result<Self, CliError> {
        args.images
            .iter()
            .try_for_each(|path| input::IMAGE.find(path))?;
        let text = args.text.as_deref().map(text_input::read).transpose()?;
        Ok(Self {
            images: args.images.clone(),
            text,
        })
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.text.is_none()
    }
}

fn read_image(path: &Path) -> Result<PageImage, CliError> {
    let name = path.display().to_string();
    let bytes = input::IMAGE.read_file(path)?;
    let image = RgbImage::decode(&bytes).map_err(|error| image_error(&name, error))?;
    Ok(PageImage {
        name,
        is_rendered: false,
        image,
        png: None,
    })
}

fn image_error(name: &str, error: ModelError) -> CliError {
    let reason = match error {
        ModelError::Image { reason, .. } => reason,
        other => other.to_string(),
    };
    CliError::Image {
        name: name.to_owned(),
        reason,
    }
}

fn rendered_page(page: Page, with_png: bool) -> Result<PageImage, CliError> {
    let number = page.index + 1;
    let name = format!("page {number}");
    let png = with_png.then(|| page.to_png()).transpose();
    let png = png.map_err(|error| CliError::Encode {
        page: number,
        reason: error.to_string(),
    })?;
    let image = RgbImage::new(page.width_px as usize, page.height_px as usize, page.rgb)
        .map_err(|error| image_error(&name, error))?;
    Ok(PageImage {
        name,
        is_rendered: true,
        image,
        png,
    })
}

/// Pages in order; images are decoded and text is rendered while they are taken.
pub struct Pages<'a> {
    images: slice::Iter<'a, PathBuf>,
    text: Option<ParallelPages<'a, Page>>,
    with_png: bool,
    /// Seconds spent waiting for rendered pages.
    pub render_s: f64,
}

impl<'a> Pages<'a> {
    /// Starts handing out images and the pages that `renderer` makes of a text.
    pub fn new(
        images: &'a [PathBuf],
        text: Option<(&'a Renderer, &'a str)>,
        with_png: bool,
    ) -> Self {
        let text = text.map(|(renderer, text)| renderer.pages_parallel(text));
        Self {
            images: images.iter(),
            text,
            with_png,
            render_s: 0.0,
        }
    }

    /// What rendering could not do as asked; complete when the pages are.
    pub fn notes(&self) -> RenderNotes {
        self.text
            .as_ref()
            .map(|text| RenderNotes::new(text.report()))
            .unwrap_or_default()
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<PageImage, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(path) = self.images.next() {
            return Some(read_image(path));
        }
        let Self {
            text,
            render_s,
            with_png,
            ..
        } = self;
        let page = timed(render_s, || text.as_mut()?.next())?;
        Some(rendered_page(page, *with_png))
    }
}

impl PageImage {
    /// The patches that the page becomes.
    pub fn grid(&self, preprocessor: &PreprocessorConfig) -> Result<PatchGrid, CliError> {
        patch_grid(
            &self.name,
            [self.image.width_px, self.image.height_px],
            preprocessor,
        )
    }

    /// What to say before a model looks at an image that will take it long, or that is no page as it knows them.
    pub fn notes(
        &self,
        model: &ModelFiles,
        preprocessor: &PreprocessorConfig,
    ) -> Result<Vec<String>, CliError> {
        if self.is_rendered {
            return Ok(Vec::new());
        }
        let grid = self.grid(preprocessor)?;
        let slow = (grid.n_patches() > MANY_PATCHES).then(|| {
            format!(
                "note: the image {} takes {} patches, {} vision tokens, which is slow; scaled to half its \
                 width and height it would take a quarter",
                self.name,
                grid.n_patches(),
                grid.n_tokens(preprocessor.merge_size),
            )
        });
        let [width_px, height_px] = [self.image.width_px, self.image.height_px];
        let other = style::own_page_px(model).filter(|own| *own != [width_px, height_px]);
        let foreign = other.map(|[own_width_px, own_height_px]| {
            format!(
                "note: the image {} has {width_px} × {height_px} px, and {} was trained on pages of {own_width_px} × \
                 {own_height_px} px of its own style: it may not read this one. glyph render draws such pages of a text; \
                 for pictures, give a larger checkpoint with --model",
                self.name,
                model.name(),
            )
        });
        Ok([slow, foreign].into_iter().flatten().collect())
    }

    /// The page as patches.
    pub fn patches(&self, preprocessor: &PreprocessorConfig) -> Result<ImagePatches, CliError> {
        image_patches(&self.image, preprocessor).map_err(|reason| CliError::Image {
            name: self.name.clone(),
            reason,
        })
    }
}

/// The patches that an image of a size becomes.
pub fn patch_grid(
    name: &str,
    [width_px, height_px]: [usize; 2],
    preprocessor: &PreprocessorConfig,
) -> Result<PatchGrid, CliError> {
    let (height_px, width_px) =
        smart_resize(height_px, width_px, preprocessor).map_err(|reason| CliError::Image {
            name: name.to_owned(),
            reason,
        })?;
    let side_px = preprocessor.patch_size;
    Ok(PatchGrid {
        rows: height_px / side_px,
        columns: width_px / side_px,
    })
}
