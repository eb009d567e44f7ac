//! The cache that `glyph fetch` shares with the hub's other tools: where it lies, and what of it is kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fetch::{checkpoint, command, fetch};
use crate::mock_hub::{COMMIT, Faults, Hub};
use crate::run::{Outcome, glyph, outcome};

/// Names and values.
type Variables = &'static [(&'static str, &'static str)];

/// The repository's part of the cache.
fn cached(home: &Path) -> PathBuf {
    home.join("hub/models--someone--tiny")
}

/// The directory that a successful fetch printed.
#[track_caller]
fn directory(fetched: &Outcome) -> &Path {
    assert_eq!(fetched.code, 0, "{fetched:?}");
    Path::new(fetched.stdout.trim())
}

#[test]
fn a_fetched_model_loads_and_lies_where_the_hubs_tools_look() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[("README.md", b"# tiny".to_vec())]);
    let home = tempfile::tempdir().unwrap();
    let fetched = fetch(&endpoint, home.path(), &[]);
    let directory = directory(&fetched);
    let cached = cached(home.path());
    assert_eq!(directory, cached.join("snapshots").join(COMMIT));
    let written = fs::read_to_string(cached.join("refs/main")).unwrap();
    assert_eq!(written, COMMIT);
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
        !hub.was_asked_for_bytes(),
        "what is there is not fetched again"
    );
    let n_asked = hub.asked.lock().unwrap().len();
    assert_eq!(n_asked, n_files, "each checksum is asked for once");
}

#[test]
fn the_environment_says_where_cache_and_token_are() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let cases: [(Variables, &str, &str); 4] = [
        (&[], ".cache/huggingface/hub", ".cache/huggingface/token"),
        (&[("HF_HOME", "~/h")], "h/hub", "h/token"),
        (
            &[("XDG_CACHE_HOME", "~/x")],
            "x/huggingface/hub",
            "x/huggingface/token",
        ),
        (
            &[("HF_HUB_CACHE", "$HOME/c"), ("HF_TOKEN_PATH", "~/t")],
            "c",
            "t",
        ),
    ];
    for (variables, cache, token) in cases {
        let home = tempfile::tempdir().unwrap();
        hub.set(Faults {
            token: Some("hf_secret"),
            ..Faults::default()
        });
        let run = || {
            let mut command = command(&endpoint, &[]);
            for variable in ["HOME", "USERPROFILE"] {
                command.env(variable, home.path());
            }
            command.current_dir(home.path());
            outcome(&command.envs(variables.iter().copied()).output().unwrap())
        };
        run().fails(4, &["401"]);
        let token = home.path().join(token);
        fs::create_dir_all(token.parent().unwrap()).unwrap();
        fs::write(token, "hf_secret\n").unwrap();
        let fetched = run();
        let snapshots = home
            .path()
            .join(cache)
            .join("models--someone--tiny/snapshots");
        assert_eq!(directory(&fetched), snapshots.join(COMMIT), "{variables:?}");
        assert!(!home.path().join("~").exists());
    }
}

#[test]
fn what_other_tools_fetched_is_not_fetched_again() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    let fetched = fetch(&endpoint, home.path(), &[]);
    let snapshot = directory(&fetched);
    let cached = cached(home.path());

    // They do not note a commit among the names.
    fs::remove_dir_all(cached.join("refs")).unwrap();
    hub.set(Faults::default());
    let again = fetch(&endpoint, home.path(), &["--revision", COMMIT]);
    assert_eq!(directory(&again), snapshot);
    assert!(!cached.join("refs").exists());

    // An older commit has the same files.
    let older = cached.join("snapshots").join("f".repeat(40));
    fs::rename(snapshot, &older).unwrap();
    let again = fetch(&endpoint, home.path(), &[]);
    assert_eq!(directory(&again), snapshot);
    assert_eq!(
        fs::read(snapshot.join("config.json")).unwrap(),
        hub.files["config.json"]
    );

    // Where a disk holds no links, the file itself lies in the snapshot, and there may be no blob.
    let path = snapshot.join("tokenizer.json");
    let blob = fs::canonicalize(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::rename(&blob, &path).unwrap();
    let again = fetch(&endpoint, home.path(), &[]);
    assert_eq!(directory(&again), snapshot);
    assert!(!blob.exists());
    assert!(!hub.was_asked_for_bytes());
}

