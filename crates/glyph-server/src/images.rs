//! Images of a request: where they are, and decoding them within bounds.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use glyph_model::ModelError;
use glyph_model::preprocess::RgbImage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::error::{ApiError, Code};

/// Largest image that is decoded: an A4 page at 600 dpi has half as many pixels.
pub const MOST_IMAGE_PIXELS: u64 = 1 << 26;

/// Pixels of all pages of a request together. A few bytes can claim any size; this bounds what decoding and drawing
/// take.
pub const MOST_REQUEST_PIXELS: u64 = 1 << 27;

/// Types of images that are decoded.
pub const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/jpg", "image/webp"];

/// Base64 with or without the padding at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where an image is.
#[derive(Debug)]
pub enum ImageSource {
    /// In the request, a whole `data:` URL.
    Data(String),
    /// Elsewhere.
    Remote(Url),
    /// Fetched.
    Bytes(Vec<u8>),
}

impl ImageSource {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// When it is neither `data:` nor http(s).
    pub fn read(url: String, path: &str) -> Result<Self, ApiError> {
        if url
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
        {
            return Ok(Self::Data(url));
        }
        match Url::parse(&url) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) => Ok(Self::Remote(url)),
            _ => {
                let start: String = url.chars().take(20).collect();
                let message = format!(
                    "{path} begins with {start:?}; it must be a data: URL (data:image/png;base64,…) or an http(s) URL"
                );
                Err(ApiError::of(Code::InvalidValue, path, message))
            }
        }
    }
}

/// Pixels that all requests together may hold until the model has seen them: decoded pages wait in memory with their
/// request, at fifteen bytes a pixel.
const MOST_HELD_PIXELS: u64 = 2 * MOST_REQUEST_PIXELS;

/// Pixels that are counted as one.
const PIXELS_PER_PERMIT: u64 = 1 << 12;

/// What all requests together may hold.
#[derive(Debug, Clone)]
pub struct PixelPool(Arc<Semaphore>);

impl PixelPool {
    /// With nothing held.
    pub fn new() -> Self {
        let permits = usize::try_from(MOST_HELD_PIXELS / PIXELS_PER_PERMIT);
        Self(Arc::new(Semaphore::new(
            permits.unwrap_or(Semaphore::MAX_PERMITS),
        )))
    }

    /// A budget for one request.
    pub fn budget(&self) -> PixelBudget {
        PixelBudget {
            used: 0,
            pool: self.clone(),
            hold: PixelHold(None),
        }
    }
}

/// Counts the pixels of a request.
#[derive(Debug)]
pub struct PixelBudget {
    used: u64,
    pool: PixelPool,
    hold: PixelHold,
}

/// The pixels of a request; they are free for others when it is dropped.
#[derive(Debug)]
pub struct PixelHold(Option<OwnedSemaphorePermit>);

impl PixelBudget {
    /// Counts a page.
    ///
    /// # Errors
    /// [`Code::ImageTooLarge`] when all pages together are too large, [`Code::QueueFull`] when other requests hold too
    /// many.
    pub fn take(&mut self, width_px: u64, height_px: u64, path: &str) -> Result<(), ApiError> {
        let pixels = width_px.saturating_mul(height_px);
        self.used = self.used.saturating_add(pixels);
        if self.used > MOST_REQUEST_PIXELS {
            let message = format!(
                "the pages of the request up to {path} hold {} pixels; at most {MOST_REQUEST_PIXELS} are taken. Send \
                 fewer or smaller pages",
                self.used
            );
            return Err(ApiError::of(Code::ImageTooLarge, path, message));
        }
        let permits = u32::try_from(pixels.div_ceil(PIXELS_PER_PERMIT)).unwrap_or(u32::MAX);
        let pool = Arc::clone(&self.pool.0);
        let Ok(taken) = pool.try_acquire_many_owned(permits) else {
            return Err(ApiError::busy(
                "other requests hold as many pages as memory has room for. Try again in a moment",
            ));
        };
        match &mut self.hold.0 {
            Some(held) => held.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }

    /// What was taken.
    pub fn into_hold(self) -> PixelHold {
        self.hold
    }
}

/// The file of an image that is at hand, of which only the head has been read.
#[derive(Debug)]
pub struct ImageFile<'a> {
    bytes: Cow<'a, [u8]>,
    size_px: [u32; 2],
    path: &'a str,
}

