//! Addresses as people enter them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An absolute http or https address without user, query and fragment: routes and names of files are
/// put behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    origin: String,
    host: String,
    path: String,
}

impl Address {
    /// Reads an address; `None` where it is none. One without a scheme is completed: `localhost:9999` is
    /// `http://localhost:9999`. Names with a dot are https, because a key may be sent to them.
    pub fn parse(entered: &str) -> Option<Self> {
        let entered = entered.trim();
        if entered.contains(is_odd) {
            return None;
        }
        let (scheme, rest) = match entered.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, entered),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority)?;
        let host = host_of(host)?;
        let scheme = scheme.unwrap_or_else(|| default_scheme(&host).to_owned());
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let port = port.filter(|port| *port != default_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(Self {
            origin: format!("{scheme}://{host}{port}"),
            host,
            path: path.to_owned(),
        })
    }

    /// Scheme, host and port: whom a browser takes for the same.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole address.
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// Whether browsers keep a page of https from asking it: plain http to another machine.
    pub fn is_mixed_content(&self) -> bool {
        self.origin.starts_with("http://") && !self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        let number = name.parse::<Ipv4Addr>();
        name == "localhost"
            || name.ends_with(".localhost")
            || name == "[::1]"
            || number.is_ok_and(|number| number.is_loopback())
    }
}

/// The address of a checkpoint for `loadModel`: absolute, or a path from where the page is; empty is the
/// built-in model. `None` where it is none of these.
pub fn checkpoint(entered: &str) -> Option<String> {
    let entered = entered.trim();
    let first = entered.split('/').next().unwrap_or_default();
    // `models/one/` is a path; what has a dot, a colon or this name first is a host.
    let is_host = first.contains(['.', ':']) && !matches!(first, "." | "..");
    if is_host || first == "localhost" {
        return Address::parse(entered).map(|address| address.url());
    }
    let is_path = !entered.contains(is_odd) && !entered.starts_with("//");
    is_path.then(|| entered.to_owned())
}

/// What stands in no address that files are put behind.
fn is_odd(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "?#\\".contains(c)
}

/// Host and port; `None` where the port is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // Colons stand inside the brackets of an IPv6 address too.
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_host..].find(':') else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at(after_host + colon);
    let port = &port[1..];
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_number.then(|| port.parse().ok()).flatten()?;
    Some((host, Some(port)))
}

/// A host as browsers write it; `None` where it is none.
fn host_of(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let host = host.to_ascii_lowercase();
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(&host).split('.').collect();
    let is_label = |label: &&str| {
        let is_letter = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(is_letter)
    };
    if !labels.iter().all(is_label) {
        return None;
    }
    // What ends in a number is an IPv4 address or nothing.
    let last = labels.last().copied().unwrap_or_default();
    let is_numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_numeric && host.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    Some(host)
}

/// Of a host that was entered without a scheme: machines at hand seldom have a certificate.
fn default_scheme(host: &str) -> &'static str {
    let is_number = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    if is_number || !host.contains('.') {
        "http"
    } else {
        "https"
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, checkpoint};

    fn url(entered: &str) -> Option<String> {
        Address::parse(entered).map(|address| address.url())
    }

    #[test]
    fn addresses_are_completed() {
        for (entered, whole) in [
            ("localhost:9999", "http://localhost:9999"),
            (" LocalHost:9999/v1 ", "http://localhost:9999/v1"),
            ("gpu-box", "http://gpu-box"),
            ("192.168.1.5:8080", "http://192.168.1.5:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("api.example.org/v1", "https://api.example.org/v1"),
            ("api.example.org:8443", "https://api.example.org:8443"),
            ("http://api.example.org", "http://api.example.org"),
            ("HTTPS://h/Path/", "https://h/Path/"),
            ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
            ("http://bücher.example", "http://bücher.example"),
        ] {
            assert_eq!(url(entered).as_deref(), Some(whole), "{entered}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for entered in [
            "",
            "nonsense here",
            "http://",
            "http://[",
            "http://[::1",
            "http://:80",
            "http://h:port",
            "http://h:99999",
            "http://h:",
            "ftp://h",
            "file:///etc/hosts",
            "javascript:alert(1)",
            "mailto:a@example.org",
            "http:localhost",
            "//h",
            "http://user:secret@h",
            "http://a..b",
            "http://256.1.1.1",
            "http://1.2.3",
            "http://h%20",
            "http://h?model=x",
            "http://h/#top",
            "http：//localhost",
            "localhost：9999",
        ] {
            assert_eq!(url(entered), None, "{entered}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |entered| Address::parse(entered).map(|address| address.origin().to_owned());
        assert_eq!(origin("http://H:80/v1"), origin("http://h/other"));
        assert_eq!(origin("https://h:443"), origin("https://h"));
        assert_ne!(origin("http://h"), origin("https://h"));
        assert_ne!(origin("http://h:1"), origin("http://h:2"));
        assert_ne!(origin("http://h"), origin("http://h.example"));
    }

    #[test]
    fn plain_http_to_another_machine_is_mixed_content() {
        for (entered, is_mixed) in [
            ("http://gpu-box:8080/v1", true),
            ("http://192.168.1.5", true),
            ("http://localhost.example", true),
            ("http://localhost:8080", false),
            ("http://page.localhost", false),
            ("http://127.0.0.2:8080", false),
            ("http://[::1]:8080", false),
            ("https://gpu-box", false),
        ] {
            let address = Address::parse(entered);
            let found = address.map(|address| address.is_mixed_content());
            assert_eq!(found, Some(is_mixed), "{entered}");
        }
    }

    #[test]
    fn a_checkpoint_is_an_address_or_a_path_from_the_page() {
        for (entered, whole) in [
            ("", ""),
            ("models/glyph-mini/", "models/glyph-mini/"),
            ("/models/one", "/models/one"),
            ("./v1.5/", "./v1.5/"),
            ("../one", "../one"),
            ("localhost:9999/one", "http://localhost:9999/one"),
            ("localhost/one", "http://localhost/one"),
            ("example.org/one/", "https://example.org/one/"),
            ("https://example.org/one", "https://example.org/one"),
        ] {
            assert_eq!(checkpoint(entered).as_deref(), Some(whole), "{entered}");
        }
        for entered in [
            "nonsense here",
            "http://[",
            "ftp://h/one",
            "//h/one",
            "one?x",
            "C:\\one",
        ] {
            assert_eq!(checkpoint(entered), None, "{entered}");
        }
    }
}
