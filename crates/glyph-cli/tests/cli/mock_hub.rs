//! A hub on this machine that speaks the routes of Hugging Face's, and what it may do wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io, thread};

use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_lite::stream::{self, StreamExt};
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPOSITORY: &str = "someone/tiny";

/// What the hub does wrong or otherwise.
#[derive(Clone, Default)]
pub struct Faults {
    /// Wants this token.
    pub token: Option<&'static str>,
    /// Damages the bytes of this file.
    pub damaged: Option<&'static str>,
    /// Sends no more bytes at a time.
    pub most_bytes: Option<usize>,
    /// Answers like this, once, when bytes from here on are asked for.
    pub fails_at: Option<(usize, StatusCode)>,
    /// Breaks the connection off before this byte of this file, once.
    pub cuts_at: Option<(&'static str, usize)>,
    /// Names a file like this.
    pub extra_name: Option<&'static str>,
    /// Says that files have this tag.
    pub tag: Option<&'static str>,
    /// Marks tags as weak.
    pub is_weak: bool,
    /// Says that files are of this commit.
    pub commit: Option<String>,
    /// Says that files have this length.
    pub length: Option<&'static str>,
    /// Has the weights at this address; at none if it is empty.
    pub elsewhere: Option<String>,
    /// Answers with a web page.
    pub is_page: bool,
    /// Calls its commit this, besides `main`.
    pub revision: Option<&'static str>,
    /// Sends files from their beginning and in chunks, without their length.
    pub is_chunked: bool,
}

/// What the hub was asked about a file.
#[derive(Clone)]
pub struct Asked {
    pub file: String,
    /// None if only the headers were asked for.
    pub range: Option<String>,
    pub has_token: bool,
}

/// The hub: its files, its faults, and all that it was asked for.
#[derive(Clone)]
pub struct Hub {
    pub files: Arc<BTreeMap<String, Vec<u8>>>,
    pub faults: Arc<Mutex<Faults>>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hub {
    /// Serves the files of a directory and some more.
    pub fn serve(directory: &Path, more: &[(&str, Vec<u8>)]) -> (Self, String) {
        let mut files: BTreeMap<String, Vec<u8>> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read(&path).unwrap())
            })
            .collect();
        files.extend(
            more.iter()
                .map(|(name, bytes)| ((*name).to_owned(), bytes.clone())),
        );
        let hub = Self {
            files: Arc::new(files),
            faults: Arc::default(),
            asked: Arc::default(),
        };
        let router = Router::new()
            .route("/api/models/{owner}/{name}/revision/{revision}", get(info))
            .route("/{owner}/{name}/resolve/{revision}/{file}", get(file))
            .with_state(hub.clone());
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        (hub, endpoint)
    }

    pub fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
        self.asked.lock().unwrap().clear();
    }

    /// Ranges of a file that were asked for.
    pub fn asked_for(&self, file: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let of_file = asked.iter().filter(|asked| asked.file == file);
        of_file.filter_map(|asked| asked.range.clone()).collect()
    }

    /// Whether bytes of any file were asked for.
    pub fn was_asked_for_bytes(&self) -> bool {
        let asked = self.asked.lock().unwrap();
        asked.iter().any(|asked| asked.range.is_some())
    }
}

async fn info(
    State(hub): State<Hub>,
    UrlPath((owner, name, revision)): UrlPath<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let faults = hub.faults.lock().unwrap().clone();
    if faults.is_page {
        return Html("<p>Welcome</p>").into_response();
    }
    if let Some(token) = faults.token {
        let given = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap());
        if given != Some(&format!("Bearer {token}")) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    let known = [Some("main"), Some(COMMIT), faults.revision];
    if format!("{owner}/{name}") != REPOSITORY || !known.contains(&Some(revision.as_str())) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut names: Vec<&str> = hub.files.keys().map(String::as_str).collect();
    names.extend(faults.extra_name);
    let siblings: Vec<_> = names
        .iter()
        .map(|name| serde_json::json!({ "rfilename": name }))
        .collect();
    Json(serde_json::json!({ "sha": COMMIT, "siblings": siblings })).into_response()
}

async fn file(
    State(hub): State<Hub>,
    UrlPath((_, _, revision, name)): UrlPath<(String, String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    assert_eq!(revision, COMMIT, "files are fetched at one commit");
    let range = headers
        .get(header::RANGE)
        .map(|range| range.to_str().unwrap().to_owned());
    hub.asked.lock().unwrap().push(Asked {
        file: name.clone(),
        range: range.clone(),
        has_token: headers.contains_key(header::AUTHORIZATION),
    });
    let Some(bytes) = hub.files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut faults = hub.faults.lock().unwrap();
    let tag = faults.tag.map_or_else(|| sha256(bytes), str::to_owned);
    let weak = if faults.is_weak { "W/" } else { "" };
    let commit = faults.commit.clone().unwrap_or(COMMIT.to_owned());
    if let Some(elsewhere) = &faults.elsewhere
        && name.ends_with(".safetensors")
    {
        let tags = [
            ("x-repo-commit", commit),
            ("x-linked-etag", format!("\"{tag}\"")),
            ("etag", "\"of-the-redirect\"".to_owned()),
        ];
        let mut answer = (StatusCode::FOUND, tags).into_response();
        if !elsewhere.is_empty() {
            let location = format!("{elsewhere}/{REPOSITORY}/resolve/{COMMIT}/{name}");
            let headers = answer.headers_mut();
            headers.insert(header::LOCATION, location.parse().unwrap());
        }
        return answer;
    }
    let tags = [
        ("x-repo-commit", commit),
        ("etag", format!("{weak}\"{tag}\"")),
    ];
    if method == Method::HEAD {
        return (StatusCode::OK, tags).into_response();
    }
    let range = range.unwrap();
    let first = range.strip_prefix("bytes=").unwrap();
    let mut first: usize = first.strip_suffix('-').unwrap().parse().unwrap();
    if faults.is_chunked {
        first = 0;
    }
    if first >= bytes.len() {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    if let Some((at, status)) = faults.fails_at
        && first >= at
    {
        faults.fails_at = None;
        return status.into_response();
    }
    let most_bytes = faults.most_bytes.unwrap_or(bytes.len());
    let end = bytes.len().min(first + most_bytes);
    let mut part = bytes[first..end].to_vec();
    if faults.damaged == Some(name.as_str()) {
        part[0] ^= 1;
    }
    let length = faults.length.map_or(bytes.len().to_string(), str::to_owned);
    let extent = [(
        "content-range",
        format!("bytes {first}-{}/{length}", end - 1),
    )];
    let body = match faults.cuts_at {
        Some((file, at)) if file == name && (first..end).contains(&at) => {
            faults.cuts_at = None;
            part.truncate(at - first);
            cut_off(part)
        }
        _ if faults.is_chunked => Body::from_stream(stream::once(Ok::<_, io::Error>(part))),
        _ => Body::from(part),
    };
    if faults.is_chunked {
        return (StatusCode::OK, tags, body).into_response();
    }
    (StatusCode::PARTIAL_CONTENT, tags, extent, body).into_response()
}

/// Bytes after which the connection breaks.
fn cut_off(bytes: Vec<u8>) -> Body {
    let sent = stream::once(Ok::<_, io::Error>(bytes));
    let broken = stream::once_future(async {
        // The server sends what it has while it waits for more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Err(io::Error::other("the connection breaks"))
    });
    Body::from_stream(sent.chain(broken))
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
