//! Running the built binary.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The binary on the CPU, without what the caller's environment may add.
pub fn glyph(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glyph"));
    on_its_own(&mut command).args(args).stdin(Stdio::null());
    command
}

/// On the CPU, with none of the settings of whoever runs the tests.
pub fn on_its_own(command: &mut Command) -> &mut Command {
    command
        .env("GLYPH_DEVICE", "cpu")
        .env_remove("GLYPH_MODEL")
        .env_remove("GLYPH_DTYPE")
        .env_remove("GLYPH_QUANTIZE")
        .env_remove("GLYPH_KV_CACHE")
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Outcome {
    outcome(&glyph(args).output().unwrap())
}

/// Runs it with something on standard input.
pub fn run_with_input(args: &[&str], input: &[u8]) -> Outcome {
    let mut command = glyph(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    outcome(&child.wait_with_output().unwrap())
}

/// Runs it and parses the one object that it prints.
pub fn run_json(args: &[&str]) -> Value {
    let outcome = run(args);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

pub fn outcome(output: &Output) -> Outcome {
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

impl Outcome {
    /// Checks code and message of a failure; nothing may stand on standard output.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.stdout, "", "{self:?}");
        self.ends(code, parts);
    }

    /// Checks code and message of a failure after some output.
    #[track_caller]
    pub fn ends(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// A file that belongs to the tests of all crates.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(path)
}

/// The text of the README's first command.
pub fn sample_text() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/order.txt")
}

/// A small picture.
pub fn sample_image() -> PathBuf {
    fixture("model/images/page_90x80.png")
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A copy of a checkpoint fixture, to be spoiled.
pub fn copy_model(name: &str, to: &Path) -> PathBuf {
    copy_directory(&fixture("model").join(name), to)
}

/// A copy of a directory of files.
pub fn copy_directory(from: &Path, to: &Path) -> PathBuf {
    let to = to.join(from.file_name().unwrap());
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to
}

/// Changes one number of the decoder in a copied `config.json`.
pub fn change_decoder(model: &Path, key: &str, value: usize) {
    change_json(&model.join("config.json"), |config| {
        config["text_config"][key] = value.into();
    });
}

/// Changes a JSON file.
pub fn change_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Lengthens the data of a checkpoint's weights by zeros, and changes the header with the place where these start.
pub fn add_to_weights(model: &Path, n_bytes: usize, change: impl FnOnce(&mut Value, usize)) {
    let path = model.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let (len, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    change(&mut header, data.len());
    let header = header.to_string();
    let len = (header.len() as u64).to_le_bytes();
    let zeros = vec![0_u8; n_bytes];
    let parts = [&len[..], header.as_bytes(), data, &zeros[..]];
    fs::write(&path, parts.concat()).unwrap();
}

/// Makes a named pipe that nobody writes to.
#[cfg(unix)]
pub fn make_pipe(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}
