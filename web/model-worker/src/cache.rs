//! What the browser keeps of checkpoints.

use glyph_worker::{field, js_message, scope};
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, CacheStorage, Request, Response};

use crate::versions::is_web_page;

/// Name of the browser's cache; `glyph.js` counts and deletes what is in it.
const NAME: &str = "glyph-models";

/// The browser's cache, where it can be used.
#[derive(Default)]
pub struct ModelCache {
    cache: Option<Cache>,
    /// Why files could not be kept; the page has the fixed sentence in Chinese.
    pub error: Option<String>,
}

impl ModelCache {
    /// Opens it; pages that are not on https or localhost have none.
    pub async fn open() -> Self {
        match open().await {
            Ok(cache) => Self {
                cache: Some(cache),
                error: None,
            },
            Err(reason) => Self {
                cache: None,
                error: Some(reason),
            },
        }
    }

    /// Whether files can be kept.
    pub fn is_open(&self) -> bool {
        self.cache.is_some()
    }

    /// What is kept of a file. A web page is none of a checkpoint's.
    pub async fn kept(&self, url: &str) -> Option<Response> {
        let found = JsFuture::from(self.cache.as_ref()?.match_with_str(url)).await;
        let found: Response = found.ok()?.dyn_into().ok()?;
        (!is_web_page(&found)).then_some(found)
    }

    /// Begins to keep a file; [`settle`](Self::settle) waits until that is done.
    pub fn keep(&self, url: &str, response: &Response) -> Option<JsFuture> {
        let cache = self.cache.as_ref()?;
        Some(JsFuture::from(cache.put_with_str(url, response)))
    }

    /// Begins to delete a file.
    pub fn drop_file(&self, url: &str) -> Option<JsFuture> {
        let cache = self.cache.as_ref()?;
        Some(JsFuture::from(cache.delete_with_str(url)))
    }

    /// Waits for a change of the cache, and notes why it failed.
    pub async fn settle(&mut self, change: Option<JsFuture>) {
        if let Some(change) = change
            && let Err(error) = change.await
        {
            self.error = Some(js_message(&error));
        }
    }

    /// Deletes the files whose addresses are meant.
    pub async fn delete(&self, is_meant: impl Fn(&str) -> bool) {
        let Some(cache) = &self.cache else {
            return;
        };
        let Ok(keys) = JsFuture::from(cache.keys()).await else {
            return;
        };
        for key in keys.unchecked_into::<Array>().iter() {
            let url = key.unchecked_into::<Request>().url();
            if is_meant(&url) {
                // What is left takes room and does no harm.
                let _ = JsFuture::from(cache.delete_with_str(&url)).await;
            }
        }
    }
}

async fn open() -> Result<Cache, String> {
    let caches: JsValue = field(&scope(), "caches");
    if caches.is_falsy() {
        return Err("it is not on https or localhost".to_owned());
    }
    let caches: CacheStorage = caches.unchecked_into();
    let cache = JsFuture::from(caches.open(NAME)).await;
    cache
        .map(JsCast::unchecked_into)
        .map_err(|error| js_message(&error))
}
