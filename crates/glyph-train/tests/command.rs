//! The `glyph-train` command: what it refuses, how it goes on, and how it compares.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use glyph_train::log::{LogLine, read_log};
use glyph_train::starts::Start;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn glyph_train(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glyph-train"))
        .args(args)
        .env_remove("RAYON_NUM_THREADS")
        .current_dir(root())
        .output()
        .unwrap()
}

#[test]
fn a_measurement_goes_on_when_nobody_reads_its_table() {
    let scores = folder("unread").join("scores.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_glyph-train"))
        .args(["evaluate", "--device", "cpu", "--samples", "1"])
        .args(["--task", "read prose", "--task", "look-up in columns"])
        .args(["--json", scores.to_str().unwrap()])
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(command.stdout.take());
    assert!(command.wait().unwrap().success());
    let scores = fs::read_to_string(scores).unwrap();
    assert!(scores.contains("read prose") && scores.contains("look-up in columns"));
}

#[test]
fn every_answer_is_written_with_its_page_and_what_was_thought() {
    let answers = folder("answers").join("answers.json");
    let path = answers.to_str().unwrap();
    let args = ["evaluate", "--device", "cpu", "--samples", "3"];
    let asked = ["--task", "look-up in columns", "--answers", path];
    let output = glyph_train(&[&args[..], &asked[..]].concat());
    assert!(output.status.success());
    let answers = fs::read_to_string(answers).unwrap();
    let answers: Vec<serde_json::Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), 3);
    for answered in answers {
        assert_eq!(answered["task"], "look-up in columns");
        let [text, expected] = ["text", "expected"].map(|name| answered[name].as_str().unwrap());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "no {expected:?} in {text:?}");
        let thought = answered["thought"].as_str().unwrap();
        assert!(!thought.is_empty(), "{answered}");
        let is_right = answered["is_right"].as_bool().unwrap();
        assert!(is_right || answered["answer"] != expected, "{answered}");
    }
}

/// Checks that it fails with a message, without a panic, and without half of an answer on stdout.
#[track_caller]
fn fails(args: &[&str], parts: &[&str]) {
    let output = glyph_train(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in {stderr}");
    }
}

#[test]
fn a_stage_that_is_not_there_is_refused() {
    let out = folder("first-stage");
    let out = out.to_str().unwrap();
    fails(
        &["run", "--out", out, "--first-stage", "99"],
        &["--first-stage is 99", "stages 0 to"],
    );
}

#[test]
fn a_task_that_is_not_there_is_refused() {
    let scores = folder("no task").join("scores.json");
    let json = scores.to_str().unwrap();
    fails(
        &[
            "evaluate", "--task", "lookup", "--device", "cpu", "--json", json,
        ],
        &["\"lookup\"", "look-up with white space"],
    );
    assert!(!scores.exists(), "a failed measurement leaves a file");
}

#[test]
fn numbers_that_no_run_can_use_are_refused() {
    let out = folder("numbers");
    for (option, value, reason) in [
        ("--learning-rate", "nan", "between 0 and 1"),
        ("--learning-rate", "-1", "between 0 and 1"),
        ("--decay-from", "5", "from 0 to 1"),
        ("--steps", "0", "1 or more"),
        ("--minutes-in-all", "0", "more than 0"),
        ("--positions", "0", "1 or more"),
        ("--batches", "0", "1 or more"),
        ("--workers", "0", "1 or more"),
        ("--makers", "0", "1 or more"),
    ] {
        fails(
            &["run", "--out", out.to_str().unwrap(), option, value],
            &[option, value, reason],
        );
    }
    let nothing = ["run", "--init", "no-run", "--out"];
    let nothing = [&nothing[..], &[out.to_str().unwrap()]].concat();
    fails(&nothing, &["--init is no-run", "no directory"]);
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
    fails(&["evaluate", "--samples", "0"], &["--samples", "1 or more"]);
    for lines in ["0", "17"] {
        fails(&["export", "--lines", lines], &["--lines", "from 1 to 16"]);
    }
    let nowhere = ["evaluate", "--json", "/nowhere/scores.json"];
    fails(&nowhere, &["cannot write /nowhere/scores.json"]);
    let no_run = ["export", "--run", "no-run", "--device", "cpu"];
    fails(&no_run, &["no-run cannot be used"]);
}

