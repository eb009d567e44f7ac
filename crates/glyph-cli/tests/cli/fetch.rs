//! `glyph fetch` against a hub on this machine: what is asked of it, and what of its answers is taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use axum::http::StatusCode;

use crate::mock_hub::{COMMIT, Faults, Hub, REPOSITORY, sha256};
use crate::run::{Outcome, glyph, outcome};

/// Comes last of the files.
const LARGE: &str = "zz.safetensors";

/// A small checkpoint in several files.
pub fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/model/mha-sharded")
}

/// The command, without what the caller's environment says of caches and tokens.
pub fn command(endpoint: &str, more: &[&str]) -> Command {
    let args = [&["fetch", REPOSITORY, "--endpoint", endpoint], more].concat();
    let mut command = glyph(&args);
    for variable in [
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "XDG_CACHE_HOME",
    ] {
        command.env_remove(variable);
    }
    command
}

pub fn fetch(endpoint: &str, home: &Path, more: &[&str]) -> Outcome {
    let mut command = command(endpoint, more);
    outcome(&command.env("HF_HOME", home).output().unwrap())
}

/// Bytes that the hub sends at a time of the large file.
const CHUNK: usize = 1_000_000;

/// A hub that has a file of somewhat more than two chunks besides.
fn hub_with_large_file() -> (Hub, String, Vec<u8>) {
    let large: Vec<u8> = (0..2 * CHUNK + 5).map(|i| (i * 7 / 3) as u8).collect();
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[(LARGE, large.clone())]);
    (hub, endpoint, large)
}

#[test]
fn what_was_interrupted_goes_on() {
    let (hub, endpoint, large) = hub_with_large_file();
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        most_bytes: Some(CHUNK),
        fails_at: Some((2 * CHUNK, StatusCode::GONE)),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &[LARGE, "410", "goes on where it stopped"]);
    assert_eq!(
        hub.asked_for(LARGE),
        ["bytes=0-", "bytes=1000000-", "bytes=2000000-"]
    );
    hub.set(Faults::default());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(hub.asked_for(LARGE), ["bytes=2000000-"]);
    let path = Path::new(fetched.stdout.trim()).join(LARGE);
    assert!(fs::read(&path).unwrap() == large);

    // Interrupted when all had arrived, but was not yet checked.
    let blob = fs::canonicalize(&path).unwrap();
    fs::rename(&blob, blob.with_extension("incomplete")).unwrap();
    hub.set(Faults::default());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(hub.asked_for(LARGE), ["bytes=2000005-"]);
    assert!(fs::read(&path).unwrap() == large);

    // What another tool left is longer than the file.
    let part = blob.with_extension("incomplete");
    fs::write(&part, [large.as_slice(), b"more".as_slice()].concat()).unwrap();
    fs::remove_file(&blob).unwrap();
    fetch(&endpoint, home.path(), &[]).fails(4, &["zz.safetensors arrived damaged"]);
    assert!(!part.exists());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (hub, endpoint, large) = hub_with_large_file();
    let fetched = |faults: Faults| {
        let home = tempfile::tempdir().unwrap();
        hub.set(faults);
        let fetched = fetch(&endpoint, home.path(), &[]);
        assert_eq!(fetched.code, 0, "{fetched:?}");
        let path = Path::new(fetched.stdout.trim()).join(LARGE);
        assert!(fs::read(path).unwrap() == large);
        hub.asked_for(LARGE)
    };
    let busy = Faults {
        most_bytes: Some(CHUNK),
        fails_at: Some((CHUNK, StatusCode::SERVICE_UNAVAILABLE)),
        ..Faults::default()
    };
    assert_eq!(
        fetched(busy),
        [
            "bytes=0-",
            "bytes=1000000-",
            "bytes=1000000-",
            "bytes=2000000-"
        ],
        "nothing is fetched twice"
    );
    let cut = Faults {
        cuts_at: Some((LARGE, 100_000)),
        ..Faults::default()
    };
    assert_eq!(fetched(cut.clone()), ["bytes=0-", "bytes=100000-"]);
    // Without a length nothing but the broken connection tells that more is to come.
    let cut_in_chunks = Faults {
        is_chunked: true,
        ..cut
    };
    assert_eq!(fetched(cut_in_chunks), ["bytes=0-", "bytes=100000-"]);
}

#[test]
fn weights_may_lie_elsewhere_and_the_token_stays_with_the_hub() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let (store, elsewhere) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        token: Some("hf_secret"),
        elsewhere: Some(elsewhere),
        ..Faults::default()
    });
    let fetched = fetch(&endpoint, home.path(), &["--token", "hf_secret"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let asked = hub.asked.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.has_token));
    let asked = store.asked.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|asked| !asked.has_token));

    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        elsewhere: Some(String::new()),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &[".safetensors", "bytes that were asked for"]);
}

