//! The pages of a request: images as given, then the rendered pages of the text.

use std::fs;
use std::path::{Path, PathBuf};
use std::vec;

use glyph_model::ModelError;
use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::{ImagePatches, PatchGrid, RgbImage, image_patches, smart_resize};
use glyph_render::{Page, ParallelPages, Renderer};

use crate::args::SourceArgs;
use crate::error::CliError;
use crate::report::{RenderNotes, timed};
use crate::text_input;

/// What the command line gives to look at, read and decoded.
#[derive(Debug)]
pub struct Source {
    images: Vec<PageImage>,
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
    /// Reads every file.
    pub fn read(args: &SourceArgs) -> Result<Self, CliError> {
        let images = args
            .images
            .iter()
            .map(|path| read_image(path))
            .collect::<Result<_, _>>()?;
        let text = args.text.as_deref().map(text_input::read).transpose()?;
        Ok(Self { images, text })
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.text.is_none()
    }

    /// Hands out the images, once.
    pub fn take_images(&mut self) -> Vec<PageImage> {
        std::mem::take(&mut self.images)
    }
}

fn read_image(path: &Path) -> Result<PageImage, CliError> {
    let name = path.display().to_string();
    let read_error = |source| CliError::InputFile {
        what: "image",
        name: name.clone(),
        source,
    };
    let bytes = fs::read(path).map_err(read_error)?;
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

/// Pages in order; text is rendered while they are taken.
pub struct Pages<'a> {
    images: vec::IntoIter<PageImage>,
    text: Option<ParallelPages<'a, Page>>,
    with_png: bool,
    /// Seconds spent waiting for rendered pages.
    pub render_s: f64,
}

impl<'a> Pages<'a> {
    /// Starts handing out images and the pages that `renderer` makes of a text.
    pub fn new(
        images: Vec<PageImage>,
        text: Option<(&'a Renderer, &'a str)>,
        with_png: bool,
    ) -> Self {
        let text = text.map(|(renderer, text)| renderer.pages_parallel(text));
        Self {
            images: images.into_iter(),
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
        if let Some(image) = self.images.next() {
            return Some(Ok(image));
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

/// A directory that pages are written to.
#[derive(Debug)]
pub struct PageDirectory(PathBuf);

impl PageDirectory {
    /// Makes the directory.
    pub fn create(path: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(path).map_err(|source| CliError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(path.to_owned()))
    }

    /// Writes one page; `number` counts from 1.
    pub fn write(&self, number: usize, png: &[u8]) -> Result<PathBuf, CliError> {
        let path = self.0.join(format!("page_{number:04}.png"));
        match fs::write(&path, png) {
            Ok(()) => Ok(path),
            Err(source) => Err(CliError::Write { path, source }),
        }
    }
}
