//! The page: its tools, its build, the files beside it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, cargo, output, root, run, succeeds};
use crate::install::{self, npm_install};

/// The version that is known to build the page.
const TRUNK: &str = "0.21.14";
/// The npm package that holds `wasm-opt`.
const BINARYEN: &str = "binaryen@132.0.0";

/// Fonts that the renderer's worker fetches.
const FONTS: &str = "crates/glyph-render/fonts";
/// The model that a browser may fetch, and the files of it that it needs.
const MODEL: &str = "models/glyph-mini";
const MODEL_FILES: [&str; 8] = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "render.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Installs the tools that are missing and builds the page into `dist`.
pub fn build() -> Result<PathBuf> {
    install::wasm_target()?;
    let target = target_directory()?;
    let tools = target.join("web-tools");
    let path = tools_on_path(&tools)?;
    let mut trunk = Command::new(tools.join("bin/trunk"));
    trunk
        .arg("build")
        .current_dir(root())
        .env("PATH", path)
        .env("NO_COLOR", "true")
        // Apart from the native build, whose lock it would wait for.
        .env("CARGO_TARGET_DIR", target.join("web"));
    run(&mut trunk)?;
    Ok(root().join("dist"))
}

/// Where cargo builds: beside the directory with this program.
pub fn target_directory() -> Result<PathBuf> {
    let program = env::current_exe().map_err(|error| format!("where is this program: {error}"))?;
    let directory = program.parent().and_then(Path::parent).map(Path::to_owned);
    directory.ok_or_else(|| format!("{} has no directory", program.display()))
}

/// The search path with trunk, wasm-bindgen and wasm-opt in front.
fn tools_on_path(tools: &Path) -> Result<OsString> {
    let bin = tools.join("bin");
    if !prints(&bin.join("trunk"), TRUNK) {
        cargo_install(tools, &["--locked", &format!("trunk@{TRUNK}")])?;
    }
    let version = locked_version("wasm-bindgen")?;
    if !prints(&bin.join("wasm-bindgen"), &version) {
        // Not --locked: a dependency that its lock file names has been withdrawn.
        cargo_install(tools, &[&format!("wasm-bindgen-cli@{version}")])?;
    }
    let npm = tools.join("npm");
    let npm_bin = npm.join("node_modules/.bin");
    if !succeeds(Command::new(npm_bin.join("wasm-opt")).arg("--version")) {
        npm_install(&npm, BINARYEN)?;
    }
    let mut directories = vec![bin, npm_bin];
    directories.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    env::join_paths(directories).map_err(|error| format!("the search path: {error}"))
}

fn prints(program: &Path, version: &str) -> bool {
    let mut command = Command::new(program);
    let printed = output(command.arg("--version")).unwrap_or_default();
    printed.split_whitespace().any(|word| word == version)
}

fn cargo_install(tools: &Path, what: &[&str]) -> Result<()> {
    let mut install = cargo();
    install.args(["install", "--root"]).arg(tools).args(what);
    // What it compiles is of no use to anything else. These tools are quick enough without the
    // optimisations that take most of the time of building them.
    for (name, value) in [
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ] {
        install.env(name, value);
    }
    install.env("CARGO_TARGET_DIR", tools.join("target"));
    run(&mut install)
}

/// The version of a package in the page's lock file.
fn locked_version(package: &str) -> Result<String> {
    let path = root().join("web/Cargo.lock");
    let lock = fs::read_to_string(&path);
    let lock = lock.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    version_in(&lock, package).ok_or_else(|| format!("{} lacks {package}", path.display()))
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next()?.strip_prefix("version = \"")?;
    version.strip_suffix('"').map(str::to_owned)
}

