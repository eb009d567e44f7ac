//! The files of a checkpoint: from an address and the browser's cache, or from a folder.

use std::collections::BTreeMap;

use glyph_model::checkpoint::CheckpointFiles;
use glyph_worker::{
    ErrorCode, Reply, WorkerError, fetch_fresh, field, js_message, read_blob, scope,
};
use js_sys::{Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, File, ReadableStreamDefaultReader, Request, Response};

/// Name of the browser's cache; `glyph.js` counts and deletes what is in it.
const CACHE: &str = "glyph-models";

/// The small files that a checkpoint may have.
const SMALL: [&str; 9] = [
    "config.json",
    "tokenizer.json",
    "chat_template.jinja",
    "tokenizer_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "render.json",
];

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files without which there is no checkpoint.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];

/// The small files that say which weights there are: where one of them has changed, so have the weights.
const DECISIVE: [&str; 2] = ["config.json", INDEX];

/// What tells one version of a file from another without reading it.
const VERSION_HEADERS: [&str; 3] = ["etag", "last-modified", "content-length"];

/// How often progress is told: a message for every chunk would be thousands.
const PROGRESS_BYTES: usize = 1 << 18;

/// Where files come from.
pub enum Source {
    /// A directory, and its files where they are known.
    Address(String, Option<Vec<String>>),
    /// Files of a folder.
    Folder(Vec<File>),
}

impl Source {
    /// As the message says.
    pub fn new(
        base: Option<String>,
        listing: Option<Vec<String>>,
        message: &JsValue,
    ) -> Result<Self, String> {
        if let Some(base) = base {
            return Ok(Self::Address(base, listing));
        }
        let files = field(message, "files");
        if !Array::is_array(&files) {
            return Err("neither an address nor files were given".to_owned());
        }
        let files = Array::from(&files).into_iter().map(JsCast::unchecked_into);
        Ok(Self::Folder(files.collect()))
    }
}

/// What has been read.
#[derive(Default)]
pub struct Files {
    small: BTreeMap<String, Vec<u8>>,
    /// Weight files by name.
    pub weights: Vec<(String, Vec<u8>)>,
    /// Bytes of all.
    pub bytes: u64,
    /// Whether every file came from the cache.
    pub from_cache: bool,
    /// Why files could not be kept.
    pub cache_error: Option<String>,
}

impl CheckpointFiles for Files {
    fn read(&self, name: &str) -> glyph_model::Result<Option<Vec<u8>>> {
        Ok(self.small.get(name).cloned())
    }
}

/// How far the files are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    stage: &'static str,
    file: &'a str,
    bytes: usize,
    total: usize,
    from_cache: bool,
}

impl Files {
    /// Reads all files that the model needs.
    pub async fn read_all(reader: &mut Reader<'_>) -> Result<Self, WorkerError> {
        let mut files = Self::default();
        for name in SMALL {
            if let Some(bytes) = reader.read(name).await? {
                files.small.insert(name.to_owned(), bytes);
            }
        }
        let shards = match reader.read(INDEX).await? {
            Some(index) => shards(&index)
                .map_err(|message| WorkerError::new(ErrorCode::NotACheckpoint, INDEX, message))?,
            None => vec![WEIGHTS.to_owned()],
        };
        for name in shards {
            let bytes = reader.read(&name).await?;
            let bytes = bytes.ok_or_else(|| {
                let message =
                    format!("{name} is not there. Choose a directory with a whole checkpoint");
                WorkerError::new(ErrorCode::MissingFile, &name, message)
            })?;
            files.weights.push((name, bytes));
        }
        let weights = files.weights.iter().map(|(_, bytes)| bytes.len() as u64);
        let small = files.small.values().map(|bytes| bytes.len() as u64);
        files.bytes = weights.chain(small).sum();
        files.from_cache = reader.n_fetched == 0 && reader.cache.is_some();
        files.cache_error = reader.cache_error.take();
        Ok(files)
    }
}

/// Names of the shards that an index lists.
fn shards(index: &[u8]) -> Result<Vec<String>, String> {
    let index: serde_json::Value =
        serde_json::from_slice(index).map_err(|error| format!("{INDEX} is not valid: {error}"))?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| format!("{INDEX} has no weight_map"))?;
    let names = map.values().filter_map(|name| name.as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reads the files of one source.
pub struct Reader<'a> {
    source: &'a Source,
    reply: Reply,
    cache: Option<Cache>,
    cache_error: Option<String>,
    /// Files that the cache did not have as they are now.
    n_fetched: usize,
}

