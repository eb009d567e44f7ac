//! Fetching images by URL, from public addresses alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect;
use url::{Host, Url};

use crate::error::{ApiError, Code};
use crate::images::TYPES;

/// Largest image that is fetched.
const MOST_BYTES: usize = 32 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;

/// Fetches images.
pub struct RemoteImages {
    client: Result<reqwest::Client, String>,
}

impl RemoteImages {
    /// With the system's names, and no proxy: a proxy would resolve them itself.
    pub fn new() -> Self {
        let redirects = redirect::Policy::custom(|attempt| {
            if attempt.previous().len() > MOST_REDIRECTS {
                return attempt.error(Refused("it redirects too often"));
            }
            match check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(error) => attempt.error(error),
            }
        });
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(PublicNames))
            .redirect(redirects)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .no_proxy()
            .referer(false)
            .build();
        Self {
            client: client.map_err(|error| error.to_string()),
        }
    }

    /// The bytes of an image.
    ///
    /// # Errors
    /// [`Code::ImageFetchFailed`] with the reason.
    pub async fn fetch(&self, url: &Url, path: &str) -> Result<Vec<u8>, ApiError> {
        let failed = |reason: String| {
            let message =
                format!("{path} cannot be fetched: {reason}. Send the image as a data: URL");
            ApiError::of(Code::ImageFetchFailed, path, message)
        };
        let client = self
            .client
            .as_ref()
            .map_err(|error| ApiError::internal(error))?;
        check(url).map_err(|error| failed(error.to_string()))?;
        let response = client.get(url.clone()).send().await;
        let response = response.map_err(|error| failed(cause(&error)))?;
        if !response.status().is_success() {
            return Err(failed(format!("its server answers {}", response.status())));
        }
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !TYPES.contains(&essence.to_ascii_lowercase().as_str()) {
            let essence: String = essence.chars().take(40).collect();
            return Err(failed(format!(
                "its type is {essence:?}, not PNG, JPEG or WebP"
            )));
        }
        let mut bytes = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| failed(cause(&error)))?;
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(failed(format!(
                    "it is larger than {}",
                    bytesize::ByteSize(MOST_BYTES as u64)
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// The innermost reason, without the URL: that is the client's own.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() {
        return "it takes too long".to_owned();
    }
    innermost.to_string()
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

const NOT_PUBLIC: Refused = Refused("its address is not public");

/// Refuses what is not http(s), and addresses written as numbers that are not public. Names are checked where they
/// are resolved.
fn check(url: &Url) -> Result<(), Refused> {
    if !["http", "https"].contains(&url.scheme()) {
        return Err(Refused("it leads to another scheme than http(s)"));
    }
    let is_allowed = match url.host() {
        None => false,
        Some(Host::Domain(_)) => true,
        Some(Host::Ipv4(ip)) => is_public_v4(ip),
        Some(Host::Ipv6(ip)) => is_public_v6(ip),
    };
    if is_allowed { Ok(()) } else { Err(NOT_PUBLIC) }
}

/// Resolves names to their public addresses, so that what is checked is what is connected to.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> =
                found.filter(|address| is_public(address.ip())).collect();
            if addresses.is_empty() {
                return Err(NOT_PUBLIC.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Whether an address is anybody's in the Internet: none of the blocks that IANA keeps for special use.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = a == 0
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low),
        // Translated to version 4 on the way.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Only these are given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{check, is_public};

    #[test]
    fn addresses_of_machines_and_local_networks_are_refused() {
        for ip in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "93.184.216.34",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "2a00:1450::1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn numbers_in_a_url_are_checked_however_they_are_written() {
        for url in [
            "http://127.0.0.1/a.png",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:80/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest",
            "ftp://example.com/",
            "file:///etc/passwd",
        ] {
            assert!(check(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in ["https://example.com/a.png", "http://1.1.1.1/"] {
            assert!(check(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }
}
