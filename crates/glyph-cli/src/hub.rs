//! A model hub in the manner of Hugging Face's: which files of a repository make a checkpoint, how they get into the cache
//! that the hub's other tools share, and whether they arrived whole.

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use crate::hub_cache::{self, HubCache};
use crate::hub_checksum::{is_hex, other_checksum};
use crate::hub_error::HubError;
use crate::hub_home::HubHome;
use crate::hub_http::{HubHttp, retried};
use crate::output;

/// Endings of the files that a checkpoint is loaded from.
const WANTED_ENDINGS: [&str; 3] = [".json", ".jinja", ".safetensors"];

/// The file without which nothing is a checkpoint.
const CONFIG: &str = "config.json";

/// Ending of a file in the cache that is not yet whole.
const PART_ENDING: &str = "incomplete";

/// A repository of a hub, at one commit.
pub struct Hub {
    http: HubHttp,
    cache: HubCache,
    /// `OWNER/NAME`.
    name: String,
    /// The commit that the revision stood for.
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
        let home = HubHome::from_env()?;
        let given = token.map(str::trim).filter(|token| !token.is_empty());
        let token = given.map(str::to_owned).or_else(|| home.token());
        let http = HubHttp::new(endpoint, token.as_deref())?;
        let models = ["api", "models"].into_iter().chain(name.split('/'));
        let url = http.url(models.chain(["revision", revision]));
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
        let cache = HubCache::new(home.cache, name, revision);
        cache.prepare_ref(&info.sha)?;
        Ok(Self {
            http,
            cache,
            name: name.to_owned(),
            commit: info.sha,
            files,
        })
    }

    /// Fetches a file, unless the cache has the bytes whose checksum the hub gives. Returns its path in the cache.
    ///
    /// # Errors
    /// When it cannot be fetched or stored, or is not what the hub says it is.
    pub async fn fetch(&self, file: &str, bar: &ProgressBar) -> Result<PathBuf, HubError> {
        let at_commit = ["resolve", self.commit.as_str(), file];
        let url = self.http.url(self.name.split('/').chain(at_commit));
        let checksum = retried(|| self.http.checksum(&url, &self.commit)).await?;
        let blob = self.cache.blob(&checksum);
        let path = self.cache.snapshot_file(&self.commit, file);
        if let Some(kept) = hub_cache::kept(&path, &blob)
            && is_whole(kept, &checksum, file, bar)?
        {
            return Ok(path);
        }
        for directory in [blob.parent(), path.parent()].into_iter().flatten() {
            fs::create_dir_all(directory).map_err(HubError::disk(directory))?;
        }
        let _lock = self.cache.lock(&checksum).await?;
        if !(blob.exists() && is_whole(&blob, &checksum, file, bar)?) {
            let part = blob.with_extension(PART_ENDING);
            bar.set_message(file.to_owned());
            retried(|| self.http.download(&url, &part, bar)).await?;
            if let Some(got) = check(&part, &checksum, file, bar)? {
                // What cannot be removed is found damaged again.
                drop(fs::remove_file(&part));
                return Err(HubError::Checksum {
                    file: file.to_owned(),
                    expected: checksum,
                    got,
                });
            }
            fs::rename(&part, &blob).map_err(HubError::disk(&blob))?;
        }
        hub_cache::link(&blob, &path)?;
        Ok(path)
    }

    /// Notes in the cache which commit the asked revision stands for, as the hub's other tools do.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn finish(&self) -> Result<(), HubError> {
        self.cache.write_ref(&self.commit)
    }
}

/// Whether a file of the cache is whole. One that is not is removed.
fn is_whole(path: &Path, checksum: &str, file: &str, bar: &ProgressBar) -> Result<bool, HubError> {
    if check(path, checksum, file, bar)?.is_none() {
        return Ok(true);
    }
    fs::remove_file(path).map_err(HubError::disk(path))?;
    bar.suspend(|| output::note(&format!("{file} was damaged in the cache and is replaced")));
    Ok(false)
}

/// The checksum of a file, if it is not the expected one. Weights of many gigabytes take a while, so a person sees it.
fn check(
    path: &Path,
    expected: &str,
    file: &str,
    bar: &ProgressBar,
) -> Result<Option<String>, HubError> {
    bar.set_message(format!("checking {file}"));
    other_checksum(path, expected, bar).map_err(HubError::disk(path))
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

#[cfg(test)]
mod tests {
    use super::*;

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
        for name in ["main", "v1.0", "refs/pr/3", "feature/x", "v1#2", "%2e%2e"] {
            assert!(is_revision(name), "{name}");
        }
        for name in [
            "", "/etc/x", "../x", "a/../b", "a//b", r"a\b", "C:x", "a\nb",
        ] {
            assert!(!is_revision(name), "{name:?}");
        }
    }
}
