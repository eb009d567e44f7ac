//! `glyph fetch` against a hub on this machine that speaks the routes of Hugging Face's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sha2::{Digest, Sha256};

use crate::run::{Outcome, glyph, outcome};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const REPOSITORY: &str = "someone/tiny";

/// What the hub does wrong.
#[derive(Clone, Default)]
struct Faults {
    /// Wants this token.
    token: Option<&'static str>,
    /// Damages the bytes of this file.
    damaged: Option<&'static str>,
    /// Breaks off a file when bytes from here on are asked for.
    breaks_at: Option<usize>,
    /// Names a file like this.
    extra_name: Option<&'static str>,
    /// Says that files have this tag.
    tag: Option<&'static str>,
}

/// The hub: its files, its faults, and every range that it was asked for.
#[derive(Clone)]
struct Hub {
    files: Arc<BTreeMap<String, Vec<u8>>>,
    faults: Arc<Mutex<Faults>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hub {
    /// Serves the files of a directory and some more.
    fn serve(directory: &Path, more: &[(&str, Vec<u8>)]) -> (Self, String) {
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

    fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
        self.asked.lock().unwrap().clear();
    }

    /// Bytes of a file that were asked for, but for those that only ask for its length.
    fn asked_for(&self, file: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let ranges = asked
            .iter()
            .filter(|(name, range)| name == file && range != "bytes=0-0");
        ranges.map(|(_, range)| range.clone()).collect()
    }
}

async fn info(
    State(hub): State<Hub>,
    UrlPath((owner, name, revision)): UrlPath<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let faults = hub.faults.lock().unwrap().clone();
    if let Some(token) = faults.token {
        let given = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap());
        if given != Some(&format!("Bearer {token}")) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    if format!("{owner}/{name}") != REPOSITORY || (revision != "main" && revision != COMMIT) {
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
    headers: HeaderMap,
) -> Response {
    let faults = hub.faults.lock().unwrap().clone();
    assert_eq!(revision, COMMIT, "files are fetched at one commit");
    let range = headers[header::RANGE].to_str().unwrap().to_owned();
    hub.asked
        .lock()
        .unwrap()
        .push((name.clone(), range.clone()));
    let Some(bytes) = hub.files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse::<usize>().unwrap().min(bytes.len() - 1);
    if faults.breaks_at.is_some_and(|at| first >= at) {
        return StatusCode::GONE.into_response();
    }
    let sha256: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut part = bytes[first..=last].to_vec();
    if faults.damaged == Some(name.as_str()) {
        part[0] ^= 1;
    }
    let tag = faults.tag.map_or(sha256, str::to_owned);
    let headers = [
        ("x-repo-commit", COMMIT.to_owned()),
        ("etag", format!("\"{tag}\"")),
        (
            "content-range",
            format!("bytes {first}-{last}/{}", bytes.len()),
        ),
    ];
    (StatusCode::PARTIAL_CONTENT, headers, part).into_response()
}

/// A small checkpoint in several files.
fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/model/mha-sharded")
}

fn fetch(endpoint: &str, home: &Path, more: &[&str]) -> Outcome {
    let args = [&["fetch", REPOSITORY, "--endpoint", endpoint], more].concat();
    let mut command = glyph(&args);
    command.env("HF_HOME", home).env_remove("HF_TOKEN");
    outcome(&command.output().unwrap())
}

#[test]
fn a_fetched_model_loads_and_lies_where_the_hubs_tools_look() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[("README.md", b"# tiny".to_vec())]);
    let home = tempfile::tempdir().unwrap();
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let directory = Path::new(fetched.stdout.trim());
    let cached = home.path().join("hub/models--someone--tiny");
    assert_eq!(directory, cached.join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(cached.join("refs/main")).unwrap(),
        COMMIT
    );
    assert!(
        !directory.join("README.md").exists(),
        "it is no part of the checkpoint"
    );
    let info = outcome(
        &glyph(&["info", "--model", fetched.stdout.trim()])
            .output()
            .unwrap(),
    );
    assert_eq!(info.code, 0, "{info:?}");

    hub.set(Faults::default());
    let again = fetch(&endpoint, home.path(), &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(report["commit"], COMMIT);
    let n_files = report["files"].as_array().unwrap().len();
    assert!(n_files >= 6, "{report}");
    assert!(
        hub.asked.lock().unwrap().is_empty(),
        "what is there is not fetched again"
    );
}

#[test]
fn what_was_interrupted_goes_on() {
    const CHUNK: usize = 10_000_000;
    let large: Vec<u8> = (0..2 * CHUNK + 5).map(|i| (i * 7 / 3) as u8).collect();
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[("zz.safetensors", large.clone())]);
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        breaks_at: Some(2 * CHUNK),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &["zz.safetensors", "goes on where it stopped"]);
    hub.set(Faults::default());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let asked = hub.asked_for("zz.safetensors");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        asked[0].starts_with(&format!("bytes={}-", 2 * CHUNK)),
        "{asked:?}"
    );
    let path = Path::new(fetched.stdout.trim()).join("zz.safetensors");
    assert!(fs::read(path).unwrap() == large);
}

#[test]
fn damaged_files_are_refused_and_fetched_anew() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        damaged: Some("tokenizer.json"),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &["tokenizer.json arrived damaged", "checksum"]);
    hub.set(Faults::default());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let path = Path::new(fetched.stdout.trim()).join("tokenizer.json");
    assert_eq!(fs::read(&path).unwrap(), hub.files["tokenizer.json"]);

    let blob = fs::canonicalize(path).unwrap();
    fs::write(blob, "damaged later").unwrap();
    fetch(&endpoint, home.path(), &[]).fails(4, &["tokenizer.json arrived damaged"]);
}

#[test]
fn a_hub_cannot_write_outside_the_cache() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        extra_name: Some("../../../../outside.json"),
        ..Faults::default()
    });
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert!(!home.path().join("outside.json").exists());

    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        tag: Some("../../../outside"),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &["../../../outside", "tag of a file"]);
    assert!(!home.path().join("outside").exists());
}

#[test]
fn refusals_say_what_to_do() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        token: Some("hf_secret"),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &["401", "HF_TOKEN"]);
    let fetched = fetch(&endpoint, home.path(), &["--token", "hf_secret"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    hub.set(Faults::default());
    fetch(&endpoint, home.path(), &["--revision", "v9"]).fails(4, &["v9", "--revision"]);
    let run = |args: &[&str]| outcome(&glyph(args).env("HF_HOME", home.path()).output().unwrap());
    run(&["fetch", "no/such", "--endpoint", &endpoint]).fails(4, &["no/such", "not found"]);
    run(&["fetch", "../x", "--endpoint", &endpoint]).fails(4, &["../x", "OWNER/NAME"]);
    run(&["fetch", "glyph", "--endpoint", &endpoint]).fails(4, &["OWNER/NAME"]);
}

#[test]
fn a_repository_without_a_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let (_, endpoint) = Hub::serve(folder.path(), &[]);
    let home = tempfile::tempdir().unwrap();
    fetch(&endpoint, home.path(), &[]).fails(4, &["*.safetensors", "no checkpoint"]);
}
