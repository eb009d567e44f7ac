//! The part of the hub's cache that belongs to one repository: blobs by their checksums, for each commit a snapshot of
//! links to them, and refs that say which commit a revision stands for.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use crate::hub_error::HubError;

/// Directory of the cache that holds the locks.
const LOCKS: &str = ".locks";

/// Directory of a repository that holds its refs.
const REFS: &str = "refs";

/// Seconds that another process is waited for.
const LOCK_SECONDS: usize = 5;

/// A repository's part of the cache.
pub struct HubCache {
    cache: Cache,
    /// As it was asked for, by the name of a branch, a tag or a commit.
    asked: Repo,
}

impl HubCache {
    /// Nothing is made yet.
    pub fn new(directory: PathBuf, repository: &str, revision: &str) -> Self {
        Self {
            cache: Cache::new(directory),
            asked: Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned()),
        }
    }

    /// Path of a file's bytes.
    pub fn blob(&self, checksum: &str) -> PathBuf {
        self.cached().blob_path(checksum)
    }

    /// Path of a file by its name.
    pub fn snapshot_file(&self, commit: &str, file: &str) -> PathBuf {
        self.cached().pointer_path(commit).join(file)
    }

    /// Makes sure that the revision's ref can be written, before anything is fetched for it. An older ref stays: other
    /// tools go on with the snapshot that it names until the new one is whole.
    ///
    /// # Errors
    /// When something is in the way, or the cache cannot be written.
    pub fn prepare_ref(&self, commit: &str) -> Result<(), HubError> {
        if self.is_current(commit) {
            return Ok(());
        }
        let path = self.ref_path();
        let n_above = self.asked.revision().matches('/').count();
        if let Some(other) = in_the_way(&path, n_above) {
            return Err(HubError::RefInTheWay {
                revision: self.asked.revision().to_owned(),
                path: other.to_owned(),
                commit: commit.to_owned(),
            });
        }
        if !path.exists() {
            return self.write_ref(commit);
        }
        let opened = File::options().write(true).open(&path);
        opened.map(drop).map_err(HubError::disk(&path))
    }

    /// Writes which commit the revision stands for.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn write_ref(&self, commit: &str) -> Result<(), HubError> {
        if self.is_current(commit) {
            return Ok(());
        }
        let written = self.cached().create_ref(commit);
        written.map_err(HubError::disk(&self.ref_path()))
    }

    /// Whether no ref is to be written. A commit stands for itself.
    fn is_current(&self, commit: &str) -> bool {
        self.asked.revision() == commit
            || fs::read_to_string(self.ref_path()).is_ok_and(|written| written.trim() == commit)
    }

    fn ref_path(&self) -> PathBuf {
        let directory = self.cache.path().join(self.asked.folder_name());
        directory.join(REFS).join(self.asked.revision())
    }

    fn cached(&self) -> CacheRepo {
        self.cache.repo(self.asked.clone())
    }

    /// Keeps other processes from the same blob until the answer is dropped.
    ///
    /// # Errors
    /// When one has it for long, or the cache cannot be written.
    pub async fn lock(&self, checksum: &str) -> Result<File, HubError> {
        let directory = self.cache.path().join(LOCKS).join(self.asked.folder_name());
        fs::create_dir_all(&directory).map_err(HubError::disk(&directory))?;
        let path = directory.join(format!("{checksum}.lock"));
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(&path).map_err(HubError::disk(&path))?;
        for _ in 0..LOCK_SECONDS {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(TryLockError::Error(source)) => return Err(HubError::disk(&path)(source)),
            }
        }
        Err(HubError::Locked(path))
    }
}

/// What keeps a ref from its path: one whose name is the beginning of its own, or the other way round. Branches of one
/// repository have no such names at the same time.
fn in_the_way(path: &Path, n_above: usize) -> Option<&Path> {
    if path.is_dir() {
        return Some(path);
    }
    let mut above = path.ancestors().skip(1).take(n_above);
    above.find(|above| above.is_file())
}

/// What stands for a file of a snapshot, if it is there: the blob, if it is a link to that, or the file itself, where the
/// disk holds no links.
pub fn kept<'a>(path: &'a Path, blob: &'a Path) -> Option<&'a Path> {
    if !path.is_symlink() {
        return path.exists().then_some(path);
    }
    let leads_to = fs::canonicalize(path).ok()?;
    (leads_to == fs::canonicalize(blob).ok()?).then_some(blob)
}

/// Makes a blob a file of a snapshot.
///
/// # Errors
/// When the cache cannot be written.
pub fn link(blob: &Path, path: &Path) -> Result<(), HubError> {
    // A link to another blob, or to one that was removed.
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).map_err(HubError::disk(path))?;
    }
    make_link(blob, path).map_err(HubError::disk(path))
}

/// The path of the link holds where the cache is moved to.
#[cfg(unix)]
fn make_link(blob: &Path, path: &Path) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(name), path)
}

/// Symbolic links may need a privilege here.
#[cfg(not(unix))]
fn make_link(blob: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(blob, path)
}
