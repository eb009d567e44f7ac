//! The checks, step by step.

use std::time::Instant;

use crate::browser;
use crate::clients;
use crate::command::{Result, cargo_in_root, root, run};
use crate::counts::{Counts, Summary, count_all};
use crate::install::{self, WASM_TARGET};
use crate::{tests_run, web, wgpu};

/// One check: its name on the command line and what runs it. A step that runs tests
/// reports how many passed.
struct Step {
    name: &'static str,
    run: fn() -> Result<Option<Counts>>,
}

/// In this order: what fails fastest comes first. All native steps name the whole workspace: the
/// features of the dependencies are then the same in each, and burn is compiled once.
static STEPS: [Step; 8] = [
    Step {
        name: "fmt",
        run: check_format,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "tests",
        run: tests_run::run,
    },
    Step {
        name: "wgpu",
        run: wgpu::run,
    },
    Step {
        name: "clients",
        run: clients::run,
    },
    Step {
        name: "doc",
        run: doc,
    },
    Step {
        name: "wasm",
        run: wasm,
    },
    Step {
        name: "browser",
        run: browser::run,
    },
];

/// `cargo xtask test`.
pub fn all(args: &[&str]) -> Result<()> {
    let (chosen, skipped) = selection(args)?;
    let (mut times, mut all_counts) = (Vec::new(), Counts::default());
    for step in chosen {
        let (seconds, counts) = timed(step)?;
        times.push(match counts {
            None => format!("{} {seconds:.0} s", step.name),
            Some(counts) => format!("{} {seconds:.0} s ({} tests)", step.name, counts.passed),
        });
        all_counts.add(counts.unwrap_or_default());
    }
    let what = if skipped.is_empty() { "All" } else { "These" };
    println!("\n{what} checks passed: {}", times.join(", "));
    // The count of the tests is the last line, unless something was left out.
    if all_counts != Counts::default() {
        println!("{all_counts}");
    }
    if !skipped.is_empty() {
        println!("Skipped: {}", names(&skipped));
    }
    Ok(())
}

/// The steps to run and those to skip, by the arguments of `test`.
fn selection(args: &[&str]) -> Result<(Vec<&'static Step>, Vec<&'static Step>)> {
    let all: Vec<&Step> = STEPS.iter().collect();
    let usage = |what: String| {
        let steps = names(&all);
        Err(format!(
            "{what}. test takes --skip STEP, any number of times; the steps are {steps}. One step \
             alone has a command of its own, such as cargo xtask clippy"
        ))
    };
    let mut to_skip = Vec::new();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if arg != "--skip" {
            return usage(format!("{arg:?} is no option of test"));
        }
        match args.next() {
            None => return usage("--skip lacks its step".to_owned()),
            Some(name) if all.iter().any(|step| step.name == name) => to_skip.push(name),
            Some(name) => return usage(format!("{name:?} is no step")),
        }
    }
    let (skipped, chosen) = STEPS
        .iter()
        .partition::<Vec<&Step>, _>(|step| to_skip.contains(&step.name));
    if chosen.is_empty() {
        return usage("nothing is left to run".to_owned());
    }
    Ok((chosen, skipped))
}

fn names(steps: &[&Step]) -> String {
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    names.join(", ")
}

/// One step by its name.
pub fn one(name: &str) -> Result<()> {
    let step = STEPS.iter().find(|step| step.name == name);
    let (_, counts) = timed(step.ok_or_else(|| format!("there is no step {name:?}"))?)?;
    counts.iter().for_each(|counts| println!("{counts}"));
    Ok(())
}

fn timed(step: &Step) -> Result<(f64, Option<Counts>)> {
    println!("\n== {}", step.name);
    let start = Instant::now();
    let outcome = (step.run)();
    let seconds = start.elapsed().as_secs_f64();
    let word = if outcome.is_ok() { "passed" } else { "failed" };
    println!("== {} {word} after {seconds:.1} s", step.name);
    outcome.map(|counts| (seconds, counts))
}

/// `cargo xtask fmt`.
pub fn format() -> Result<()> {
    install::component("rustfmt", "fmt")?;
    run(&mut cargo_in_root(&["fmt", "--all"]))
}

fn check_format() -> Result<Option<Counts>> {
    install::component("rustfmt", "fmt")?;
    run(&mut cargo_in_root(&["fmt", "--all", "--check"]))
        .map_err(|error| format!("{error}. cargo xtask fmt formats all code"))?;
    Ok(None)
}

fn clippy() -> Result<Option<Counts>> {
    install::component("clippy", "clippy")?;
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--release",
        "--",
        "-D",
        "warnings",
    ];
    run(&mut cargo_in_root(&args))?;
    Ok(None)
}

