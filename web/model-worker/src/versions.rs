//! What the headers of a response tell of a file.

use glyph_worker::{FetchError, fetch_fresh};
use web_sys::Response;

/// What tells one version of a file from another without reading it.
const VERSION_HEADERS: [&str; 3] = ["etag", "last-modified", "content-length"];

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

/// Whether it is a page for people.
pub fn is_web_page(response: &Response) -> bool {
    let kind = header(response, "content-type").unwrap_or_default();
    kind.trim_start()
        .to_ascii_lowercase()
        .starts_with("text/html")
}

/// Bytes of the file. Of a compressed body the header has another length.
pub fn length(response: &Response) -> Option<u64> {
    if is_encoded(response) {
        return None;
    }
    header(response, "content-length")?.parse().ok()
}

fn is_encoded(response: &Response) -> bool {
    header(response, "content-encoding").is_some()
}

/// Whether the host says that it has no such file.
pub fn is_gone(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Refused {
            status: 404 | 410,
            ..
        }
    )
}

/// Whether the host will not say whether it has such a file: hosts that keep the list of their files to
/// themselves answer like that for those that they do not have.
pub fn is_withheld(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Refused {
            status: 401 | 403,
            ..
        }
    )
}

/// Whether the host has another version of a file than the one that is kept. A host that cannot be
/// reached, and one that does not say, leave what is kept.
pub async fn is_outdated(url: &str, kept: &Response) -> bool {
    let now = match fetch_fresh(url, "HEAD").await {
        Ok(now) => now,
        // GET has more to say of a file that has gone.
        Err(error) => return is_gone(&error),
    };
    let has_lengths = !is_encoded(&now) && !is_encoded(kept);
    VERSION_HEADERS.iter().any(|&name| {
        // A compressed answer has another length, and its tag is a weak one.
        let version = |response| {
            let value = header(response, name)?;
            let is_told = name != "content-length" || has_lengths;
            is_told.then(|| value.trim_start_matches("W/").to_owned())
        };
        matches!((version(&now), version(kept)), (Some(now), Some(kept)) if now != kept)
    })
}