/// Fetches a checkpoint: its snapshot, the tokenizer's file in it, and what that leads to.
fn fetched_tokenizer(endpoint: &str, home: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let snapshot = directory(&fetch(endpoint, home, &[])).to_owned();
    let path = snapshot.join("tokenizer.json");
    let blob = fs::canonicalize(&path).unwrap();
    (snapshot, path, blob)
}

#[test]
fn what_is_damaged_in_the_cache_is_replaced() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    let (snapshot, path, blob) = fetched_tokenizer(&endpoint, home.path());
    let bytes = &hub.files["tokenizer.json"];
    // Gives the ranges that were asked for.
    let replaced = |note: &str| {
        hub.set(Faults::default());
        let again = fetch(&endpoint, home.path(), &[]);
        assert_eq!(directory(&again), snapshot);
        assert_eq!(again.stderr, note);
        assert!(fs::read(&path).unwrap() == *bytes);
        assert!(fs::read(&blob).unwrap() == *bytes);
        hub.asked_for("tokenizer.json")
    };
    let note = "tokenizer.json was damaged in the cache and is replaced\n";

    fs::write(&blob, "damaged").unwrap();
    assert_eq!(replaced(note), ["bytes=0-"]);

    // The damaged blob is another commit's, too.
    fs::write(&blob, "damaged").unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(replaced(note), ["bytes=0-"]);

    // A file in place of the link, with and without the blob.
    fs::remove_file(&path).unwrap();
    fs::write(&path, [0_u8; 1000]).unwrap();
    assert!(replaced(note).is_empty());
    fs::remove_file(&path).unwrap();
    fs::write(&path, [0_u8; 1000]).unwrap();
    fs::remove_file(&blob).unwrap();
    assert_eq!(replaced(note), ["bytes=0-"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_another_file_is_not_taken() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    let (snapshot, path, blob) = fetched_tokenizer(&endpoint, home.path());
    let other = fs::read_link(snapshot.join("config.json")).unwrap();
    for has_blob in [true, false] {
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        if !has_blob {
            fs::remove_file(&blob).unwrap();
        }
        hub.set(Faults::default());
        let again = fetch(&endpoint, home.path(), &[]);
        assert_eq!(directory(&again), snapshot);
        assert_eq!(fs::canonicalize(&path).unwrap(), blob);
        assert!(fs::read(&path).unwrap() == hub.files["tokenizer.json"]);
        assert_eq!(hub.asked_for("tokenizer.json").is_empty(), has_blob);
        let config = fs::read(snapshot.join("config.json")).unwrap();
        assert!(config == hub.files["config.json"]);
    }
}

#[test]
fn a_ref_that_cannot_be_written_is_found_before_the_download() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    let refs = cached(home.path()).join("refs");
    for (there, asked) in [("main", "main/x"), ("v1/y/z", "v1"), ("v2", "v2/y/z")] {
        fs::create_dir_all(refs.join(there).parent().unwrap()).unwrap();
        fs::write(refs.join(there), "f".repeat(40)).unwrap();
        hub.set(Faults {
            revision: Some(asked),
            ..Faults::default()
        });
        let in_the_way = if there.len() < asked.len() {
            there
        } else {
            asked
        };
        let in_the_way = refs.join(in_the_way).display().to_string();
        let quoted = format!("{asked:?}");
        let parts = [quoted.as_str(), in_the_way.as_str(), COMMIT, "--revision"];
        fetch(&endpoint, home.path(), &["--revision", asked]).fails(4, &parts);
        assert!(hub.asked.lock().unwrap().is_empty(), "{asked}");
    }
    // Nothing is written for a commit, so that nothing is in the way.
    let fetched = fetch(&endpoint, home.path(), &["--revision", COMMIT]);
    assert!(directory(&fetched).join("config.json").exists());
}

#[test]
fn an_older_ref_stays_until_all_is_there() {
    let (hub, endpoint) = Hub::serve(&checkpoint(), &[]);
    let home = tempfile::tempdir().unwrap();
    let path = cached(home.path()).join("refs/main");
    let older = "f".repeat(40);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &older).unwrap();
    hub.set(Faults {
        damaged: Some("vision.safetensors"),
        ..Faults::default()
    });
    fetch(&endpoint, home.path(), &[]).fails(4, &["vision.safetensors arrived damaged"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), older);
    hub.set(Faults::default());
    let fetched = fetch(&endpoint, home.path(), &[]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), COMMIT);
}