#[test]
fn what_arrives_damaged_is_refused() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    for is_chunked in [false, true] {
        hub.set(Faults {
            damaged: Some("tokenizer.json"),
            is_chunked,
            ..Faults::default()
        });
        fetch(&endpoint, home.path(), &[])
            .fails(4, &["tokenizer.json arrived damaged", "checksum"]);
    }
    hub.set(Faults::default());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(hub.asked_for("tokenizer.json"), ["bytes=0-"]);
    let path = Path::new(fetched.stdout.trim()).join("tokenizer.json");
    assert_eq!(fs::read(&path).unwrap(), hub.files["tokenizer.json"]);
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

    let outside = home.path().join("outside");
    for tag in ["../../../outside", "..", "", "v1"] {
        hub.set(Faults {
            tag: Some(tag),
            ..Faults::default()
        });
        let home = tempfile::tempdir().unwrap();
        let quoted = format!("{tag:?}");
        fetch(&endpoint, home.path(), &[]).fails(4, &[&quoted, "no checksum"]);
        assert!(!home.path().join("outside").exists());
        assert!(!hub.was_asked_for_bytes());
    }
    for commit in [outside.to_str().unwrap(), "../../../outside", ""] {
        hub.set(Faults {
            commit: Some(commit.to_owned()),
            ..Faults::default()
        });
        let home = tempfile::tempdir().unwrap();
        let quoted = format!("{commit:?}");
        fetch(&endpoint, home.path(), &[]).fails(4, &[&quoted, "commit"]);
        assert!(!home.path().join("outside").exists());
        assert!(!outside.exists());
    }
}

#[test]
fn a_revision_may_hold_what_means_something_in_a_url() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    for revision in ["v1#2", "%2e%2e", "50%", "feature/x", "v1/\u{e9}"] {
        let home = tempfile::tempdir().unwrap();
        let written = home.path().join("hub/models--someone--tiny/refs");
        hub.set(Faults::default());
        fetch(&endpoint, home.path(), &["--revision", revision]).fails(4, &["not found"]);
        assert!(!written.exists(), "{revision}");
        hub.set(Faults {
            revision: Some(revision),
            ..Faults::default()
        });
        let fetched = fetch(&endpoint, home.path(), &["--revision", revision]);
        assert_eq!(fetched.code, 0, "{revision}: {fetched:?}");
        let written = fs::read_to_string(written.join(revision)).unwrap();
        assert_eq!(written, COMMIT);
    }
    hub.set(Faults {
        revision: Some("v1"),
        ..Faults::default()
    });
    let home = tempfile::tempdir().unwrap();
    fetch(&endpoint, home.path(), &["--revision", "v1#2"]).fails(4, &["v1%232", "--revision"]);
}

#[test]
fn proxies_may_mark_tags_as_weak() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    hub.set(Faults {
        is_weak: true,
        ..Faults::default()
    });
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let blob = fs::canonicalize(Path::new(fetched.stdout.trim()).join("config.json")).unwrap();
    assert_eq!(
        blob.file_name().unwrap().to_str().unwrap(),
        sha256(&hub.files["config.json"])
    );
}

#[test]
fn a_false_length_is_refused() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    for (length, message) in [
        ("10000000000000000000", "10000000000000000000 bytes"),
        ("100000000000000000000", "bytes that were asked for"),
        ("0", "arrived damaged"),
    ] {
        let home = tempfile::tempdir().unwrap();
        hub.set(Faults {
            length: Some(length),
            ..Faults::default()
        });
        fetch(&endpoint, home.path(), &[]).fails(4, &[message]);
    }
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
    fetch(&endpoint, home.path(), &["--revision", "../x"]).fails(4, &["../x", "a commit"]);
}

#[test]
fn what_can_never_work_is_not_tried_again() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    let started = Instant::now();
    fetch("mirror.example", home.path(), &[]).fails(4, &["mirror.example", "https://"]);
    hub.set(Faults {
        is_page: true,
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &["does not answer as a hub", "--endpoint"]);
    hub.set(Faults {
        token: Some("hf_secret"),
        ..Faults::default()
    });
    let with_token = |token: &str| {
        let mut command = command(&endpoint, &[]);
        command.env("HF_HOME", home.path()).env("HF_TOKEN", token);
        outcome(&command.output().unwrap())
    };
    with_token("hf_se\ncret").fails(4, &["line break", "HF_TOKEN"]);
    let fetched = with_token("hf_secret\n");
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let seconds = started.elapsed().as_secs();
    assert!(seconds < 15, "{seconds} s");
}

#[test]
fn a_repository_without_a_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let (_, endpoint) = Hub::serve(folder.path(), &[]);
    let home = tempfile::tempdir().unwrap();
    fetch(&endpoint, home.path(), &[]).fails(4, &["*.safetensors", "no checkpoint"]);
}
