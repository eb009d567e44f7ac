//! What lies beside the page's programs, and how large all of it is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, root};

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

/// What messages of panics name of burn's sources.
const LIBRARY: &[u8] = b"burn-";

/// Refuses a page whose own program is large, or has the model's library in it.
///
/// # Errors
/// A sentence with the figures.
pub fn check_programs(dist: &Path) -> Result<()> {
    let shell = program(dist, "glyph-app")?;
    let bytes = gzipped_bytes(&shell)?;
    if bytes > MOST_SHELL_BYTES {
        return Err(format!(
            "{} has {bytes} bytes when it is compressed, more than {MOST_SHELL_BYTES}",
            shell.display()
        ));
    }
    let has_library = |program: &Path| -> Result<bool> {
        let bytes = read(program)?;
        Ok(bytes.windows(LIBRARY.len()).any(|part| part == LIBRARY))
    };
    if has_library(&shell)? {
        return Err(format!(
            "{} has burn in it: only the model's worker may load that",
            shell.display()
        ));
    }
    // Else nothing would be found anywhere.
    let worker = program(dist, "model-worker")?;
    if !has_library(&worker)? {
        return Err(format!(
            "{} shows no sign of burn, so that the page's program cannot be told to be free of it",
            worker.display()
        ));
    }
    Ok(())
}

/// The wasm file whose name begins so.
fn program(dist: &Path, name: &str) -> Result<PathBuf> {
    let is_it = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(name) && file.ends_with(".wasm")
    };
    let found = sorted(dist)?.into_iter().find(is_it);
    found.ok_or_else(|| format!("{} has no {name}*.wasm", dist.display()))
}

fn gzipped_bytes(path: &Path) -> Result<usize> {
    let mut gzip = Command::new("gzip");
    let packed = gzip.args(["-9", "--stdout"]).arg(path).output();
    let packed = packed.map_err(|error| format!("gzip cannot be started: {error}"))?;
    if !packed.status.success() {
        let said = String::from_utf8_lossy(&packed.stderr);
        return Err(format!("gzip of {}: {}", path.display(), said.trim()));
    }
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
    use super::hash;

    #[test]
    fn content_decides_the_hash() {
        // Published values of FNV-1a.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