impl<'a> Reader<'a> {
    /// Opens the cache, where the source has use for it.
    pub async fn new(source: &'a Source, reply: Reply) -> Self {
        let mut reader = Self {
            source,
            reply,
            cache: None,
            cache_error: None,
            n_fetched: 0,
        };
        if matches!(source, Source::Address(..)) {
            match open_cache().await {
                Ok(cache) => reader.cache = Some(cache),
                Err(reason) => reader.cache_error = Some(reason),
            }
        }
        reader
    }

    /// A file's bytes; `None` where there is no such file.
    async fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, WorkerError> {
        match self.source {
            Source::Address(_, Some(listing)) if !listing.iter().any(|file| file == name) => {
                Ok(None)
            }
            Source::Address(base, listing) => {
                let url = format!("{base}{name}");
                let kept = self.kept(&url).await;
                match kept {
                    // The directory's name changes with its content.
                    Some(kept) if listing.is_some() => self.body(&kept, name, true).await.map(Some),
                    kept if is_small(name) && listing.is_none() => {
                        self.revalidated(&url, name, kept).await
                    }
                    Some(kept) if !is_outdated(&url, &kept).await => {
                        self.body(&kept, name, true).await.map(Some)
                    }
                    _ => self.fetched(&url, name).await,
                }
            }
            Source::Folder(files) => {
                let Some(file) = files.iter().find(|file| file.name() == name) else {
                    return Ok(None);
                };
                if file.size() > isize::MAX as f64 {
                    return Err(too_large(name, file.size()));
                }
                let bytes = read_blob(file.into()).await;
                let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
                self.progress(name, bytes.len(), bytes.len(), false);
                Ok(Some(bytes))
            }
        }
    }

    /// A file as the host has it, which is then kept.
    async fn fetched(&mut self, url: &str, name: &str) -> Result<Option<Vec<u8>>, WorkerError> {
        let Some(response) = fetch_fresh(url, "GET").await? else {
            return Ok(None);
        };
        if is_web_page(&response) {
            return Err(web_page(url));
        }
        self.n_fetched += 1;
        // The copy is kept while the original is read.
        let copy = response.clone().ok();
        let keeping = self.cache.as_ref().zip(copy);
        let keeping = keeping.map(|(cache, copy)| JsFuture::from(cache.put_with_str(url, &copy)));
        let bytes = self.body(&response, name, false).await?;
        if let Some(keeping) = keeping
            && let Err(error) = keeping.await
        {
            self.cache_error = Some(js_message(&error));
        }
        Ok(Some(bytes))
    }

    /// A small file as the host has it now: a checkpoint may change at its address, and what is kept of
    /// it may never have been one. What is kept is taken while the host cannot be reached.
    async fn revalidated(
        &mut self,
        url: &str,
        name: &str,
        kept: Option<Response>,
    ) -> Result<Option<Vec<u8>>, WorkerError> {
        let before = match &kept {
            Some(kept) => Some(self.body(kept, name, true).await?),
            None => None,
        };
        let response = match fetch_fresh(url, "GET").await {
            Ok(response) => response,
            Err(error) => return before.map(Some).ok_or(error),
        };
        // Hosts of single-page applications have a page for every path; a file that a checkpoint can do
        // without is then not there.
        let response = match response {
            Some(response) if is_web_page(&response) => {
                if REQUIRED.contains(&name) {
                    return Err(web_page(url));
                }
                None
            }
            response => response,
        };
        let copy = response.as_ref().and_then(|file| file.clone().ok());
        let now = match &response {
            Some(response) => Some(self.body(response, name, false).await?),
            None => None,
        };
        if now == before {
            return Ok(now);
        }
        self.n_fetched += 1;
        if DECISIVE.contains(&name) {
            self.forget(|file| !is_small(file)).await;
        }
        if let Some(cache) = &self.cache {
            let kept = match copy {
                Some(copy) => JsFuture::from(cache.put_with_str(url, &copy)).await,
                None => JsFuture::from(cache.delete_with_str(url)).await,
            };
            if let Err(error) = kept {
                self.cache_error = Some(js_message(&error));
            }
        }
        Ok(now)
    }

    /// What the cache has; earlier versions of this program kept web pages too.
    async fn kept(&self, url: &str) -> Option<Response> {
        let found = JsFuture::from(self.cache.as_ref()?.match_with_str(url)).await;
        let found: Response = found.ok()?.dyn_into().ok()?;
        (!is_web_page(&found)).then_some(found)
    }

