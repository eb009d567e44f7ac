//! A model hub in the manner of Hugging Face's: which files of a repository make a checkpoint, how they get into the cache
//! that the hub's other tools share, and whether they arrived whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use hf_hub::api::tokio::{Api, ApiBuilder, ApiError, ApiRepo, Progress};
use hf_hub::{Cache, Repo, RepoType};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Endings of the files that a checkpoint is loaded from.
const WANTED_ENDINGS: [&str; 3] = [".json", ".jinja", ".safetensors"];

/// The file without which nothing is a checkpoint.
const CONFIG: &str = "config.json";

/// How often a file is asked for again when the connection breaks. What has arrived is kept.
const MAX_RETRIES: usize = 5;

/// Bytes that are hashed at a time.
const HASHED_BYTES: usize = 1 << 20;

/// Digits of a SHA-256 checksum, which the hub gives for large files.
const SHA256_DIGITS: usize = 64;

/// Digits of a git object's name, which the hub gives for small files.
const GIT_DIGITS: usize = 40;

/// Why a model cannot be fetched: what happened, with the value, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is not that of a repository.
    #[error("{0:?} is not a repository; give OWNER/NAME, such as zai-org/Glyph")]
    Name(String),
    /// Neither HOME nor HF_HOME says where the cache is.
    #[error("there is no place for the model: set HF_HOME to a directory, or HOME")]
    NoCache,
    /// The operating system gives no means to wait for the network.
    #[error("nothing can be fetched: {0}. Close other programs and try again")]
    Runtime(io::Error),
    /// The hub does not know the repository, the revision or the file.
    #[error("{url} was not found. Check the name and the --revision")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// The hub wants to know who asks.
    #[error(
        "{url} was refused ({status}). The model may be private or want its terms accepted on its page; \
         set HF_TOKEN to a token that may read it"
    )]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// The connection failed, and failed again.
    #[error(
        "{source}. Check the network, or choose a mirror with --endpoint; run the same command again and it \
         goes on where it stopped"
    )]
    Connection {
        /// What the library says.
        source: ApiError,
    },
    /// Another process is fetching the same file.
    #[error("another process is fetching the same file: {} is locked. Wait for it", .0.display())]
    Locked(PathBuf),
    /// The repository holds something else.
    #[error("it has no {missing}, so it holds no checkpoint that can be loaded")]
    NoCheckpoint {
        /// What is not in it.
        missing: &'static str,
    },
    /// The hub's answer would leave the cache directory.
    #[error("the hub's answer names {name:?}, which is no {what}. Do not trust this --endpoint")]
    Unsafe {
        /// What it should be.
        what: &'static str,
        /// What it is.
        name: String,
    },
    /// The bytes that arrived are not those of the repository.
    #[error(
        "{file} arrived damaged: its checksum is {got} and should be {expected}. It was removed; fetch it again"
    )]
    Checksum {
        /// The file.
        file: String,
        /// The hub's checksum.
        expected: String,
        /// That of the file.
        got: String,
    },
    /// The disk failed.
    #[error("cannot write to the cache {}: {source}. Check the free space and the permissions", .path.display())]
    Disk {
        /// The cache, or a file in it.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// A repository of a hub, at one commit.
pub struct Hub {
    api: Api,
    cache: Cache,
    /// As it was asked for, by the name of a branch, a tag or a commit.
    asked: Repo,
    /// At the commit that the name stood for.
    repo: ApiRepo,
    /// The commit.
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
        token: Option<String>,
    ) -> Result<Self, HubError> {
        let is_part =
            |part: &str| !part.is_empty() && part.chars().all(is_plain) && !part.starts_with('.');
        if !name
            .split_once('/')
            .is_some_and(|(owner, name)| is_part(owner) && is_part(name))
        {
            return Err(HubError::Name(name.to_owned()));
        }
        if std::env::var_os("HF_HOME")
            .or(std::env::var_os("HOME"))
            .is_none()
        {
            return Err(HubError::NoCache);
        }
        let cache = Cache::from_env();
        let mut builder = ApiBuilder::from_env();
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        if token.is_some() {
            builder = builder.with_token(token);
        }
        let api = builder.build().map_err(|error| cannot_reach(error, name))?;
        let repo = |revision: &str| {
            Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned())
        };
        let asked = repo(revision);
        let of_asked = api.repo(asked.clone());
        let info = retried(|| of_asked.info(), &format!("{name} at {revision}")).await?;
        if !is_hex(&info.sha) {
            return Err(HubError::Unsafe {
                what: "commit",
                name: info.sha,
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
            repo: api.repo(repo(&info.sha)),
            api,
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
    pub async fn fetch<P>(&self, file: &str, progress: P) -> Result<PathBuf, HubError>
    where
        P: Progress + Clone + Send + Sync + 'static,
    {
        let url = self.repo.url(file);
        let at_commit = Repo::with_revision(self.asked.url(), RepoType::Model, self.commit.clone());
        let path = match self.cache.repo(at_commit).get(file) {
            Some(path) => path,
            None => {
                // Its tag becomes a file's name.
                let metadata = retried(|| self.api.metadata(&url), &url).await?;
                if !metadata.etag().chars().all(is_plain) || metadata.etag().starts_with('.') {
                    return Err(HubError::Unsafe {
                        what: "tag of a file",
                        name: metadata.etag().to_owned(),
                    });
                }
                let download = || self.repo.download_with_progress(file, progress.clone());
                retried(download, &url).await?
            }
        };
        let disk = |source| HubError::Disk {
            path: path.clone(),
            source,
        };
        let blob = fs::canonicalize(&path).map_err(disk)?;
        let expected = blob
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let got = match expected.len() {
            SHA256_DIGITS if is_hex(&expected) => hash::<Sha256>(&blob, None),
            GIT_DIGITS if is_hex(&expected) => hash::<Sha1>(&blob, Some("blob")),
            // Mirrors may name a file otherwise; its length was checked as it came.
            _ => return Ok(path),
        }
        .map_err(disk)?;
        if got == expected {
            return Ok(path);
        }
        for damaged in [&path, &blob] {
            // What cannot be removed is found damaged again.
            drop(fs::remove_file(damaged));
        }
        Err(HubError::Checksum {
            file: file.to_owned(),
            expected,
            got,
        })
    }

    /// Notes in the cache which commit the asked revision stands for, as the hub's other tools do.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn finish(&self) -> Result<(), HubError> {
        let cached = self.cache.repo(self.asked.clone());
        cached
            .create_ref(&self.commit)
            .map_err(|source| HubError::Disk {
                path: self.cache.path().clone(),
                source,
            })
    }
}

/// Asks again when the connection breaks, after ever longer pauses.
async fn retried<T, F, A>(ask: F, url: &str) -> Result<T, HubError>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, ApiError>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_times(MAX_RETRIES)
        .with_jitter();
    ask.retry(pauses)
        .when(is_worth_a_retry)
        .await
        .map_err(|error| cannot_reach(error, url))
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => error.status().map(|status| status.as_u16()),
        _ => None,
    }
}

/// A broken connection may mend, an answer of the hub stands; but it may be too busy.
fn is_worth_a_retry(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => error
            .status()
            .is_none_or(|status| status.is_server_error() || status.as_u16() == 429),
        _ => false,
    }
}

fn cannot_reach(error: ApiError, url: &str) -> HubError {
    let url = url.to_owned();
    match (status(&error), error) {
        (Some(404), _) => HubError::NotFound { url },
        (Some(status @ (401 | 403)), _) => HubError::Refused { url, status },
        (_, ApiError::LockAcquisition(path)) => HubError::Locked(path),
        (_, ApiError::IoError(source)) => HubError::Disk {
            path: Cache::from_env().path().clone(),
            source,
        },
        (_, source) => HubError::Connection { source },
    }
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

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit())
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
}
