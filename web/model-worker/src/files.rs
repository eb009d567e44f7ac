//! The files of a checkpoint: from an address and the browser's cache, or from a folder.

use std::collections::BTreeMap;

use glyph_model::checkpoint::CheckpointFiles;
use glyph_worker::{Reply, fetch, field, js_message, read_blob, scope};
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
    pub async fn read_all(source: &Source, reply: Reply) -> Result<Self, String> {
        let mut reader = Reader::new(source, reply).await;
        let mut files = Self::default();
        for name in SMALL {
            if let Some(bytes) = reader.read(name).await? {
                files.small.insert(name.to_owned(), bytes);
            }
        }
        let shards = match reader.read(INDEX).await? {
            Some(index) => shards(&index)?,
            None => vec![WEIGHTS.to_owned()],
        };
        for name in shards {
            let bytes = reader.read(&name).await?;
            let bytes = bytes.ok_or_else(|| {
                format!("{name} is not there. Choose a directory with a whole checkpoint")
            })?;
            files.weights.push((name, bytes));
        }
        let weights = files.weights.iter().map(|(_, bytes)| bytes.len() as u64);
        let small = files.small.values().map(|bytes| bytes.len() as u64);
        files.bytes = weights.chain(small).sum();
        files.from_cache = reader.n_fetched == 0 && reader.cache.is_some();
        files.cache_error = reader.cache_error.take();
        reader.forget_earlier().await;
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

struct Reader<'a> {
    source: &'a Source,
    reply: Reply,
    cache: Option<Cache>,
    cache_error: Option<String>,
    n_fetched: usize,
}

impl<'a> Reader<'a> {
    async fn new(source: &'a Source, reply: Reply) -> Self {
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
    async fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self.source {
            Source::Address(_, Some(listing)) if !listing.iter().any(|file| file == name) => {
                Ok(None)
            }
            Source::Address(base, _) => self.read_address(&format!("{base}{name}"), name).await,
            Source::Folder(files) => {
                let Some(file) = files.iter().find(|file| file.name() == name) else {
                    return Ok(None);
                };
                let bytes = read_blob(file.into()).await;
                let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
                self.progress(name, bytes.len(), bytes.len(), false);
                Ok(Some(bytes))
            }
        }
    }

    async fn read_address(&mut self, url: &str, name: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(response) = self.kept(url).await {
            return self.body(&response, name, true).await.map(Some);
        }
        let Some(response) = fetch(url).await? else {
            return Ok(None);
        };
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

    async fn kept(&self, url: &str) -> Option<Response> {
        let found = JsFuture::from(self.cache.as_ref()?.match_with_str(url)).await;
        found.ok()?.dyn_into().ok()
    }

    async fn body(&self, response: &Response, name: &str, kept: bool) -> Result<Vec<u8>, String> {
        let broken = |error| format!("{name} broke off: {}", js_message(&error));
        // Of a compressed body the header has another length.
        let header = |name: &str| response.headers().get(name).ok().flatten();
        let total = match header("content-encoding") {
            Some(_) => 0,
            None => header("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0),
        };
        let mut bytes = Vec::with_capacity(total);
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
            let start = bytes.len();
            bytes.resize(start + chunk.length() as usize, 0);
            chunk.copy_to(&mut bytes[start..]);
            if bytes.len() - told >= PROGRESS_BYTES {
                told = bytes.len();
                self.progress(name, told, total, kept);
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

    /// Deletes other versions of the built-in model: their directories stand beside this one.
    async fn forget_earlier(&self) {
        let (Some(cache), Source::Address(base, Some(_))) = (&self.cache, self.source) else {
            return;
        };
        let trimmed = base.trim_end_matches('/');
        let parent = trimmed.rfind('/').map_or(trimmed, |end| &trimmed[..=end]);
        let keys = JsFuture::from(cache.keys()).await;
        for key in Array::from(&keys.unwrap_or(JsValue::UNDEFINED)).iter() {
            let url = key.unchecked_into::<Request>().url();
            if url.starts_with(parent) && !url.starts_with(base.as_str()) {
                // What is left takes room and does no harm.
                let _ = JsFuture::from(cache.delete_with_str(&url)).await;
            }
        }
    }
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