fn doc() -> Result<Option<Counts>> {
    let mut doc = cargo_in_root(&["doc", "--workspace", "--no-deps", "--release"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(None)
}

/// What a browser loads, by rules of its own: `web/clippy.toml` names what would block there.
fn wasm() -> Result<Option<Counts>> {
    install::wasm_target()?;
    install::component("rustfmt", "fmt")?;
    install::component("clippy", "clippy")?;
    let web = root().join("web");
    let target = web::target_directory()?.join("web");
    let in_web = |args: &[&str]| {
        let mut command = cargo_in_root(args);
        command
            .current_dir(&web)
            .env("CLIPPY_CONF_DIR", &web)
            .env("CARGO_TARGET_DIR", &target);
        command
    };
    run(&mut in_web(&["fmt", "--all", "--check"]))?;
    // Clippy looks at members of a workspace alone, so both workspaces are asked.
    let args = ["clippy", "--release", "--target", WASM_TARGET, "--locked"];
    let rules = ["--", "-D", "warnings"];
    let shared = ["--package", "glyph-render", "--package", "glyph-model"];
    let mut in_root = cargo_in_root(&args);
    in_root.env("CLIPPY_CONF_DIR", &web).args(shared);
    run(in_root.args(rules))?;
    run(in_web(&args).arg("--workspace").args(rules))?;
    let tests = ["test", "--release", "--package", "glyph-web-core"];
    count_all(&mut [(in_web(&tests), tests_run::in_summary as Summary)]).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{names, selection};

    fn selected(args: &[&str]) -> Result<[String; 2], String> {
        selection(args).map(|(chosen, skipped)| [names(&chosen), names(&skipped)])
    }

    #[test]
    fn steps_are_skipped_by_their_option_alone() {
        let both = |chosen: &str, skipped: &str| Ok([chosen.to_owned(), skipped.to_owned()]);
        assert_eq!(
            selected(&[]),
            both("fmt, clippy, tests, wgpu, clients, doc, wasm, browser", "")
        );
        assert_eq!(
            selected(&["--skip", "clippy"]),
            both("fmt, tests, wgpu, clients, doc, wasm, browser", "clippy")
        );
        assert_eq!(
            selected(&["--skip", "wasm", "--skip", "fmt"]),
            both("clippy, tests, wgpu, clients, doc, browser", "fmt, wasm")
        );
    }

    #[test]
    fn anything_else_is_refused_with_the_steps() {
        for args in [
            &["clippy"][..],
            &["--skip-clippy"],
            &["--skip"],
            &["--skip", "lint"],
            &["--skip", "clippy", "tests"],
            &[
                "--skip", "fmt", "--skip", "clippy", "--skip", "tests", "--skip", "wgpu", "--skip",
                "clients", "--skip", "doc", "--skip", "wasm", "--skip", "browser",
            ],
        ] {
            let message = selected(args).unwrap_err();
            for part in [
                "--skip STEP",
                "fmt, clippy, tests, wgpu, clients, doc, wasm, browser",
            ] {
                assert!(message.contains(part), "no {part:?} in {message}");
            }
        }
    }

    /// Runs `.ci/run` with a cargo that says what it was told.
    #[cfg(unix)]
    fn ci_run(folder: &std::path::Path, home: Option<&str>) -> (String, String) {
        use std::os::unix::fs::PermissionsExt;

        let script = "#!/bin/sh\necho \"$CARGO_TARGET_DIR|$HOME|$*\"\n";
        for name in ["cargo", "cc"] {
            let path = folder.join(name);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut run = std::process::Command::new("sh");
        run.arg(crate::command::root().join(".ci/run"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        if let Some(home) = home {
            run.env("HOME", home);
        }
        let output = run.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "{}", text(output.stderr));
        (text(output.stdout), text(output.stderr))
    }

    #[cfg(unix)]
    #[test]
    fn all_checks_start_without_a_home_too() {
        let name = format!("glyph-xtask-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (stdout, stderr) = ci_run(&folder, Some("/h"));
        let expected = "/h/.cache/glyph-runtime/target|/h|xtask test\n";
        assert_eq!((stdout.as_str(), stderr.as_str()), (expected, ""));
        for home in [None, Some("")] {
            let (stdout, stderr) = ci_run(&folder, home);
            assert!(stdout.starts_with('/'), "{stdout}");
            assert!(stdout.ends_with("|xtask test\n"), "{stdout}");
            assert!(stderr.contains("note: HOME is not set"), "{stderr}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
