//! Images of a request: where they are, and decoding them within bounds.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use glyph_model::ModelError;
use glyph_model::preprocess::{MOST_DECODED_PIXELS, RgbImage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::error::{ApiError, Code};

/// Pixels of all pages of a request together. A few bytes can claim any size; this bounds what decoding, drawing and
/// enlarging take.
const MOST_REQUEST_PIXELS: u64 = 1 << 27;

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

/// Pixels that all requests together may hold, at most and at least.
const MOST_HELD_PIXELS: u64 = 2 * MOST_REQUEST_PIXELS;
const LEAST_HELD_PIXELS: u64 = 1 << 24;

/// Bytes that a pixel takes, at most, while its page is decoded or drawn, made the size that the model sees, or made a
/// file: its own three, and what there is beside them. A page that waits for the model holds its bytes and no more.
const BYTES_PER_PIXEL: u64 = 15;

/// Pixels that are counted as one.
const PIXELS_PER_PERMIT: u64 = 1 << 12;

/// Of all pixels the part that the pages may have that one document has drawn ahead.
const AHEAD_SHARE: u64 = 8;

/// Pixels that all requests together may hold in so many bytes.
pub fn pixels_within(n_bytes: u64) -> u64 {
    (n_bytes / BYTES_PER_PIXEL).clamp(LEAST_HELD_PIXELS, MOST_HELD_PIXELS)
}

/// Pixels of a picture or a page of so many each way.
pub fn n_pixels([width_px, height_px]: [u32; 2]) -> u64 {
    u64::from(width_px) * u64::from(height_px)
}

fn n_permits(pixels: u64) -> u32 {
    u32::try_from(pixels.div_ceil(PIXELS_PER_PERMIT)).unwrap_or(u32::MAX)
}

/// The pixels that a page counts as.
fn counted(pixels: u64) -> u64 {
    u64::from(n_permits(pixels)) * PIXELS_PER_PERMIT
}

fn held_by_others() -> ApiError {
    ApiError::busy(
        "other requests hold as many pages as memory has room for. Try again in a moment",
    )
}

/// What all requests together may hold until the model has seen it, or the client has its answer: the memory of so many
/// pixels.
#[derive(Debug, Clone)]
pub struct PixelPool {
    free: Arc<Semaphore>,
    most_pixels: u64,
}

impl PixelPool {
    /// With nothing held of so many pixels.
    pub fn new(most_pixels: u64) -> Self {
        let permits = usize::try_from(n_permits(most_pixels)).unwrap_or(usize::MAX);
        Self {
            free: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            most_pixels,
        }
    }

    /// Pixels of one request, at most.
    pub fn most_of_request(&self) -> u64 {
        self.most_pixels.min(MOST_REQUEST_PIXELS)
    }

    /// Pixels of the pages that one document has drawn ahead, at most.
    pub fn most_ahead(&self) -> u64 {
        self.most_pixels / AHEAD_SHARE
    }

    /// Takes pixels; `None` when others hold too many.
    pub fn hold(&self, pixels: u64) -> Option<PixelHold> {
        let taken = Arc::clone(&self.free).try_acquire_many_owned(n_permits(pixels));
        Some(PixelHold(Some(taken.ok()?)))
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

/// The memory of pixels that is held; it is free for others when this is dropped.
#[derive(Debug)]
pub struct PixelHold(Option<OwnedSemaphorePermit>);

impl PixelHold {
    fn merge(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(held), Some(other)) => held.merge(other),
            (_, None) => {}
            (none, other) => *none = other,
        }
    }

    /// Pixels that are held.
    fn pixels(&self) -> u64 {
        let n_permits = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        n_permits as u64 * PIXELS_PER_PERMIT
    }

    /// Gives back what is more than so many pixels.
    fn shrink(&mut self, pixels: u64) {
        let Some(mut held) = self.0.take() else {
            return;
        };
        let most = usize::try_from(n_permits(pixels)).unwrap_or(usize::MAX);
        // What remains in `held` is given back with it.
        self.0 = held.split(most.min(held.num_permits()));
    }

    /// Gives back what is more than the memory of so many bytes.
    pub fn shrink_to_bytes(&mut self, n_bytes: usize) {
        let n_bytes = u64::try_from(n_bytes).unwrap_or(u64::MAX);
        self.shrink(n_bytes.div_ceil(BYTES_PER_PIXEL));
    }
}

impl PixelBudget {
    /// Counts a picture, before it takes any memory, as so many pixels: its own, or those that it is enlarged to. Returns
    /// what is held for decoding it.
    ///
    /// # Errors
    /// [`Code::ImageTooLarge`] when all pages together are too large, [`Code::QueueFull`] when other requests hold too
    /// many.
    pub fn take(&mut self, pixels: u64, path: &str) -> Result<PixelHold, ApiError> {
        self.count(pixels, path)?;
        self.pool.hold(pixels).ok_or_else(held_by_others)
    }

    /// Keeps what is held for a page with those before it.
    pub fn keep(&mut self, hold: PixelHold) {
        self.hold.merge(hold);
    }

    /// Why the pool has no room for so many pixels more.
    pub fn refusal(&self, pixels: u64, path: &str) -> ApiError {
        // Its other pages take what is held for them, not what they were decoded in.
        let used = self.hold.pixels().saturating_add(counted(pixels));
        if used > self.pool.most_of_request() {
            return self.too_large(used, path);
        }
        held_by_others()
    }

    /// Counts a page that has been drawn as so many pixels: its own, or those that it is enlarged to. Of what was held for
    /// drawing it, and what there is beside, as many are held.
    ///
    /// # Errors
    /// [`Code::ImageTooLarge`] when all pages together are too large, [`Code::QueueFull`] when other requests hold too
    /// many for it to be enlarged.
    pub fn fit(
        &mut self,
        mut drawn: PixelHold,
        pixels: u64,
        path: &str,
    ) -> Result<PixelHold, ApiError> {
        self.count(pixels, path)?;
        drawn.shrink(pixels);
        let missing = pixels.saturating_sub(drawn.pixels());
        // The pages that its document has drawn ahead may be what holds the rest.
        let more = self.pool.hold(missing);
        let ahead = pixels.saturating_add(self.pool.most_ahead());
        drawn.merge(more.ok_or_else(|| self.refusal(ahead, path))?);
        Ok(drawn)
    }

    fn count(&mut self, pixels: u64, path: &str) -> Result<(), ApiError> {
        self.used = self.used.saturating_add(counted(pixels));
        if self.used > self.pool.most_of_request() {
            return Err(self.too_large(self.used, path));
        }
        Ok(())
    }

    fn too_large(&self, used: u64, path: &str) -> ApiError {
        let message = format!(
            "the pages of the request up to {path} take the room of {used} pixels; at most {} are taken. Send fewer or \
             smaller pages",
            self.pool.most_of_request()
        );
        ApiError::of(Code::ImageTooLarge, path, message)
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
        if n_pixels(size_px) > MOST_DECODED_PIXELS {
            let [width_px, height_px] = size_px;
            let message = format!(
                "{path} is {width_px}×{height_px} px; at most {MOST_DECODED_PIXELS} pixels are decoded. Send it smaller"
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
    use super::{
        Code, ImageFile, ImageSource, LEAST_HELD_PIXELS, MOST_HELD_PIXELS, PIXELS_PER_PERMIT,
        PixelPool, counted, data_bytes, pixels_within,
    };

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
        let pool = PixelPool::new(MOST_HELD_PIXELS);
        let mut budget = pool.budget();
        for path in ["a", "b"] {
            let hold = budget.take(1 << 26, path).unwrap();
            budget.keep(hold);
        }
        let error = budget.take(1, "c").unwrap_err();
        assert_eq!(error.code(), Code::ImageTooLarge);
        let hold = budget.into_hold();
        let mut second = pool.budget();
        let _of_second = second.take(1 << 27, "a").unwrap();
        let error = pool.budget().take(1, "a").unwrap_err();
        assert_eq!(error.code(), Code::QueueFull);
        drop(hold);
        assert!(pool.budget().take(1, "a").is_ok());
    }

    #[test]
    fn a_request_may_have_no_more_than_there_is() {
        let pool = PixelPool::new(1 << 20);
        assert!(pool.budget().take(1 << 20, "a").is_ok());
        let error = pool.budget().take((1 << 20) + 1, "a").unwrap_err();
        assert_eq!(error.code(), Code::ImageTooLarge);
        assert!(error.to_string().contains("1048576"), "{error}");
    }

    #[test]
    fn a_drawn_page_gives_back_what_was_cut_off_and_an_answer_what_it_does_not_take() {
        let pool = PixelPool::new(1 << 20);
        let n_free = || pool.free.available_permits() as u64 * PIXELS_PER_PERMIT;
        let mut budget = pool.budget();
        let drawn = pool.hold(1 << 19).unwrap();
        assert_eq!(n_free(), 1 << 19);
        let drawn = budget.fit(drawn, 1 << 18, "style").unwrap();
        budget.keep(drawn);
        assert_eq!(n_free(), (1 << 20) - (1 << 18));
        let mut hold = budget.into_hold();
        hold.shrink_to_bytes(15 * 4096);
        assert_eq!(n_free(), (1 << 20) - 4096);
        // More than was held is not taken.
        hold.shrink_to_bytes(usize::MAX);
        assert_eq!(n_free(), (1 << 20) - 4096);
        drop(hold);
        assert_eq!(n_free(), 1 << 20);
    }

    #[test]
    fn a_drawn_page_that_is_enlarged_holds_what_it_is_enlarged_to() {
        let (drawn_pixels, pixels) = (10 * 1990, 28 * 5572);
        let pool = PixelPool::new(1 << 20);
        let n_free = || pool.free.available_permits() as u64 * PIXELS_PER_PERMIT;
        let mut budget = pool.budget();
        let drawn = pool.hold(drawn_pixels).unwrap();
        let drawn = budget.fit(drawn, pixels, "style").unwrap();
        budget.keep(drawn);
        assert_eq!(n_free(), (1 << 20) - counted(pixels));
        // Another request holds the rest.
        let drawn = pool.hold(drawn_pixels).unwrap();
        let rest = pool.hold(n_free()).unwrap();
        let error = budget.fit(drawn, pixels, "style").unwrap_err();
        assert_eq!(error.code(), Code::QueueFull);
        drop((rest, budget));
        // Its own pages do: those that are counted, and one that is drawn ahead.
        let mut budget = pool.budget();
        let picture = budget.take((1 << 20) - counted(pixels), "a").unwrap();
        budget.keep(picture);
        let drawn = pool.hold(drawn_pixels).unwrap();
        let ahead = pool.hold(drawn_pixels).unwrap();
        let error = budget.fit(drawn, pixels, "style").unwrap_err();
        assert_eq!(error.code(), Code::ImageTooLarge);
        drop((ahead, budget));
        assert_eq!(n_free(), 1 << 20);
    }

    #[test]
    fn a_page_that_waits_holds_its_bytes_alone() {
        let pool = PixelPool::new(1 << 20);
        let n_free = || pool.free.available_permits() as u64 * PIXELS_PER_PERMIT;
        let mut budget = pool.budget();
        let pixels = 1 << 18;
        for n_pages in 1..=4 {
            let mut hold = budget.take(pixels, "a").unwrap();
            let of_others = (n_pages - 1) * counted(pixels / 5);
            assert_eq!(n_free(), (1 << 20) - of_others - pixels);
            hold.shrink_to_bytes(3 * pixels as usize);
            budget.keep(hold);
            assert_eq!(n_free(), (1 << 20) - n_pages * counted(pixels / 5));
        }
        // A page that is only counted holds nothing.
        let mut budget = pool.budget();
        let mut hold = budget.take(pixels, "a").unwrap();
        let n_before = n_free();
        hold.shrink_to_bytes(0);
        assert_eq!(n_free(), n_before + pixels);
    }

    #[test]
    fn memory_decides_how_many_pixels_there_are() {
        assert_eq!(pixels_within(0), LEAST_HELD_PIXELS);
        assert_eq!(pixels_within(600 << 20), (600 << 20) / 15);
        assert_eq!(pixels_within(u64::MAX), MOST_HELD_PIXELS);
    }

    #[test]
    fn what_is_no_image_is_said_so() {
        let source = ImageSource::Bytes(b"hello".to_vec());
        let error = ImageFile::open(&source, "url").unwrap_err();
        assert_eq!(error.code(), Code::InvalidImage);
    }
}
