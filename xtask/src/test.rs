//! The checks, step by step.

use std::time::Instant;

use crate::command::{Result, cargo_in_root, run};
use crate::install::{self, WASM_TARGET};
use crate::tests_run;

/// One check: its name on the command line and what runs it. A step may report a line.
struct Step {
    name: &'static str,
    run: fn() -> Result<Option<String>>,
}

/// In this order: what fails fastest comes first. All native steps name the whole workspace: the
/// features of the dependencies are then the same in each, and burn is compiled once.
const STEPS: [Step; 5] = [
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
        name: "doc",
        run: doc,
    },
    Step {
        name: "wasm",
        run: wasm,
    },
];

/// `cargo xtask test`.
pub fn all(args: &[&str]) -> Result<()> {
    let mut skipped = Vec::new();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        let name = match arg {
            "--skip" => args.next().unwrap_or("nothing"),
            other => other.strip_prefix("--skip-").unwrap_or(other),
        };
        if !STEPS.iter().any(|step| step.name == name) {
            let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            return Err(format!(
                "{name:?} is no step; test takes --skip with one of {}",
                names.join(", ")
            ));
        }
        skipped.push(name);
    }
    let (mut times, mut reports) = (Vec::new(), Vec::new());
    for step in STEPS.iter().filter(|step| !skipped.contains(&step.name)) {
        let (seconds, report) = timed(step)?;
        times.push(format!("{} {seconds:.0} s", step.name));
        reports.extend(report);
    }
    println!("\nAll checks passed: {}", times.join(", "));
    // The count of the tests is the last line.
    reports.iter().for_each(|report| println!("{report}"));
    Ok(())
}

/// One step by its name.
pub fn one(name: &str) -> Result<()> {
    let step = STEPS.iter().find(|step| step.name == name);
    let (_, report) = timed(step.ok_or_else(|| format!("there is no step {name:?}"))?)?;
    report.iter().for_each(|report| println!("{report}"));
    Ok(())
}

fn timed(step: &Step) -> Result<(f64, Option<String>)> {
    println!("\n== {}", step.name);
    let start = Instant::now();
    let outcome = (step.run)();
    let seconds = start.elapsed().as_secs_f64();
    let word = if outcome.is_ok() { "passed" } else { "failed" };
    println!("== {} {word} after {seconds:.1} s", step.name);
    outcome.map(|report| (seconds, report))
}

/// `cargo xtask fmt`.
pub fn format() -> Result<()> {
    install::component("rustfmt", "fmt")?;
    run(&mut cargo_in_root(&["fmt", "--all"]))
}

fn check_format() -> Result<Option<String>> {
    install::component("rustfmt", "fmt")?;
    run(&mut cargo_in_root(&["fmt", "--all", "--check"]))
        .map_err(|error| format!("{error}. cargo xtask fmt formats all code"))?;
    Ok(None)
}

fn clippy() -> Result<Option<String>> {
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

fn doc() -> Result<Option<String>> {
    let mut doc = cargo_in_root(&["doc", "--workspace", "--no-deps", "--release"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(None)
}

/// What a browser will load must compile there.
fn wasm() -> Result<Option<String>> {
    install::wasm_target()?;
    install::component("clippy", "clippy")?;
    let args = ["clippy", "--release", "--target", WASM_TARGET];
    let packages = ["--package", "glyph-render", "--package", "glyph-model"];
    run(cargo_in_root(&args)
        .args(packages)
        .args(["--", "-D", "warnings"]))?;
    Ok(None)
}
