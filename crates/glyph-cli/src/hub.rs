//! A model hub in the manner of Hugging Face's: which files of a repository make a checkpoint, how they get into the cache
//! that the hub's other tools share, and whether they arrived whole.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::hub_error::HubError;
use crate::hub_http::{HubHttp, retried};

/// Endings of the files that a checkpoint is loaded from.
const WANTED_ENDINGS: [&str; 3] = [".json", ".jinja", ".safetensors"];

/// The file without which nothing is a checkpoint.
const CONFIG: &str = "config.json";

/// Ending of a file in the cache that is not yet whole.
const PART_ENDING: &str = "incomplete";

/// Directory of the cache that holds the locks, as the hub's other tools have it.
const LOCKS: &str = ".locks";

/// Seconds that another process is waited for.
const LOCK_SECONDS: usize = 5;

/// Bytes that are hashed at a time.
const HASHED_BYTES: usize = 1 << 20;

/// Digits of a SHA-256 checksum, which the hub gives for large files.
const SHA256_DIGITS: usize = 64;

/// Digits of a git object's name, which the hub gives for small files.
const GIT_DIGITS: usize = 40;

/// A repository of a hub, at one commit.
pub struct Hub {
    http: HubHttp,
    cache: Cache,
    /// As it was asked for, by the name of a branch, a tag or a commit.
    asked: Repo,
    /// The commit that the name stood for.
    pub commit: String,
    /// Names of the files that make the checkpoint.
    pub files: Vec<String>,
}

impl Hub {
    /// Asks the hub for the repository's files. Every file is fetched at the commit that `revision` stands for now, so
    /// that a repository that changes meanwhile does not give a mixture.
    ///
    /// # Errors
    /// When the hub cannot be reached, does not have it, or has no checkpoint there.
    pub async fn open(
        name: &str,
        revision: &str,
        endpoint: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, HubError> {
        let is_part =
            |part: &str| !part.is_empty() && part.chars().all(is_plain) && !part.starts_with('.');
        if !name
            .split_once('/')
            .is_some_and(|(owner, name)| is_part(owner) && is_part(name))
        {
            return Err(HubError::Name(name.to_owned()));
        }
        if !is_revision(revision) {
            return Err(HubError::Revision(revision.to_owned()));
        }
        if std::env::var("HF_HOME").is_err()
            && std::env::home_dir().is_none_or(|home| home.as_os_str().is_empty())
        {
            return Err(HubError::NoCache);
        }
        let cache = Cache::from_env();
        let given = token.map(str::trim).filter(|token| !token.is_empty());
        let token = given.map(str::to_owned).or_else(|| cache.token());
        let http = HubHttp::new(endpoint, token.as_deref())?;
        let asked = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
        let url = http.url(&format!("api/{}", asked.api_url()));
        let info = retried(|| http.info(&url)).await?;
        if !is_hex(&info.sha) {
            return Err(HubError::NotAHub {
                url,
                what: format!("it calls {:?} a commit", info.sha),
            });
        }
        let names = info.siblings.into_iter().map(|sibling| sibling.rfilename);
        let files: Vec<String> = names.filter(|name| is_wanted(name)).collect();
        for (missing, is_there) in [
            (CONFIG, files.iter().any(|file| file == CONFIG)),
            (
                "*.safetensors",
                files.iter().any(|file| file.ends_with(".safetensors")),
            ),
        ] {
            if !is_there {
                return Err(HubError::NoCheckpoint { missing });
            }
        }
        Ok(Self {
            http,
            cache,
            asked,
            commit: info.sha,
            files,
        })
    }

    /// Fetches a file, if the cache does not have it, and checks it. Returns its path in the cache.
    ///
    /// # Errors
    /// When it cannot be fetched or stored, or is not what the hub says it is.
    pub async fn fetch(&self, file: &str, bar: &ProgressBar) -> Result<PathBuf, HubError> {
        let cached = self.cache.repo(self.asked.clone());
        let snapshot = cached.pointer_path(&self.commit);
        let path = snapshot.join(file);
        let checking = || bar.set_message(format!("checking {file}"));
        if path.exists() {
            let blob = fs::canonicalize(&path).map_err(disk(&path))?;
            let name = blob.file_name().and_then(OsStr::to_str);
            // Where a cache cannot hold links, a file does not have its checksum's name.
            if let Some(checksum) = name.filter(|name| is_checksum(name)) {
                checking();
                check(&blob, checksum, file)?;
            }
            return Ok(path);
        }
        let url = self.http.url(&format!(
            "{}/resolve/{}/{file}",
            self.asked.url(),
            self.commit
        ));
        let checksum = retried(|| self.http.checksum(&url, &self.commit)).await?;
        let blob = cached.blob_path(&checksum);
        let locks = self.cache.path().join(LOCKS).join(self.asked.folder_name());
        let directories = [
            blob.parent(),
            Some(snapshot.as_path()),
            Some(locks.as_path()),
        ];
        for directory in directories.into_iter().flatten() {
            fs::create_dir_all(directory).map_err(disk(directory))?;
        }
        let _lock = lock(&locks.join(format!("{checksum}.lock"))).await?;
        if blob.exists() {
            checking();
            check(&blob, &checksum, file)?;
        } else {
            let part = blob.with_extension(PART_ENDING);
            retried(|| self.http.download(&url, &part, bar)).await?;
            checking();
            check(&part, &checksum, file)?;
            fs::rename(&part, &blob).map_err(disk(&blob))?;
        }
        // A link to what was removed as damaged.
        if path.is_symlink() {
            fs::remove_file(&path).map_err(disk(&path))?;
        }
        link(&blob, &path).map_err(disk(&path))?;
        Ok(path)
    }

    /// Notes in the cache which commit the asked revision stands for, as the hub's other tools do.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn finish(&self) -> Result<(), HubError> {
        let cached = self.cache.repo(self.asked.clone());
        let noted = cached.create_ref(&self.commit);
        noted.map_err(disk(self.cache.path()))
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> HubError {
    move |source| HubError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// Keeps other processes from the same file until the answer is dropped.
async fn lock(path: &Path) -> Result<File, HubError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let file = options.open(path).map_err(disk(path))?;
    for _ in 0..LOCK_SECONDS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(TryLockError::Error(source)) => return Err(disk(path)(source)),
        }
    }
    Err(HubError::Locked(path.to_owned()))
}

