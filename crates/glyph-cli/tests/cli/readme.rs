//! The two READMEs against each other and against the command, and the documents against cargo.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::{run, run_json, sample_text, text};

fn repository_file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(name)).unwrap()
}

/// Whether this is so for a crate of the workspace, whose folder is given.
fn some_crate(is_so: impl Fn(&Path) -> bool) -> bool {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut crates = fs::read_dir(crates).unwrap();
    crates.any(|folder| is_so(&folder.unwrap().path()))
}

/// Whether a crate has this example or binary; other arguments of cargo are let through.
fn is_there(kind: &str, name: &str) -> bool {
    match kind {
        "--example" => some_crate(|folder| folder.join(format!("examples/{name}.rs")).is_file()),
        "--bin" => some_crate(|folder| {
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            folder.join("src/main.rs").is_file() && manifest.contains(&format!("name = \"{name}\""))
        }),
        _ => true,
    }
}

/// A page's text outside its code blocks, and the lines inside them without their comments.
fn parts(page: &str) -> (String, Vec<String>) {
    let (mut prose, mut commands) = (String::new(), Vec::new());
    for (i, part) in page.split("```").enumerate() {
        if i % 2 == 0 {
            prose.push_str(part);
        } else {
            let lines = part.lines().skip(1);
            commands.extend(lines.map(|line| line.split(" #").next().unwrap().trim().to_owned()));
        }
    }
    (prose, commands)
}

/// What stands between backticks.
fn code_spans(prose: &str) -> BTreeSet<String> {
    let words = |span: &str| span.split_whitespace().collect::<Vec<_>>().join(" ");
    prose.split('`').skip(1).step_by(2).map(words).collect()
}

/// A command with every quoted argument replaced.
fn without_quoted(command: &str) -> String {
    let parts = command.split('"').enumerate();
    parts
        .map(|(i, part)| if i % 2 == 0 { part } else { "…" })
        .collect()
}

#[test]
fn both_languages_say_the_same() {
    let [english, chinese] = ["README.md", "README.zh-CN.md"].map(repository_file);
    let (english_prose, english_commands) = parts(&english);
    let (chinese_prose, chinese_commands) = parts(&chinese);
    assert_eq!(code_spans(&english_prose), code_spans(&chinese_prose));
    let shapes = |commands: Vec<String>| {
        commands
            .iter()
            .map(|c| without_quoted(c))
            .collect::<Vec<_>>()
    };
    assert_eq!(shapes(english_commands), shapes(chinese_commands));
    for start in ["#", "| ", "- ", "[", "```"] {
        let count = |page: &str| page.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count(&english), count(&chinese), "lines with {start:?}");
    }
    for fact in [
        "U+4E00–U+9FFF",
        "DejaVu Sans",
        "Noto Sans Mono CJK",
        "256 MiB",
        "1.95",
    ] {
        assert!(english.contains(fact) && chinese.contains(fact), "{fact}");
    }
}

#[test]
fn every_command_of_the_readme_is_one() {
    let (prose, commands) = parts(&repository_file("README.md"));
    let xtask = repository_file("xtask/src/main.rs");
    let mut n_commands = 0;
    for line in &commands {
        let command = without_quoted(line.rsplit(" | ").next().unwrap());
        let words: Vec<&str> = command.split_whitespace().collect();
        let (name, args) = match words.as_slice() {
            ["glyph", name, args @ ..] | ["cargo", "xtask", "glyph", name, args @ ..] => {
                (*name, args)
            }
            ["cargo", "xtask", name, ..] => {
                assert!(xtask.contains(&format!("\"{name}\"")), "{line}");
                continue;
            }
            _ => panic!("{line}"),
        };
        let help = run(&[name, "--help"]);
        assert_eq!(help.code, 0, "{line}");
        for flag in args.iter().filter(|word| word.starts_with("--")) {
            assert!(help.stdout.contains(*flag), "{line}");
        }
        n_commands += 1;
    }
    assert!(n_commands >= 9, "{commands:?}");
    let help = run(&["ask", "--help"]).stdout;
    let spans = code_spans(&prose);
    for span in spans.iter().filter(|span| span.starts_with("--")) {
        let flag = span.split(' ').next().unwrap();
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn cargo_takes_what_the_documents_say() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "docs/BENCHMARKS.md",
        "docs/DEVICES.md",
        "docs/QUANTIZATION.md",
        "docs/RENDERING.md",
        "docs/SERVER.md",
        "docs/WEB.md",
        "models/glyph-mini/README.md",
    ];
    let mut n_commands = 0;
    for document in documents {
        let (_, commands) = parts(&repository_file(document));
        for line in commands.iter().filter(|line| line.starts_with("cargo ")) {
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            let own = words.iter().take_while(|word| !["--", "\\"].contains(word));
            let own: Vec<&str> = own.copied().collect();
            if own[0] == "xtask" {
                continue;
            }
            for pair in own.windows(2) {
                assert!(is_there(pair[0], pair[1]), "{document}: {line}");
            }
            // Cargo reads every argument before it gives its help, and compiles nothing for it.
            let output = Command::new(env!("CARGO"))
                .args(&own)
                .arg("--help")
                .output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {line}\n{said}");
            n_commands += 1;
        }
    }
    assert!(n_commands >= 12, "{n_commands}");
}

#[test]
fn the_figures_and_exit_codes_of_the_readme_are_there() {
    let (prose, _) = parts(&repository_file("README.md"));
    let list = prose.split("`glyph ask --json` reports").nth(1).unwrap();
    let list = list.split("\n\n").next().unwrap();
    let sample = sample_text();
    let ask = ["ask", "Who?", "--text", text(&sample), "--json"];
    let report = run_json(&[&ask[..], &["--max-tokens", "1", "--quantize", "q8"]].concat());
    let is_key = |span: &&String| span.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    // The list begins inside the prose, so that its spans are every second part again.
    let keys = code_spans(list);
    let keys: Vec<&String> = keys.iter().filter(is_key).collect();
    assert!(keys.len() > 15, "{keys:?}");
    for key in &keys {
        assert!(report.get(key).is_some(), "{key}");
    }
    for key in report.as_object().unwrap().keys() {
        assert!(keys.contains(&key), "{key} is not listed");
    }
    let help = run(&["--help"]).stdout;
    let rows = prose.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let code: u8 = cells.next()?.parse().ok()?;
        Some((code, cells.next()?.to_owned()))
    });
    let rows: Vec<(u8, String)> = rows.collect();
    assert_eq!(rows.len(), 8, "{rows:?}");
    for (code, meaning) in rows {
        assert!(
            help.contains(&format!("  {code:<5}{meaning}\n")),
            "{code} {meaning}"
        );
    }
}

#[test]
fn page_files_have_the_names_that_are_promised() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample_text();
    let args = [
        "render",
        "--text",
        text(&sample),
        "--out",
        text(folder.path()),
    ];
    assert_eq!(run(&args).code, 0);
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for command in ["render", "ask"] {
        let help = run(&[command, "--help"]).stdout;
        let promised = help.match_indices("page_").map(|(at, _)| {
            let end = help[at..].find(".png").unwrap();
            &help[at..at + end + ".png".len()]
        });
        assert_eq!(promised.collect::<Vec<_>>(), &names[..2], "{command}");
    }
    assert!(repository_file("README.md").contains(&names[0]));
}
