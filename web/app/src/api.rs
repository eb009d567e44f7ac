//! The JavaScript API `glyph.js`, which stands beside this program.

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::{AbortSignal, Blob};

#[wasm_bindgen(raw_module = "./glyph.js")]
extern "C" {
    /// Text of a file.
    #[wasm_bindgen(js_name = decodeText)]
    pub fn decode_text(file: &Blob, options: &DecodeOptions) -> Promise;
    /// Draws a text, a string or a blob.
    #[wasm_bindgen(js_name = renderPages)]
    pub fn render_pages(text: &JsValue, options: &RenderOptions) -> Promise;
    /// An archive of named blobs.
    pub fn zip(entries: &Array, options: &ZipOptions) -> Promise;
    /// A model in a worker.
    #[wasm_bindgen(js_name = loadModel)]
    pub fn load_model(options: &LoadOptions) -> Promise;
    /// Bytes of kept models.
    #[wasm_bindgen(js_name = cachedBytes)]
    pub fn cached_bytes() -> Promise;
    /// Deletes kept models.
    #[wasm_bindgen(js_name = deleteCached)]
    pub fn delete_cached() -> Promise;
    /// Why there is no WebGPU.
    #[wasm_bindgen(js_name = webgpuProblem)]
    pub fn webgpu_problem() -> Promise;
    /// Fonts and built-in model.
    pub fn assets() -> Promise;

    /// A loaded model.
    #[derive(Clone)]
    pub type Model;
    /// Asks about pages.
    #[wasm_bindgen(method)]
    pub fn ask(this: &Model, options: &AskOptions) -> Promise;
    /// Tokens of a text, a string or a blob.
    #[wasm_bindgen(method, js_name = countTokens)]
    pub fn count_tokens(this: &Model, text: &JsValue) -> Promise;
    /// Whether the worker has ended.
    #[wasm_bindgen(method, getter, js_name = isClosed)]
    pub fn is_closed(this: &Model) -> bool;
    /// Ends the worker.
    #[wasm_bindgen(method)]
    pub fn close(this: &Model);
}

#[wasm_bindgen]
extern "C" {
    /// Options of `decodeText`.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub type DecodeOptions;
    #[wasm_bindgen(method, setter)]
    pub fn set_most(this: &DecodeOptions, most: f64);
    #[wasm_bindgen(method, setter)]
    pub fn set_encoding(this: &DecodeOptions, encoding: &str);
    #[wasm_bindgen(method, setter)]
    pub fn set_signal(this: &DecodeOptions, signal: &AbortSignal);

    /// Options of `zip`.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub type ZipOptions;
    #[wasm_bindgen(method, setter, js_name = onProgress)]
    pub fn set_on_progress(this: &ZipOptions, on_progress: &Function);
    #[wasm_bindgen(method, setter)]
    pub fn set_signal(this: &ZipOptions, signal: &AbortSignal);

    /// Options of `renderPages`.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub type RenderOptions;
    #[wasm_bindgen(method, setter)]
    pub fn set_style(this: &RenderOptions, style: &JsValue);
    #[wasm_bindgen(method, setter)]
    pub fn set_overrides(this: &RenderOptions, overrides: &JsValue);
    #[wasm_bindgen(method, setter)]
    pub fn set_rules(this: &RenderOptions, rules: &JsValue);
    #[wasm_bindgen(method, setter, js_name = onPages)]
    pub fn set_on_pages(this: &RenderOptions, on_pages: &Function);
    #[wasm_bindgen(method, setter, js_name = onProgress)]
    pub fn set_on_progress(this: &RenderOptions, on_progress: &Function);
    #[wasm_bindgen(method, setter)]
    pub fn set_signal(this: &RenderOptions, signal: &AbortSignal);

    /// Options of `loadModel`.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub type LoadOptions;
    #[wasm_bindgen(method, setter)]
    pub fn set_url(this: &LoadOptions, url: &str);
    #[wasm_bindgen(method, setter)]
    pub fn set_files(this: &LoadOptions, files: &JsValue);
    #[wasm_bindgen(method, setter)]
    pub fn set_device(this: &LoadOptions, device: &JsValue);
    #[wasm_bindgen(method, setter, js_name = onProgress)]
    pub fn set_on_progress(this: &LoadOptions, on_progress: &Function);
    #[wasm_bindgen(method, setter)]
    pub fn set_signal(this: &LoadOptions, signal: &AbortSignal);

    /// Options of `ask`.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub type AskOptions;
    #[wasm_bindgen(method, setter)]
    pub fn set_pages(this: &AskOptions, pages: &Array);
    #[wasm_bindgen(method, setter)]
    pub fn set_question(this: &AskOptions, question: &str);
    #[wasm_bindgen(method, setter, js_name = maxTokens)]
    pub fn set_max_tokens(this: &AskOptions, max_tokens: f64);
    #[wasm_bindgen(method, setter, js_name = onToken)]
    pub fn set_on_token(this: &AskOptions, on_token: &Function);
    #[wasm_bindgen(method, setter, js_name = onProgress)]
    pub fn set_on_progress(this: &AskOptions, on_progress: &Function);
    #[wasm_bindgen(method, setter)]
    pub fn set_signal(this: &AskOptions, signal: &AbortSignal);
}

/// An empty object of options.
pub fn options<T: wasm_bindgen::JsCast>() -> T {
    wasm_bindgen::JsCast::unchecked_into(js_sys::Object::new())
}
