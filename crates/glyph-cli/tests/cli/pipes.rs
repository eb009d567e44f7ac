//! Pipes, other directories, no terminal.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::run::{fixture, glyph, on_its_own, outcome, run, sample_text, text};

const ASK: [&str; 4] = ["ask", "Read the page.", "--max-tokens", "4"];

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let sample = sample_text();
    for args in [
        &["info", "--json"][..],
        &["completions", "bash"],
        &["--help"],
        &[&ASK[..], &["--text", text(&sample)]].concat(),
    ] {
        let mut child = glyph(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let outcome = outcome(&child.wait_with_output().unwrap());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn pipes_hold_no_progress() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample_text();
    let pages = folder.path().join("pages");
    for args in [
        &[&ASK[..], &["--text", text(&sample)]].concat()[..],
        &["read", "--text", text(&sample), "--max-tokens", "4"],
        &["render", "--text", text(&sample), "--out", text(&pages)],
    ] {
        let outcome = run(args);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let mut notes = outcome.stderr.lines();
        assert!(
            notes.all(|note| note.starts_with("note: cut off")),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains(['\r', '\u{1b}']), "{outcome:?}");
        assert!(!outcome.stdout.contains(['\r', '\u{1b}']), "{outcome:?}");
    }
}

/// What a command shows on a terminal, by `script` of Debian's bsdutils.
#[cfg(target_os = "linux")]
fn on_a_terminal(args: &[&str]) -> String {
    let quoted = [&[env!("CARGO_BIN_EXE_glyph")], args].concat();
    let quoted: Vec<String> = quoted.iter().map(|arg| format!("'{arg}'")).collect();
    let mut command = Command::new("script");
    let output = on_its_own(&mut command)
        .args([
            "--quiet",
            "--return",
            "--command",
            &quoted.join(" "),
            "/dev/null",
        ])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = outcome(&output);
    assert_eq!(shown.code, 0, "{shown:?}");
    shown.stdout
}

#[cfg(target_os = "linux")]
#[test]
fn terminals_show_progress_and_take_it_away() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample_text();
    let (pages, long) = (folder.path().join("pages"), folder.path().join("long.txt"));
    fs::write(&long, fs::read_to_string(&sample).unwrap().repeat(200)).unwrap();
    let ask = [&ASK[..], &["--text", text(&sample)]].concat();
    let render = ["render", "--text", text(&long), "--out", text(&pages)];
    for (args, shown) in [(&ask[..], "loading glyph-mini"), (&render, "rendering")] {
        let terminal = on_a_terminal(args);
        let bar = terminal
            .find(&format!("{shown} "))
            .unwrap_or_else(|| panic!("{terminal:?}"));
        assert!(
            terminal[bar..].contains('\u{2588}') || terminal[bar..].contains('\u{2591}'),
            "{terminal:?}"
        );
        let cleared = terminal.rfind("\u{1b}[2K").unwrap();
        assert!(!terminal[cleared..].contains(shown), "{terminal:?}");
    }
}

#[test]
fn a_copied_binary_answers_from_any_directory() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("glyph-copy");
    fs::copy(env!("CARGO_BIN_EXE_glyph"), &copy).unwrap();
    fs::copy(sample_text(), folder.path().join("order.txt")).unwrap();
    let mut command = Command::new(&copy);
    let output = on_its_own(&mut command)
        .current_dir(folder.path())
        .args(ASK)
        .args(["--text", "order.txt"])
        .stdin(Stdio::null())
        .output();
    let there = outcome(&output.unwrap());
    assert_eq!(there.code, 0, "{there:?}");
    let sample = sample_text();
    let here = run(&[&ASK[..], &["--text", text(&sample)]].concat());
    assert_eq!(there.stdout, here.stdout);
}

#[test]
fn the_environment_can_name_the_model() {
    let model = fixture("model/mini-f16");
    let info = glyph(&["info", "--json"])
        .env("GLYPH_MODEL", &model)
        .output()
        .unwrap();
    assert!(outcome(&info).stdout.contains("mini-f16"));
    let device = glyph(&ASK).env("GLYPH_DEVICE", "abacus").output().unwrap();
    outcome(&device).fails(2, &["abacus"]);
}

#[test]
fn an_empty_environment_variable_counts_as_unset() {
    let run_empty = |args: &[&str]| {
        let mut command = glyph(args);
        command.env("GLYPH_MODEL", "").env("GLYPH_DEVICE", "");
        outcome(&command.output().unwrap())
    };
    let info = run_empty(&["info", "--json"]);
    assert_eq!(info.code, 0, "{info:?}");
    assert!(info.stdout.contains("\"glyph-mini\""), "{}", info.stdout);
    let ask = run_empty(&ASK);
    assert_eq!(ask.code, 0, "{ask:?}");
    // What is empty on the command line is a mistake.
    run_empty(&["info", "--model", ""]).fails(2, &["--model"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_command_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.txt");
    fs::write(
        &long,
        "A line that is as long as any other line.\n".repeat(2_000),
    )
    .unwrap();
    let mut command = glyph(&["read", "--text", text(&long)]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first byte of the answer shows that it has begun.
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(output.stderr, b"");
}