/// Makes a blob a file of a snapshot, by a path that holds where the cache is moved to.
#[cfg(unix)]
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(name), path)
}

/// Makes a blob a file of a snapshot. Symbolic links may need a privilege here.
#[cfg(not(unix))]
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(blob, path)
}

/// Files of the repository's first level that a checkpoint is loaded from.
fn is_wanted(name: &str) -> bool {
    name.chars().all(is_plain)
        && !name.starts_with('.')
        && WANTED_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What may stand in a name that becomes a file's.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Whether git may have it as a branch, a tag or a commit; then it is also a path that stays where it is put.
fn is_revision(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part
                .chars()
                .any(|c| c.is_control() || r"\:?*[~^ ".contains(c))
    };
    name.split('/').all(is_part)
}

/// Whether a file may be compared with it.
pub fn is_checksum(text: &str) -> bool {
    [SHA256_DIGITS, GIT_DIGITS].contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Compares a file with its checksum, and removes it if it is another.
fn check(path: &Path, expected: &str, file: &str) -> Result<(), HubError> {
    let got = if expected.len() == SHA256_DIGITS {
        hash::<Sha256>(path, None)
    } else {
        hash::<Sha1>(path, Some("blob"))
    }
    .map_err(disk(path))?;
    if got.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    // What cannot be removed is found damaged again.
    drop(fs::remove_file(path));
    Err(HubError::Checksum {
        file: file.to_owned(),
        expected: expected.to_owned(),
        got,
    })
}

/// Checksum of a file in lower-case hexadecimal digits. As git does it, a kind and the length may stand before it.
fn hash<D: Digest>(path: &Path, kind: Option<&str>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = D::new();
    if let Some(kind) = kind {
        hasher.update(format!("{kind} {}\0", file.metadata()?.len()));
    }
    let mut buffer = vec![0; HASHED_BYTES];
    loop {
        let n_bytes = file.read(&mut buffer)?;
        if n_bytes == 0 {
            break;
        }
        hasher.update(&buffer[..n_bytes]);
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_hub() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hello\n").unwrap();
        // sha256sum; git hash-object
        assert_eq!(
            hash::<Sha256>(file.path(), None).unwrap(),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
        assert_eq!(
            hash::<Sha1>(file.path(), Some("blob")).unwrap(),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }

    #[test]
    fn only_files_of_a_checkpoint_are_wanted() {
        for name in [
            "config.json",
            "model-00001-of-00004.safetensors",
            "chat_template.jinja",
        ] {
            assert!(is_wanted(name), "{name}");
        }
        for name in [
            "README.md",
            "../config.json",
            "a/b.json",
            "model.bin",
            ".json",
            "run.py",
        ] {
            assert!(!is_wanted(name), "{name}");
        }
    }

    #[test]
    fn a_revision_stays_where_it_is_put() {
        for name in ["main", "v1.0", "refs/pr/3", "feature/x"] {
            assert!(is_revision(name), "{name}");
        }
        for name in [
            "", "/etc/x", "../x", "a/../b", "a//b", r"a\b", "C:x", "a\nb",
        ] {
            assert!(!is_revision(name), "{name:?}");
        }
    }
}
