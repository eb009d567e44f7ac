//! The web page: its built files, or a few lines that say where the API is.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::services::ServeDir;

use crate::no_route;
use crate::state::AppState;

const PLAIN_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Glyph Runtime</title>\
<body><h1>Glyph Runtime</h1><p>The API is at <code>/v1</code>, as OpenAI's. \
<a href=\"/docs/\">Its documentation</a>, <a href=\"/openapi.json\">its description</a>, \
<a href=\"/ready\">whether the model answers</a>.</p></body></html>";

/// What files of the page are asked with, as the header names it.
const READS: &str = "GET,HEAD";

/// A file whose name holds its content's hash never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// By this header the page knows that it comes from a server with the API, not from a host of plain files;
/// its value is the version.
const RUNTIME: HeaderName = HeaderName::from_static("x-glyph-runtime");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));

/// Weights have no ending that is known. They are dense: compressing them takes long, and a browser could not say
/// how much of them has come.
const DENSE: NotForContentType = NotForContentType::const_new("application/octet-stream");

/// What workers that share memory need.
const ISOLATION: [(&str, &str); 3] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Answers what is no route: with a file of the page, if there is one.
pub async fn serve(State(state): State<AppState>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let is_read = [Method::GET, Method::HEAD].contains(&method);
    let asked = if is_read {
        request
    } else {
        // Whether a file is there is the same for all methods.
        let mut asked = Request::new(Body::empty());
        *asked.method_mut() = Method::HEAD;
        *asked.uri_mut() = uri.clone();
        asked
    };
    match page(&state, asked).await {
        None => no_route::not_found(uri.path()).into_response(),
        Some(page) if is_read => page,
        Some(_) => {
            let error = no_route::wrong_method(&method, uri.path());
            ([(header::ALLOW, READS)], error).into_response()
        }
    }
}

/// The file of the page that is asked for, if there is one.
async fn page(state: &AppState, request: Request) -> Option<Response> {
    let path = request.uri().path().to_owned();
    if path.starts_with("/v1/") {
        return None;
    }
    let Some(directory) = &state.config().web_directory else {
        return (path == "/").then(|| Html(PLAIN_PAGE).into_response());
    };
    if !is_inside(directory, &path).await {
        return None;
    }
    let files = tower::ServiceBuilder::new()
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(DENSE)))
        .service(
            ServeDir::new(directory)
                .precompressed_br()
                .precompressed_gzip(),
        );
    let mut response = match files.oneshot(request).await {
        Ok(response) if response.status() != StatusCode::NOT_FOUND => response.into_response(),
        Ok(_) => return None,
        Err(never) => match never {},
    };
    set_headers(&path, response.headers_mut());
    Some(response)
}

/// Whether a path leads to a file of the page: to nothing that begins with a dot, and, wherever links lead, to nothing
/// outside of the directory.
async fn is_inside(directory: &Path, path: &str) -> bool {
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        return false;
    };
    let is_hidden = |part: &str| part.starts_with('.') || part.contains(['\\', '\0']);
    if path.split('/').any(is_hidden) {
        return false;
    }
    let directory = directory.to_owned();
    let file = directory.join(path.trim_start_matches('/'));
    let checked = tokio::task::spawn_blocking(move || {
        let Ok(directory) = directory.canonicalize() else {
            return false;
        };
        let is_inside = |file: &Path| match file.canonicalize() {
            Ok(target) => target.starts_with(&directory),
            // What is not there is not served.
            Err(_) => true,
        };
        // A folder stands for its first page, and a file for its compressed copies.
        let file = if file.is_dir() {
            file.join("index.html")
        } else {
            file
        };
        let copy = |ending: &str| {
            let mut name = file.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        is_inside(&file) && is_inside(&copy(".br")) && is_inside(&copy(".gz"))
    });
    checked.await.unwrap_or(false)
}

fn set_headers(path: &str, headers: &mut HeaderMap) {
    let caching = if is_hashed(path) { IMMUTABLE } else { NO_CACHE };
    headers.insert(header::CACHE_CONTROL, caching);
    headers.insert(RUNTIME, VERSION);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    for (name, value) in ISOLATION {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
}

/// Whether a file's name ends with a hash, as bundlers write them: `app-3f2a91bc.js`, `app.3f2a91bc5d.css`.
fn is_hashed(path: &str) -> bool {
    const LEAST_CHARS: usize = 8;
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    let Some((stem, _)) = name.and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    // A name may have a second ending: app-3f2a91bc.js.map, app-3f2a91bc_bg.wasm.
    stem.split(['-', '.', '_']).skip(1).any(|part| {
        let is_word = part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        part.len() >= LEAST_CHARS && is_word && part.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::is_hashed;

    #[test]
    fn names_with_hashes_are_told_from_others() {
        for path in [
            "/app-3f2a91bc.js",
            "/a/app.3f2a91bc5d.css",
            "/app-Dx81kPq2_bg.wasm",
            "/app-3f2a91bc.js.map",
        ] {
            assert!(is_hashed(path), "{path}");
        }
        for path in [
            "/",
            "/index.html",
            "/app.js",
            "/service-worker.js",
            "/a-3f2a91bc/index.html",
            "/background-something.png",
        ] {
            assert!(!is_hashed(path), "{path}");
        }
    }
}