    async fn body(
        &self,
        response: &Response,
        name: &str,
        kept: bool,
    ) -> Result<Vec<u8>, WorkerError> {
        let broken = |error| {
            let message = format!("{name} broke off: {}", js_message(&error));
            WorkerError::new(ErrorCode::Network, name, message)
        };
        // Of a compressed body the header has another length.
        let total = match header(response, "content-encoding") {
            Some(_) => 0,
            None => header(response, "content-length")
                .and_then(|length| length.parse::<u64>().ok())
                .unwrap_or(0),
        };
        let mut bytes = Vec::new();
        let reserve = |bytes: &mut Vec<u8>, more: u64| {
            let fits = usize::try_from(more).is_ok_and(|more| bytes.try_reserve(more).is_ok());
            let size = total.max(bytes.len() as u64 + more);
            if fits {
                Ok(())
            } else {
                Err(too_large(name, size as f64))
            }
        };
        reserve(&mut bytes, total)?;
        let Some(body) = response.body() else {
            return Ok(bytes);
        };
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        let mut told = 0;
        loop {
            let chunk = JsFuture::from(reader.read()).await.map_err(broken)?;
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
                self.progress(name, told, total as usize, kept);
            }
        }
        self.progress(name, bytes.len(), bytes.len(), kept);
        Ok(bytes)
    }

    fn progress(&self, file: &str, bytes: usize, total: usize, from_cache: bool) {
        let progress = Progress {
            stage: "download",
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
        self.delete(|url| url.strip_prefix(base.as_str()).is_some_and(is_meant))
            .await;
    }

    /// Deletes other versions of the built-in model: their directories stand beside this one.
    pub async fn forget_earlier(&self) {
        let Source::Address(base, Some(_)) = self.source else {
            return;
        };
        let trimmed = base.trim_end_matches('/');
        let parent = trimmed.rfind('/').map_or(trimmed, |end| &trimmed[..=end]);
        self.delete(|url| url.starts_with(parent) && !url.starts_with(base.as_str()))
            .await;
    }

    async fn delete(&self, is_meant: impl Fn(&str) -> bool) {
        let Some(cache) = &self.cache else {
            return;
        };
        let keys = JsFuture::from(cache.keys()).await;
        for key in Array::from(&keys.unwrap_or(JsValue::UNDEFINED)).iter() {
            let url = key.unchecked_into::<Request>().url();
            if is_meant(&url) {
                // What is left takes room and does no harm.
                let _ = JsFuture::from(cache.delete_with_str(&url)).await;
            }
        }
    }
}

fn is_small(name: &str) -> bool {
    SMALL.contains(&name) || name == INDEX
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

fn is_web_page(response: &Response) -> bool {
    let kind = header(response, "content-type").unwrap_or_default();
    kind.trim_start()
        .to_ascii_lowercase()
        .starts_with("text/html")
}

fn web_page(url: &str) -> WorkerError {
    let message = format!(
        "{url} is a web page rather than a file of a checkpoint. Enter the address of the directory that \
         holds config.json"
    );
    WorkerError::new(ErrorCode::WebPage, url, message)
}

fn too_large(name: &str, bytes: f64) -> WorkerError {
    let size = format!("{name}: {:.0} MB", bytes / 1e6);
    let message = format!(
        "{size} do not fit the memory of a tab. Choose a smaller checkpoint, or run this one on a server"
    );
    WorkerError::new(ErrorCode::TooLarge, size, message)
}

/// Whether the host has another version of a file than the one that is kept. A host that cannot be
/// reached, and one that does not say, leave what is kept.
async fn is_outdated(url: &str, kept: &Response) -> bool {
    let now = match fetch_fresh(url, "HEAD").await {
        Ok(Some(now)) => now,
        // It has gone, or GET has more to say.
        Ok(None) => return true,
        Err(_) => return false,
    };
    let is_encoded = |response| header(response, "content-encoding").is_some();
    let has_lengths = !is_encoded(&now) && !is_encoded(kept);
    VERSION_HEADERS.iter().any(|&name| {
        // A compressed answer has another length, and its tag is a weak one.
        let version = |response| {
            let value = header(response, name)?;
            let is_told = name != "content-length" || has_lengths;
            is_told.then(|| value.trim_start_matches("W/").to_owned())
        };
        matches!((version(&now), version(kept)), (Some(now), Some(kept)) if now != kept)
    })
}

/// The browser's cache; pages that are not on https or localhost have none.
async fn open_cache() -> Result<Cache, String> {
    let caches = field(&scope(), "caches");
    if caches.is_falsy() {
        return Err("it is not on https or localhost".to_owned());
    }
    let caches: web_sys::CacheStorage = caches.unchecked_into();
    let cache = JsFuture::from(caches.open(CACHE)).await;
    cache
        .map(JsCast::unchecked_into)
        .map_err(|error| js_message(&error))
}