/// `cargo xtask web-assets`, which trunk runs when all is built: fonts and model beside the page,
/// under names that change with their content, and the list that `glyph.js` reads.
pub fn assets() -> Result<()> {
    let staging = env::var_os("TRUNK_STAGING_DIR")
        .map(PathBuf::from)
        .ok_or("TRUNK_STAGING_DIR is not set: trunk runs this command")?;
    let mut fonts = Vec::new();
    for entry in sorted(&root().join(FONTS))? {
        let name = entry
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(stem) = name.strip_suffix(".ttf") {
            let bytes = read(&entry)?;
            let url = format!("fonts/{stem}-{:016x}.ttf", hash(&bytes));
            write(&staging.join(&url), &bytes)?;
            let size = bytes.len();
            fonts.push(format!(
                "{{\"name\":\"{name}\",\"url\":\"{url}\",\"bytes\":{size}}}"
            ));
        }
        if name.starts_with("LICENSE") {
            write(&staging.join("fonts").join(&name), &read(&entry)?)?;
        }
    }
    let model = root().join(MODEL);
    let (mut all, mut files) = (Vec::new(), Vec::new());
    for name in MODEL_FILES {
        let bytes = read(&model.join(name))?;
        all.extend_from_slice(name.as_bytes());
        all.extend_from_slice(&bytes);
        files.push((name, bytes));
    }
    let base = format!("{MODEL}/{:016x}/", hash(&all));
    let mut listed = Vec::new();
    for (name, bytes) in files {
        write(&staging.join(&base).join(name), &bytes)?;
        listed.push(format!("{{\"name\":\"{name}\",\"bytes\":{}}}", bytes.len()));
    }
    let listing = format!(
        "{{\"fonts\":[{}],\"model\":{{\"name\":\"glyph-mini\",\"base\":\"{base}\",\"files\":[{}]}}}}\n",
        fonts.join(","),
        listed.join(",")
    );
    write(&staging.join("assets.json"), listing.as_bytes())
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| format!("cannot read {}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = parent.and_then(|()| fs::write(path, bytes));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// FNV-1a: names change when content does, and nobody has an interest in a collision.
fn hash(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Most bytes of the page's program, compressed; fonts, renderer and model are fetched when they are needed.
const MOST_SHELL_BYTES: usize = 1_500_000;

/// Refuses a page whose own program is large, or has the model's library in it.
///
/// # Errors
/// A sentence with the figures.
pub fn check_shell(dist: &Path) -> Result<()> {
    let is_shell = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("glyph-app") && name.ends_with(".wasm")
    };
    let shell = sorted(dist)?.into_iter().find(is_shell);
    let shell = shell.ok_or_else(|| format!("{} has no program of the page", dist.display()))?;
    let bytes = gzipped_bytes(&shell)?;
    if bytes > MOST_SHELL_BYTES {
        let shell = shell.display();
        return Err(format!(
            "{shell} has {bytes} bytes when it is compressed, more than {MOST_SHELL_BYTES}"
        ));
    }
    // Messages of panics name the file of the source.
    let library = b"burn-";
    if read(&shell)?
        .windows(library.len())
        .any(|part| part == library)
    {
        return Err(format!(
            "{} has burn in it: only the model's worker may load that",
            shell.display()
        ));
    }
    Ok(())
}

fn gzipped_bytes(path: &Path) -> Result<usize> {
    let mut gzip = Command::new("gzip");
    let packed = gzip.args(["-9", "--stdout"]).arg(path).output();
    let packed = packed.map_err(|error| format!("gzip cannot be started: {error}"))?;
    Ok(packed.stdout.len())
}

/// `cargo xtask web-sizes`: what a browser fetches, as it is and compressed by gzip.
pub fn sizes() -> Result<()> {
    let dist = root().join("dist");
    println!("{:<44} {:>12} {:>12}", "file", "bytes", "gzip -9");
    for path in files_below(&dist)? {
        let name = path
            .strip_prefix(&dist)
            .unwrap_or(&path)
            .display()
            .to_string();
        let (size, packed) = (read(&path)?.len(), gzipped_bytes(&path)?);
        println!("{name:<44} {size:>12} {packed:>12}");
    }
    Ok(())
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in sorted(directory)? {
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{hash, version_in};

    #[test]
    fn versions_are_found_in_a_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"0.2.130\"\nsource = \"x\"\n";
        assert_eq!(version_in(lock, "a").as_deref(), Some("0.2.130"));
        assert_eq!(version_in(lock, "b"), None);
    }

    #[test]
    fn content_decides_the_hash() {
        // Published values of FNV-1a.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