#[test]
fn a_damaged_progress_is_refused() {
    let out = folder("progress");
    for (progress, parts) in [
        (
            r#"{"step": 1, "stage": 99, "seconds": 2.0, "n_samples": 3}"#,
            &["stage is 99"][..],
        ),
        (
            r#"{"step": 1, "stage": 0, "seconds": -2.0, "n_samples": 3}"#,
            &["seconds is -2"],
        ),
        (r#"{"step": 1, "sta"#, &["EOF"]),
    ] {
        fs::write(out.join("progress.json"), progress).unwrap();
        let message = ["progress.json cannot be used", "--out"];
        fails(
            &["run", "--out", out.to_str().unwrap()],
            &[&message, parts].concat(),
        );
    }
}

#[test]
fn a_run_goes_on_when_what_it_began_from_is_gone() {
    let folder = folder("init");
    let init = folder.join("mini");
    fs::create_dir(&init).unwrap();
    let weights = "model.safetensors";
    fs::copy(
        root().join("models/glyph-mini").join(weights),
        init.join(weights),
    )
    .unwrap();
    let (out, from) = (folder.join("run"), init.to_str().unwrap());
    let train = |steps: &str| {
        let run = [
            "run",
            "--device",
            "cpu",
            "--out",
            out.to_str().unwrap(),
            "--init",
            from,
        ];
        let small = ["--positions", "100", "--workers", "1", "--steps", steps];
        let output = glyph_train(&[&run[..], &small].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    };
    train("1");
    fs::remove_dir_all(&init).unwrap();
    train("2");
}

#[test]
fn weights_without_their_progress_are_not_written_over() {
    let out = folder("no-progress");
    let weights = out.join("trainee.safetensors");
    fs::write(&weights, "weights of hours").unwrap();
    let path = out.to_str().unwrap();
    fails(
        &["run", "--device", "cpu", "--out", path, "--steps", "1"],
        &[
            "trainee.safetensors is there without",
            "progress.json",
            "--out",
            "--init",
        ],
    );
    assert_eq!(fs::read(weights).unwrap(), b"weights of hours");
}

#[test]
fn a_run_is_exported_with_the_lines_that_it_was_trained_on() {
    let folder = folder("lines");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let run = at("run");
    let small = ["--steps", "1", "--positions", "100", "--workers", "1"];
    let train = ["run", "--device", "cpu", "--line-px", "14", "--out", &run];
    let export = ["export", "--device", "cpu", "--run", &run, "--out"];
    let exported = at("exported");
    for args in [
        &[&train[..], &small].concat(),
        &[&export[..], &[&exported]].concat(),
    ] {
        let output = glyph_train(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    }
    let style = fs::read_to_string(folder.join("exported/render.json")).unwrap();
    let style: serde_json::Value = serde_json::from_str(&style).unwrap();
    assert_eq!(
        (&style["line-height"], &style["page-size"]),
        (&14.into(), &"280,112".into())
    );

    let mean = at("mean");
    let with_mini = [&mean, "--average-with", "models/glyph-mini"];
    fails(
        &[&export[..], &with_mini].concat(),
        &["models/glyph-mini are 28 px", "--run 14 px"],
    );
    fs::remove_file(folder.join("run/starts.json")).unwrap();
    fails(&[&export[..], &[&mean]].concat(), &["starts.json", "--out"]);
    assert!(
        !Path::new(&mean).exists(),
        "a failed export leaves a directory"
    );
}

#[test]
fn a_run_goes_on_with_a_log_that_ends_where_it_does() {
    let out = folder("resume");
    let train = || {
        let small = ["--steps", "1", "--positions", "100", "--workers", "1"];
        let args = [&["run", "--out", out.to_str().unwrap()][..], &small].concat();
        let output = glyph_train(&args);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    train();
    let log = out.join("log.jsonl");
    let mut lines = String::new();
    for step in [0, 1, 2, 25] {
        let line = LogLine {
            step,
            ..LogLine::default()
        };
        lines.push_str(&serde_json::to_string(&line).unwrap());
        lines.push('\n');
    }
    // The last line of a run that was stopped may have no end.
    lines.push_str(r#"{"step": 5"#);
    fs::write(&log, lines).unwrap();
    train();
    let steps: Vec<usize> = read_log(&log)
        .unwrap()
        .iter()
        .map(|line| line.step)
        .collect();
    assert_eq!(steps, [0, 1]);
}

#[test]
fn a_run_that_was_stopped_comes_to_the_same_weights() {
    let folder = folder("stopped");
    let train = |name: &str, steps: &str| {
        let out = folder.join(name);
        let run = ["run", "--device", "cpu", "--out", out.to_str().unwrap()];
        let small = ["--positions", "100", "--workers", "1", "--decay-from", "1"];
        let output = glyph_train(&[&run[..], &small[..], &["--steps", steps]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        fs::read(out.join("trainee.safetensors")).unwrap()
    };
    let after_2 = train("in-two", "2");
    // From the third step on the optimiser's moments of the first two count.
    let in_two = train("in-two", "4");
    assert!(in_two == train("at-once", "4"), "other weights");
    assert!(in_two != after_2, "no step was taken");
}

#[test]
fn a_run_does_not_go_on_as_another_one() {
    let out = folder("another");
    let out = out.to_str().unwrap();
    let small = ["--steps", "1", "--positions", "100", "--workers", "1"];
    let args = [&["run", "--device", "cpu", "--out", out][..], &small].concat();
    let said = |args: &[&str]| {
        let output = glyph_train(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = said(&[&args[..], &["--seed", "7"]].concat());
    assert!(
        first.contains("1 steps") && first.contains("export --run"),
        "{first}"
    );
    for (option, value, begun) in [
        ("--seed", "8", "--seed 7"),
        ("--line-px", "14", "--line-px 28"),
        ("--first-stage", "1", "--first-stage 0"),
        ("--init", "models/glyph-mini", "--init none"),
    ] {
        let other = [option, value];
        let seed = ["--seed", "7"];
        let seed = if option == "--seed" { &[][..] } else { &seed };
        let message = [&other.join(" "), begun, "--out"];
        fails(&[&args[..], seed, &other].concat(), &message);
    }
    let again = [&args[..], &["--seed", "7", "--learning-rate", "1e-4"]].concat();
    let again = said(&again);
    assert!(again.contains("nothing was left to do"), "{again}");
    let starts = fs::read_to_string(Path::new(out).join("starts.json")).unwrap();
    let starts: Vec<Start> = serde_json::from_str(&starts).unwrap();
    let kept: Vec<_> = starts
        .iter()
        .map(|start| (start.step, start.seed, start.steps, start.learning_rate))
        .collect();
    assert_eq!(kept, [(0, 7, Some(1), 7e-4), (1, 7, Some(1), 1e-4)]);
}

#[test]
fn every_command_with_a_model_takes_a_device() {
    for command in ["run", "export", "evaluate", "bench"] {
        fails(
            &[command, "--device", "abacus"],
            &["\"abacus\" is no device", "auto, cpu"],
        );
    }
}

#[cfg(unix)]
#[test]
fn both_engines_of_a_comparison_have_the_same_threads() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder("bench");
    let samples = r#"[{ "pages": [], "question": "Who?", "answer": "" }]"#;
    fs::write(folder.join("samples.json"), samples).unwrap();
    // In place of Python; what it inherits is what this process runs with.
    let python = folder.join("python");
    let seen = folder.join("seen");
    let script = format!(
        "#!/bin/sh\necho \"$RAYON_NUM_THREADS: $*\" > {}\necho '{}'\n",
        seen.display(),
        r#"{"greedy_ids": [], "seconds": {"load": 1.0, "vision_and_prefill": 1.0}}"#,
    );
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let paths = [folder.to_str().unwrap(), python.to_str().unwrap()];
    let args = ["--threads", "3", "--repeat", "1"];
    let output = glyph_train(
        &[
            &["bench", "--samples", paths[0], "--python", paths[1]],
            &args[..],
        ]
        .concat(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let seen = fs::read_to_string(seen).unwrap();
    assert!(
        seen.starts_with("3: ") && seen.contains("--threads 3"),
        "{seen}"
    );
}
