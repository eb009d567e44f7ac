//! What is asked of a hub over HTTP: the description of a repository, the checksum of a file, the bytes of a file.

use std::error::Error;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use hf_hub::api::RepoInfo;
use indicatif::ProgressBar;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, RANGE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use crate::hub_checksum::is_checksum;
use crate::hub_error::HubError;

const HUGGING_FACE: &str = "https://huggingface.co";

/// How often something is asked for again when the connection breaks. What has arrived is kept.
const MAX_RETRIES: usize = 5;

const MAX_REDIRECTS: usize = 10;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// No description of a repository is longer.
const MAX_INFO_BYTES: usize = 64 << 20;

/// No file of a checkpoint is longer.
const MAX_FILE_BYTES: u64 = 1 << 40;

/// Names the commit of a file.
const X_REPO_COMMIT: &str = "x-repo-commit";

/// Names the checksum of a file that lies elsewhere, which has a tag of its own there.
const X_LINKED_ETAG: &str = "x-linked-etag";

/// A hub.
pub struct HubHttp {
    endpoint: Url,
    /// Goes to where the bytes are. The token is not sent on to other hosts.
    client: Client,
    /// Stays with the hub, whose own answer names the commit and the checksum of a file.
    hub_client: Client,
}

impl HubHttp {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the endpoint is no address, or the token cannot be sent.
    pub fn new(endpoint: Option<&str>, token: Option<&str>) -> Result<Self, HubError> {
        let endpoint = address(endpoint)?;
        let mut headers = HeaderMap::new();
        // A checksum is that of the bytes as they are.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(token) = token {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| HubError::Token)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let builder = || {
            Client::builder()
                .user_agent(concat!("glyph/", env!("CARGO_PKG_VERSION")))
                .default_headers(headers.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
        };
        let stays = Policy::custom(|attempt| {
            let next = attempt.url().origin();
            let is_at_hub = attempt
                .previous()
                .last()
                .is_some_and(|last| last.origin() == next);
            if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("too many redirects")
            } else if is_at_hub {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let cannot = |error| failed(error, endpoint.as_str());
        Ok(Self {
            client: builder().build().map_err(cannot)?,
            hub_client: builder().redirect(stays).build().map_err(cannot)?,
            endpoint,
        })
    }

    /// The URL of a path of the hub. Each segment may hold any character.
    pub fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> String {
        let mut url = self.endpoint.clone();
        // Every URL of http has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url.into()
    }

    /// The description of a repository.
    ///
    /// # Errors
    /// When it cannot be had, or is none.
    pub async fn info(&self, url: &str) -> Result<RepoInfo, HubError> {
        let cannot = |error| failed(error, url);
        let request = self.client.get(url);
        let answer = request.send().await.map_err(cannot)?;
        let mut answer = answer.error_for_status().map_err(cannot)?;
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(cannot)? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_INFO_BYTES {
                let what = format!("it sends more than {MAX_INFO_BYTES} bytes");
                return Err(not_a_hub(url, what));
            }
        }
        serde_json::from_slice(&body).map_err(|error| {
            not_a_hub(
                url,
                format!("it sends no description of a repository ({error})"),
            )
        })
    }

    /// The checksum of a file, which is its name in the cache.
    ///
    /// # Errors
    /// When it cannot be had, is none, or belongs to another commit.
    pub async fn checksum(&self, url: &str, commit: &str) -> Result<String, HubError> {
        let cannot = |error| failed(error, url);
        let request = self.hub_client.head(url);
        let answer = request.send().await.map_err(cannot)?;
        let answer = answer.error_for_status().map_err(cannot)?;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        let got =
            header(X_REPO_COMMIT).ok_or_else(|| not_a_hub(url, "it names no commit".to_owned()))?;
        if got != commit {
            return Err(HubError::OtherCommit {
                url: url.to_owned(),
                got: got.to_owned(),
            });
        }
        let tag = header(X_LINKED_ETAG)
            .or_else(|| header(ETAG.as_str()))
            .ok_or_else(|| not_a_hub(url, "it names no checksum".to_owned()))?;
        // Proxies mark a tag as weak; the checksum tells whether they changed the bytes.
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        if !is_checksum(tag) {
            return Err(HubError::NoChecksum {
                url: url.to_owned(),
                tag: tag.to_owned(),
            });
        }
        Ok(tag.to_owned())
    }

    /// Appends to a file what it does not yet have. Whether the bytes are the right ones, the checksum tells.
    ///
    /// # Errors
    /// When the connection breaks, which leaves what has arrived, or the file cannot be written.
    pub async fn download(
        &self,
        url: &str,
        part: &Path,
        bar: &ProgressBar,
    ) -> Result<(), HubError> {
        let cannot = |error| failed(error, url);
        let disk = |source| HubError::Disk {
            path: part.to_owned(),
            source,
        };
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let mut file = options.open(part).map_err(disk)?;
        loop {
            let n_had = file.seek(SeekFrom::End(0)).map_err(disk)?;
            let request = self
                .client
                .get(url)
                .header(RANGE, format!("bytes={n_had}-"));
            let answer = request.send().await.map_err(cannot)?;
            if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                // Nothing is left to send.
                return Ok(());
            }
            let mut answer = answer.error_for_status().map_err(cannot)?;
            let (n_before, n_total) = extent(&answer)
                .filter(|&(n_before, n_total)| {
                    (n_before == n_had || n_before == 0)
                        && n_total.is_none_or(|n_total| n_before <= n_total)
                })
                .ok_or_else(|| {
                    not_a_hub(
                        url,
                        "it does not say that it sends the bytes that were asked for".to_owned(),
                    )
                })?;
            if let Some(n_total) = n_total.filter(|&n_total| n_total > MAX_FILE_BYTES) {
                let what = format!("it says that the file has {n_total} bytes");
                return Err(not_a_hub(url, what));
            }
            if n_before < n_had {
                file.set_len(0).map_err(disk)?;
                file.rewind().map_err(disk)?;
            }
            match n_total {
                Some(n_total) => bar.set_length(n_total),
                None => bar.unset_length(),
            }
            bar.set_position(n_before);
            let mut n_here = n_before;
            while n_total.is_none_or(|n_total| n_here < n_total) {
                let Some(bytes) = answer.chunk().await.map_err(cannot)? else {
                    break;
                };
                file.write_all(&bytes).map_err(disk)?;
                n_here += bytes.len() as u64;
                if n_here > MAX_FILE_BYTES {
                    let what = format!("it sends more than {MAX_FILE_BYTES} bytes");
                    return Err(not_a_hub(url, what));
                }
                bar.set_position(n_here);
            }
            let Some(n_total) = n_total.filter(|&n_total| n_here < n_total) else {
                return Ok(());
            };
            // An answer may be shorter than what was asked for, but then it must get on.
            if n_here <= n_had {
                return Err(HubError::Connection {
                    url: url.to_owned(),
                    cause: format!("it ends after {n_here} of {n_total} bytes"),
                    may_pass: true,
                });
            }
        }
    }
}

