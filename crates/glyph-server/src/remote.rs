//! Fetching images by URL, from public addresses alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect;
use tokio::time::Instant;
use url::{Host, Url};

use crate::byte_pool::ByteHold;
use crate::error::{ApiError, Code};
use crate::images::TYPES;

/// What fetching the images of a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteImageLimits {
    /// Bytes of one image.
    pub image_bytes: usize,
    /// Bytes of all images of a request together.
    pub request_bytes: usize,
    /// Time for all images of a request together.
    pub request_timeout: Duration,
    /// Fetches from addresses that are not public too. Whoever may ask the server can then have it ask every machine that
    /// it reaches: only for networks of which that may be said.
    pub private_addresses: bool,
}

impl Default for RemoteImageLimits {
    fn default() -> Self {
        Self {
            image_bytes: 32 << 20,
            request_bytes: 64 << 20,
            request_timeout: Duration::from_secs(60),
            private_addresses: false,
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_REDIRECTS: usize = 5;

/// Fetches images.
pub struct RemoteImages {
    client: Result<reqwest::Client, String>,
    limits: RemoteImageLimits,
}

/// What is left to the images of one request.
#[derive(Debug)]
pub struct FetchBudget {
    bytes: usize,
    deadline: Instant,
}

impl RemoteImages {
    /// With the system's names, and no proxy: a proxy would resolve them itself.
    pub fn new(limits: RemoteImageLimits) -> Self {
        let reach = Reach {
            private_addresses: limits.private_addresses,
        };
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MOST_REDIRECTS {
                return attempt.error(Refused("it redirects too often"));
            }
            match reach.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(error) => attempt.error(error),
            }
        });
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(reach))
            .redirect(redirects)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .referer(false)
            .build();
        Self {
            client: client.map_err(|error| error.to_string()),
            limits,
        }
    }

    /// What the images of a request may take, from now on.
    pub fn budget(&self) -> FetchBudget {
        FetchBudget {
            bytes: self.limits.request_bytes,
            deadline: Instant::now() + self.limits.request_timeout,
        }
    }

    /// The bytes of an image, which are counted in `budget` and in `hold`.
    ///
    /// # Errors
    /// [`Code::ImageFetchFailed`] with the reason; [`Code::QueueFull`] when other requests hold too much.
    pub async fn fetch(
        &self,
        url: &Url,
        path: &str,
        budget: &mut FetchBudget,
        hold: &mut ByteHold,
    ) -> Result<Vec<u8>, ApiError> {
        let deadline = budget.deadline;
        let fetching = self.fetch_in_time(url, path, budget, hold);
        match tokio::time::timeout_at(deadline, fetching).await {
            Ok(fetched) => fetched,
            Err(_) => {
                let seconds = self.limits.request_timeout.as_secs_f64();
                let reason =
                    format!("the images of a request may take {seconds} s, and it takes longer");
                Err(failed(path, &reason))
            }
        }
    }

    async fn fetch_in_time(
        &self,
        url: &Url,
        path: &str,
        budget: &mut FetchBudget,
        hold: &mut ByteHold,
    ) -> Result<Vec<u8>, ApiError> {
        let client = self
            .client
            .as_ref()
            .map_err(|error| ApiError::internal(error))?;
        let reach = Reach {
            private_addresses: self.limits.private_addresses,
        };
        reach
            .check(url)
            .map_err(|error| failed(path, &error.to_string()))?;
        let response = client.get(url.clone()).send().await;
        let response = response.map_err(|error| failed(path, &cause(&error)))?;
        if !response.status().is_success() {
            let reason = format!("its server answers {}", response.status());
            return Err(failed(path, &reason));
        }
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !TYPES.contains(&essence.to_ascii_lowercase().as_str()) {
            let essence: String = essence.chars().take(40).collect();
            let reason = format!("its type is {essence:?}, not PNG, JPEG or WebP");
            return Err(failed(path, &reason));
        }
        let mut bytes = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| failed(path, &cause(&error)))?;
            for (most_bytes, has, what) in [
                (self.limits.image_bytes, bytes.len(), "it is larger than"),
                (
                    self.limits.request_bytes,
                    self.limits.request_bytes - budget.bytes,
                    "the images of the request are together larger than",
                ),
            ] {
                if has + chunk.len() > most_bytes {
                    let most = bytesize::ByteSize(most_bytes as u64);
                    return Err(failed(path, &format!("{what} {most}")));
                }
            }
            budget.bytes -= chunk.len();
            hold.grow(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn failed(path: &str, reason: &str) -> ApiError {
    let message = format!("{path} cannot be fetched: {reason}. Send the image as a data: URL");
    ApiError::of(Code::ImageFetchFailed, path, message)
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

/// Which addresses are fetched from.
#[derive(Debug, Clone, Copy)]
struct Reach {
    private_addresses: bool,
}

impl Reach {
    /// Refuses what is not http(s), and addresses written as numbers that are not public. Names are checked where they
    /// are resolved.
    fn check(self, url: &Url) -> Result<(), Refused> {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(Refused("it leads to another scheme than http(s)"));
        }
        let is_allowed = match url.host() {
            None => false,
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(ip)) => self.covers(ip.into()),
            Some(Host::Ipv6(ip)) => self.covers(ip.into()),
        };
        if is_allowed { Ok(()) } else { Err(NOT_PUBLIC) }
    }

    fn covers(self, ip: IpAddr) -> bool {
        self.private_addresses || is_public(ip)
    }
}

/// Resolves names to the addresses that may be fetched from, so that what is checked is what is connected to.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> =
                found.filter(|address| reach.covers(address.ip())).collect();
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

    use super::{Reach, is_public};

    fn check(url: &str) -> bool {
        let reach = Reach {
            private_addresses: false,
        };
        reach.check(&Url::parse(url).unwrap()).is_ok()
    }

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
            assert!(!check(url), "{url}");
        }
        for url in ["https://example.com/a.png", "http://1.1.1.1/"] {
            assert!(check(url), "{url}");
        }
    }
}
