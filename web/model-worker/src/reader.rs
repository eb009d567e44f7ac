//! Reads the files of one source, those of an address through the browser's cache.

use glyph_web_core::stage::LoadStage;
use glyph_worker::{Reply, fetch_fresh, field, js_message, read_blob};
use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response};

use crate::cache::ModelCache;
use crate::error::ModelFailure;
use crate::files::{is_decisive, is_required, is_small};
use crate::source::Source;
use crate::versions::{is_gone, is_outdated, is_web_page, is_withheld, length};

/// How often progress is told: a message for every chunk would be thousands.
const PROGRESS_BYTES: usize = 1 << 18;

/// How far a file is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    stage: LoadStage,
    file: &'a str,
    bytes: u64,
    /// 0 where it is not known.
    total: u64,
    from_cache: bool,
}

/// Reads the files of one source.
pub struct Reader<'a> {
    source: &'a Source,
    reply: Reply,
    cache: ModelCache,
    /// Files that the cache did not have as they are now.
    n_fetched: usize,
}

impl<'a> Reader<'a> {
    /// Opens the cache, where the source has use for it.
    pub async fn new(source: &'a Source, reply: Reply) -> Self {
        let cache = match source {
            Source::Address(..) => ModelCache::open().await,
            Source::Folder(_) => ModelCache::default(),
        };
        Self {
            source,
            reply,
            cache,
            n_fetched: 0,
        }
    }

    /// Whether every file that was read came from the cache.
    pub fn is_all_kept(&self) -> bool {
        self.n_fetched == 0 && self.cache.is_open()
    }

    /// Why files could not be kept.
    pub fn take_cache_error(&mut self) -> Option<String> {
        self.cache.error.take()
    }

    /// A file's bytes; `None` where there is no such file.
    pub async fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, ModelFailure> {
        match self.source {
            Source::Address(base, listing) => {
                let url = format!("{base}{name}");
                let Some(listing) = listing else {
                    return self.read_unlisted(&url, name).await;
                };
                let Some(file) = listing.iter().find(|file| file.name == name) else {
                    return Ok(None);
                };
                // The directory's name changes with its content.
                match self.cache.kept(&url).await {
                    Some(kept) => {
                        let bytes = self.body(&kept, name, Some(file.bytes), true).await;
                        bytes.map(Some)
                    }
                    None => self.fetched(&url, name, Some(file.bytes)).await,
                }
            }
            Source::Folder(files) => {
                let Some(file) = files.iter().find(|file| file.name() == name) else {
                    return Ok(None);
                };
                if file.size() > isize::MAX as f64 {
                    return Err(ModelFailure::too_large(name, file.size()));
                }
                let bytes = read_blob(file.into(), name).await?;
                self.progress(name, bytes.len() as u64, bytes.len() as u64, false);
                Ok(Some(bytes))
            }
        }
    }