impl<'a> ImageFile<'a> {
    /// Reads the size that it says it has.
    ///
    /// # Errors
    /// [`Code::InvalidImage`], [`Code::ImageTooLarge`].
    pub fn open(source: &'a ImageSource, path: &'a str) -> Result<Self, ApiError> {
        let bytes = match source {
            ImageSource::Data(url) => Cow::Owned(data_bytes(url, path)?),
            ImageSource::Bytes(bytes) => Cow::Borrowed(&bytes[..]),
            ImageSource::Remote(_) => {
                return Err(ApiError::internal(
                    &"an image was not fetched before decoding",
                ));
            }
        };
        let size_px = RgbImage::size_px(&bytes).map_err(|error| refused(error, path))?;
        let [width_px, height_px] = size_px;
        if u64::from(width_px) * u64::from(height_px) > MOST_IMAGE_PIXELS {
            let message = format!(
                "{path} is {width_px}×{height_px} px; at most {MOST_IMAGE_PIXELS} pixels are decoded. Send it smaller"
            );
            return Err(ApiError::of(Code::ImageTooLarge, path, message));
        }
        Ok(Self {
            bytes,
            size_px,
            path,
        })
    }

    /// Width and height as it says.
    pub fn size_px(&self) -> [u32; 2] {
        self.size_px
    }

    /// Its pixels.
    ///
    /// # Errors
    /// [`Code::InvalidImage`].
    pub fn decode(&self) -> Result<RgbImage, ApiError> {
        RgbImage::decode(&self.bytes).map_err(|error| refused(error, self.path))
    }
}

fn refused(error: ModelError, path: &str) -> ApiError {
    match error {
        ModelError::Image { reason, .. } => {
            ApiError::of(Code::InvalidImage, path, format!("{path} {reason}"))
        }
        other => ApiError::internal(&other),
    }
}

fn data_bytes(url: &str, path: &str) -> Result<Vec<u8>, ApiError> {
    let wrong = |what: String| ApiError::of(Code::InvalidImage, path, format!("{path} {what}"));
    let (head, data) = url
        .split_once(',')
        .ok_or_else(|| wrong("is a data: URL without a comma before its data".to_owned()))?;
    let mut words = head.get(5..).unwrap_or_default().split(';');
    let kind = words.next().unwrap_or_default().trim().to_ascii_lowercase();
    if !TYPES.contains(&kind.as_str()) {
        let kind: String = kind.chars().take(40).collect();
        return Err(wrong(format!(
            "has the type {kind:?}; send PNG, JPEG or WebP"
        )));
    }
    if !words.any(|word| word.trim().eq_ignore_ascii_case("base64")) {
        return Err(wrong(
            "is not base64; send data:image/png;base64,…".to_owned(),
        ));
    }
    BASE64
        .decode(data.trim_ascii())
        .map_err(|error| wrong(format!("is not valid base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{Code, ImageFile, ImageSource, PixelPool, data_bytes};

    #[test]
    fn a_data_url_is_taken_with_or_without_padding() {
        for url in [
            "data:image/png;base64,aGk=",
            "data:image/png;base64,aGk",
            "DATA:image/PNG;charset=x;Base64,aGk=",
        ] {
            assert_eq!(data_bytes(url, "url").unwrap(), b"hi", "{url}");
        }
        for url in [
            "data:image/png;base64",
            "data:image/png,aGk=",
            "data:image/gif;base64,aGk=",
            "data:;base64,aGk=",
            "data:image/png;base64,a!k=",
            "data:,",
        ] {
            let error = data_bytes(url, "the url").unwrap_err();
            assert_eq!(error.param(), Some("the url"), "{url}: {error}");
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["file:///etc/passwd", "ftp://x/y", "x", "", "data"] {
            assert!(ImageSource::read(url.to_owned(), "url").is_err(), "{url}");
        }
        let remote = ImageSource::read("https://example.com/a.png".to_owned(), "url");
        assert!(matches!(remote, Ok(ImageSource::Remote(_))));
    }

    #[test]
    fn pages_share_a_budget_and_requests_a_pool() {
        let pool = PixelPool::new();
        let mut budget = pool.budget();
        assert!(budget.take(8192, 8192, "a").is_ok());
        assert!(budget.take(8192, 8192, "b").is_ok());
        let error = budget.take(1, 1, "c").unwrap_err();
        assert_eq!(error.code(), Code::ImageTooLarge);
        let hold = budget.into_hold();
        let mut second = pool.budget();
        assert!(second.take(16384, 8192, "a").is_ok());
        let error = pool.budget().take(1, 1, "a").unwrap_err();
        assert_eq!(error.code(), Code::QueueFull);
        drop(hold);
        assert!(pool.budget().take(1, 1, "a").is_ok());
    }

    #[test]
    fn what_is_no_image_is_said_so() {
        let source = ImageSource::Bytes(b"hello".to_vec());
        let error = ImageFile::open(&source, "url").unwrap_err();
        assert_eq!(error.code(), Code::InvalidImage);
    }
}
