//! The checks, step by step.

use std::time::{Duration, Instant};

use crate::browser;
use crate::clients;
use crate::command::{Result, cargo_in_root, root, run, target_directory};
use crate::counts::{Counts, Outcome, Summary, count_all};
use crate::install::{self, WASM_TARGET};
use crate::{tests_run, wgpu};

/// One check: its name on the command line and what runs it. A step that runs tests
/// reports how many passed.
struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

/// The page's tests, which take longer than all others together where the page is not built yet.
const BROWSER: &str = "browser";

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
        name: BROWSER,
        run: browser::run,
    },
];

/// `cargo xtask test`.
pub fn all(args: &[&str]) -> Result<()> {
    let Selection {
        chosen,
        mut skipped,
        browser_by,
    } = selection(args)?;
    let start = Instant::now();
    let (mut times, mut all_counts) = (Vec::new(), Counts::default());
    for step in chosen {
        if step.name == BROWSER && browser_by.is_some_and(|by| start.elapsed() > by) {
            println!("\n== {BROWSER} left out: it would begin later than --browser-by allows");
            skipped.push(step);
            continue;
        }
        let (seconds, outcome) = timed(step)?;
        match outcome {
            Outcome::Passed => times.push(format!("{} {seconds:.0} s", step.name)),
            Outcome::Tests(counts) => {
                let n_tests = counts.passed;
                times.push(format!("{} {seconds:.0} s ({n_tests} tests)", step.name));
                all_counts.add(counts);
            }
            Outcome::Skipped(_) => skipped.push(step),
        }
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

/// What the arguments of `test` choose.
struct Selection {
    chosen: Vec<&'static Step>,
    skipped: Vec<&'static Step>,
    /// When the page's tests may begin at the latest, from the start.
    browser_by: Option<Duration>,
}

fn selection(args: &[&str]) -> Result<Selection> {
    let all: Vec<&Step> = STEPS.iter().collect();
    let usage = |what: String| {
        let steps = names(&all);
        Err(format!(
            "{what}. test takes --skip STEP, any number of times; the steps are {steps}. It takes --browser-by \
             MINUTES, to leave the page's tests out where they would begin later. One step alone has a command of \
             its own, such as cargo xtask clippy"
        ))
    };
    let (mut to_skip, mut browser_by) = (Vec::new(), None);
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match (arg, args.next()) {
            ("--skip" | "--browser-by", None) => return usage(format!("{arg} lacks its value")),
            ("--skip", Some(name)) if all.iter().any(|step| step.name == name) => {
                to_skip.push(name);
            }
            ("--skip", Some(name)) => return usage(format!("{name:?} is no step")),
            ("--browser-by", Some(minutes)) => match minutes.parse::<u32>() {
                Ok(minutes) => browser_by = Some(Duration::from_secs(60 * u64::from(minutes))),
                Err(_) => return usage(format!("{minutes:?} is no number of minutes")),
            },
            _ => return usage(format!("{arg:?} is no option of test")),
        }
    }
    let (skipped, chosen) = STEPS
        .iter()
        .partition::<Vec<&Step>, _>(|step| to_skip.contains(&step.name));
    if chosen.is_empty() {
        return usage("nothing is left to run".to_owned());
    }
    Ok(Selection {
        chosen,
        skipped,
        browser_by,
    })
}

fn names(steps: &[&Step]) -> String {
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    names.join(", ")
}

/// One step by its name.
pub fn one(name: &str) -> Result<()> {
    let step = STEPS.iter().find(|step| step.name == name);
    let (_, outcome) = timed(step.ok_or_else(|| format!("there is no step {name:?}"))?)?;
    if let Outcome::Tests(counts) = outcome {
        println!("{counts}");
    }
    Ok(())
}

fn timed(step: &Step) -> Result<(f64, Outcome)> {
    println!("\n== {}", step.name);
    let start = Instant::now();
    let outcome = (step.run)();
    let seconds = start.elapsed().as_secs_f64();
    let how = match &outcome {
        Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
        Ok(_) => format!("passed after {seconds:.1} s"),
        Err(_) => format!("failed after {seconds:.1} s"),
    };
    println!("== {} {how}", step.name);
    outcome.map(|outcome| (seconds, outcome))
}

/// `cargo xtask fmt`.
pub fn format() -> Result<()> {
    install::component("rustfmt", "fmt")?;
    run(&mut cargo_in_root(&["fmt", "--all"]))
}

fn check_format() -> Result<Outcome> {
    install::component("rustfmt", "fmt")?;
    run(&mut cargo_in_root(&["fmt", "--all", "--check"]))
        .map_err(|error| format!("{error}. cargo xtask fmt formats all code"))?;
    Ok(Outcome::Passed)
}

fn clippy() -> Result<Outcome> {
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
    Ok(Outcome::Passed)
}

fn doc() -> Result<Outcome> {
    let mut doc = cargo_in_root(&["doc", "--workspace", "--no-deps", "--release"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed)
}

/// What a browser loads, by rules of its own: `web/clippy.toml` names what would block there.
fn wasm() -> Result<Outcome> {
    install::wasm_target()?;
    install::component("rustfmt", "fmt")?;
    install::component("clippy", "clippy")?;
    let web = root().join("web");
    let target = target_directory()?.join("web");
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
    let mut in_root = cargo_in_root(&args);
    for package in ["glyph-render", "glyph-page-tokens", "glyph-model"] {
        in_root.args(["--package", package]);
    }
    run(in_root.env("CLIPPY_CONF_DIR", &web).args(rules))?;
    run(in_web(&args).arg("--workspace").args(rules))?;
    let tests = ["test", "--release", "--package", "glyph-web-core"];
    count_all(&mut [(in_web(&tests), tests_run::in_summary as Summary)]).map(Outcome::Tests)
}

#[cfg(test)]
mod tests {
    use super::{names, selection};

    fn selected(args: &[&str]) -> Result<[String; 2], String> {
        selection(args).map(|selection| [names(&selection.chosen), names(&selection.skipped)])
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
    fn the_pages_tests_have_a_latest_begin_where_one_is_named() {
        let by = |args: &[&str]| selection(args).map(|selection| selection.browser_by);
        assert_eq!(by(&[]), Ok(None));
        let expected = Some(std::time::Duration::from_secs(12 * 60));
        assert_eq!(by(&["--browser-by", "12"]), Ok(expected));
    }

    #[test]
    fn anything_else_is_refused_with_the_steps() {
        for args in [
            &["clippy"][..],
            &["--skip-clippy"],
            &["--skip"],
            &["--skip", "lint"],
            &["--skip", "clippy", "tests"],
            &["--browser-by"],
            &["--browser-by", "soon"],
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
        let expected = "/h/.cache/glyph-runtime/target|/h|xtask test --browser-by 12\n";
        assert_eq!((stdout.as_str(), stderr.as_str()), (expected, ""));
        for home in [None, Some("")] {
            let (stdout, stderr) = ci_run(&folder, home);
            assert!(stdout.starts_with('/'), "{stdout}");
            assert!(
                stdout.ends_with("|xtask test --browser-by 12\n"),
                "{stdout}"
            );
            assert!(stderr.contains("note: HOME is not set"), "{stderr}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