    /// A file of a directory whose files are not known.
    async fn read_unlisted(
        &mut self,
        url: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, ModelFailure> {
        let kept = self.cache.kept(url).await;
        match kept {
            kept if is_small(name) => self.revalidated(url, name, kept).await,
            Some(kept) if !is_outdated(url, &kept).await => {
                self.body(&kept, name, None, true).await.map(Some)
            }
            _ => self.fetched(url, name, None).await,
        }
    }

    /// A file as the host has it, which is then kept.
    async fn fetched(
        &mut self,
        url: &str,
        name: &str,
        listed_bytes: Option<u64>,
    ) -> Result<Option<Vec<u8>>, ModelFailure> {
        let response = match fetch_fresh(url, "GET").await {
            Ok(response) => response,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if is_web_page(&response) {
            return Err(web_page(url));
        }
        self.n_fetched += 1;
        // The copy is kept while the original is read.
        let copy = response.clone().ok();
        let keeping = copy.and_then(|copy| self.cache.keep(url, &copy));
        let bytes = self.body(&response, name, listed_bytes, false).await?;
        self.cache.settle(keeping).await;
        Ok(Some(bytes))
    }

    /// A small file as the host has it now: a checkpoint may change at its address, and what is kept of
    /// it may never have been one. What is kept is taken while the host does not hand it out.
    async fn revalidated(
        &mut self,
        url: &str,
        name: &str,
        kept: Option<Response>,
    ) -> Result<Option<Vec<u8>>, ModelFailure> {
        let before = match &kept {
            Some(kept) => Some(self.body(kept, name, None, true).await?),
            None => None,
        };
        let response = match fetch_fresh(url, "GET").await {
            // Hosts of single-page applications have a page for every path; a file that a checkpoint can
            // do without is then not there.
            Ok(response) if is_web_page(&response) => {
                if is_required(name) {
                    return Err(web_page(url));
                }
                None
            }
            Ok(response) => Some(response),
            Err(error) if is_gone(&error) => None,
            Err(_) if before.is_some() => return Ok(before),
            Err(error) if is_withheld(&error) && !is_required(name) => None,
            Err(error) => return Err(error.into()),
        };
        let copy = response.as_ref().and_then(|file| file.clone().ok());
        let now = match &response {
            Some(response) => Some(self.body(response, name, None, false).await?),
            None => None,
        };
        if now == before {
            return Ok(now);
        }
        self.n_fetched += 1;
        if is_decisive(name) {
            self.forget(|file| !is_small(file)).await;
        }
        let change = match copy {
            Some(copy) => self.cache.keep(url, &copy),
            None => self.cache.drop_file(url),
        };
        self.cache.settle(change).await;
        Ok(now)
    }

    async fn body(
        &self,
        response: &Response,
        name: &str,
        listed_bytes: Option<u64>,
        kept: bool,
    ) -> Result<Vec<u8>, ModelFailure> {
        let total = listed_bytes.or_else(|| length(response)).unwrap_or(0);
        let mut bytes = Vec::new();
        let reserve = |bytes: &mut Vec<u8>, more: u64| {
            let fits = usize::try_from(more).is_ok_and(|more| bytes.try_reserve(more).is_ok());
            let size = total.max(bytes.len() as u64 + more);
            if fits {
                Ok(())
            } else {
                Err(ModelFailure::too_large(name, size as f64))
            }
        };
        reserve(&mut bytes, total)?;
        let Some(body) = response.body() else {
            return Ok(bytes);
        };
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        let mut told = 0;
        loop {
            let chunk = JsFuture::from(reader.read()).await;
            let chunk = chunk.map_err(|error| ModelFailure::BrokeOff {
                name: name.to_owned(),
                reason: js_message(&error),
            })?;
            if field(&chunk, "done").is_truthy() {
                break;
            }
            let chunk = Uint8Array::new(&field(&chunk, "value"));
            reserve(&mut bytes, chunk.length().into())?;
            let start = bytes.len();
            bytes.resize(start + chunk.length() as usize, 0);
            chunk.copy_to(&mut bytes[start..]);
            if bytes.len() - told >= PROGRESS_BYTES {
                told = bytes.len();
                self.progress(name, told as u64, total, kept);
            }
        }
        self.progress(name, bytes.len() as u64, bytes.len() as u64, kept);
        Ok(bytes)
    }

    fn progress(&self, file: &str, bytes: u64, total: u64, from_cache: bool) {
        let progress = Progress {
            stage: LoadStage::Download,
            file,
            bytes,
            total,
            from_cache,
        };
        self.reply.send("progress", &progress);
    }

    /// Deletes what is kept of this directory, as far as it is meant.
    pub async fn forget(&self, is_meant: impl Fn(&str) -> bool) {
        let Source::Address(base, _) = self.source else {
            return;
        };
        // Another checkpoint may stand in a directory within this one.
        let is_meant = |file: &str| !file.contains('/') && is_meant(file);
        self.cache
            .delete(|url| url.strip_prefix(base.as_str()).is_some_and(is_meant))
            .await;
    }

    /// Deletes other versions of the built-in model: their directories stand beside this one.
    pub async fn forget_earlier(&self) {
        let Source::Address(base, Some(_)) = self.source else {
            return;
        };
        let trimmed = base.trim_end_matches('/');
        let parent = trimmed.rfind('/').map_or(trimmed, |end| &trimmed[..=end]);
        self.cache
            .delete(|url| url.starts_with(parent) && !url.starts_with(base.as_str()))
            .await;
    }
}

fn web_page(url: &str) -> ModelFailure {
    ModelFailure::WebPage {
        url: url.to_owned(),
    }
}
