use crate::run::run;

#[test]
fn every_help_has_examples_and_the_main_one_the_exit_codes() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for part in [
        "Examples:",
        "glyph ask --text",
        "Exit codes:",
        "completions",
        "glyph-mini",
    ] {
        assert!(help.stdout.contains(part), "no {part:?} in {}", help.stdout);
    }
    for command in [
        "ask",
        "read",
        "render",
        "info",
        "plan",
        "devices",
        "bench",
        "fetch",
        "quantize",
        "serve",
        "completions",
    ] {
        for flag in ["-h", "--help"] {
            let help = run(&[command, flag]);
            assert_eq!(help.code, 0);
            assert!(
                help.stdout.contains(&format!("glyph {command}")),
                "{}",
                help.stdout
            );
            assert!(help.stdout.contains("Examples:"), "{}", help.stdout);
        }
    }
}

#[test]
fn the_environment_variables_are_in_the_help() {
    let help = run(&["ask", "--help"]).stdout;
    assert!(
        help.contains("GLYPH_MODEL") && help.contains("GLYPH_DEVICE"),
        "{help}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_an_error() {
    for args in [&["--help"][..], &["ask", "--help"], &["--version"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = crate::run::glyph(args).stdout(full).output().unwrap();
        crate::run::outcome(&output).fails(1, &["cannot write to standard output"]);
    }
}

#[test]
fn without_a_command_the_help_is_shown_as_an_error() {
    let outcome = run(&[]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("Usage: glyph"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, 0);
        for part in ["glyph", "ask", "save-pages"] {
            assert!(script.stdout.contains(part), "{shell}: no {part:?}");
        }
    }
    run(&["completions", "cmd"]).fails(2, &["cmd", "bash"]);
}