/// Where the bytes of an answer begin in the file, and how long the file is, where that is said.
fn extent(answer: &Response) -> Option<(u64, Option<u64>)> {
    if answer.status() == StatusCode::OK {
        // The range was ignored. An answer in chunks does not say its length.
        return Some((0, answer.content_length()));
    }
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, n_total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (n_before, _) = range.split_once('-')?;
    Some((n_before.parse().ok()?, Some(n_total.parse().ok()?)))
}

/// The hub's address without slashes at its end; an empty one is none.
fn address(endpoint: Option<&str>) -> Result<Url, HubError> {
    let given = endpoint.map(str::trim).filter(|given| !given.is_empty());
    let given = given.unwrap_or(HUGGING_FACE);
    Url::parse(given.trim_end_matches('/'))
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()))
        .ok_or_else(|| HubError::Endpoint(given.to_owned()))
}

/// Asks again when the connection breaks, after ever longer pauses.
pub async fn retried<T, F, A>(ask: F) -> Result<T, HubError>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, HubError>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_times(MAX_RETRIES)
        .with_jitter();
    ask.retry(pauses)
        .when(|error| matches!(error, HubError::Connection { may_pass: true, .. }))
        .await
}

/// A broken connection may mend, an answer of the hub stands; but it may be too busy.
fn failed(error: reqwest::Error, url: &str) -> HubError {
    let url = url.to_owned();
    let status = error.status();
    match status.map(|status| status.as_u16()) {
        Some(404) => HubError::NotFound { url },
        Some(status @ (401 | 403)) => HubError::Refused { url, status },
        _ => HubError::Connection {
            url,
            may_pass: !error.is_builder()
                && !error.is_redirect()
                && status.is_none_or(|status| {
                    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
                }),
            cause: cause(&error.without_url()),
        },
    }
}

/// The innermost reason.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it takes too long".to_owned();
    }
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn not_a_hub(url: &str, what: String) -> HubError {
    HubError::NotAHub {
        url: url.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_its_scheme_and_an_empty_one_is_none() {
        for none in [None, Some(""), Some(" ")] {
            assert_eq!(address(none).unwrap().as_str(), "https://huggingface.co/");
        }
        assert_eq!(
            address(Some("http://127.0.0.1:8080/hub/"))
                .unwrap()
                .as_str(),
            "http://127.0.0.1:8080/hub"
        );
        for wrong in ["mirror.example", "localhost:8080", "file:///x", "https://"] {
            assert!(
                matches!(address(Some(wrong)), Err(HubError::Endpoint(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_segment_of_a_url_may_hold_any_character() {
        for endpoint in ["http://127.0.0.1/hub", "http://127.0.0.1/hub//"] {
            let hub = HubHttp::new(Some(endpoint), None).unwrap();
            for (revision, encoded) in [
                ("main", "main"),
                ("feature/x", "feature%2Fx"),
                ("v1#2", "v1%232"),
                ("%2e%2e", "%252e%252e"),
                ("50%", "50%25"),
                ("\u{e9}", "%C3%A9"),
            ] {
                assert_eq!(
                    hub.url(["revision", revision]),
                    format!("http://127.0.0.1/hub/revision/{encoded}")
                );
            }
        }
        let hub = HubHttp::new(None, None).unwrap();
        assert_eq!(hub.url(["api", "x"]), "https://huggingface.co/api/x");
    }
}
