//! Opening the port, and saying who has it already.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use listeners::{Listener, Protocol};
use tokio::net::{TcpListener, lookup_host};

/// Why the port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("port {port} is taken by {holder}. Stop it, or choose another port with --port")]
    Taken {
        /// The port.
        port: u16,
        /// Who it is, as far as the system says.
        holder: String,
    },
    /// The system does not give it.
    #[error("cannot listen on {host}:{port}: {source}. Choose another --host or --port")]
    Refused {
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// Listens on a port; 0 takes any that is free.
///
/// # Errors
/// [`BindError`].
pub async fn bind(host: &str, port: u16) -> Result<TcpListener, BindError> {
    let source = match TcpListener::bind((host, port)).await {
        Ok(listener) => return Ok(listener),
        Err(source) => source,
    };
    if source.kind() != io::ErrorKind::AddrInUse {
        return Err(BindError::Refused {
            host: host.to_owned(),
            port,
            source,
        });
    }
    let addresses: Vec<SocketAddr> = match lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => Vec::new(),
    };
    let listeners = listeners::get_all().unwrap_or_default();
    Err(BindError::Taken {
        port,
        holder: holder(&listeners, &addresses),
    })
}

/// The process that has one of the addresses. Those of other users cannot be seen.
fn holder(listeners: &HashSet<Listener>, addresses: &[SocketAddr]) -> String {
    let listeners = listeners.iter();
    let of_tcp = listeners.filter(|listener| listener.protocol == Protocol::TCP);
    let holders = of_tcp.filter(|listener| {
        let mut addresses = addresses.iter();
        addresses.any(|address| exclude_each_other(listener.socket, *address))
    });
    let processes = holders.map(|listener| &listener.process);
    match processes.min_by_key(|process| process.pid) {
        Some(process) => format!("{} (process {})", process.name, process.pid),
        None => "another process".to_owned(),
    }
}

/// Whether only one of two sockets can listen: their addresses are the same, or one is all of a machine's, of which
/// those of version 6 take in those of version 4.
fn exclude_each_other(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let takes_in =
        |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let is_shared = one_ip == other_ip || takes_in(one_ip, other_ip) || takes_in(other_ip, one_ip);
    one.port() == other.port() && is_shared
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use listeners::{Listener, Process, Protocol};

    use super::{bind, exclude_each_other, holder};

    /// What a process has open.
    fn open(pid: u32, protocol: Protocol, socket: &str) -> Listener {
        Listener {
            process: Process {
                pid,
                name: "other".to_owned(),
                path: String::new(),
            },
            socket: socket.parse().unwrap(),
            protocol,
        }
    }

    #[test]
    fn whoever_has_another_address_or_protocol_is_not_named() {
        let listeners = HashSet::from([
            open(1, Protocol::UDP, "127.0.0.1:80"),
            open(2, Protocol::TCP, "127.0.0.2:80"),
            open(3, Protocol::TCP, "127.0.0.1:81"),
            open(4, Protocol::TCP, "127.0.0.1:80"),
        ]);
        let named = |address: &str| holder(&listeners, &[address.parse().unwrap()]);
        assert_eq!(named("127.0.0.1:80"), "other (process 4)");
        assert_eq!(named("0.0.0.0:80"), "other (process 2)");
        assert_eq!(named("127.0.0.3:80"), "another process");
    }

    #[test]
    fn all_addresses_of_a_machine_take_in_each_of_them() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:81", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            for found in [
                exclude_each_other(one, other),
                exclude_each_other(other, one),
            ] {
                assert_eq!(found, expected, "{one} and {other}");
            }
        }
    }

    #[tokio::test]
    async fn whoever_holds_the_port_is_named() {
        let first = bind("127.0.0.1", 0).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let message = bind("127.0.0.1", port).await.unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        for part in [port.to_string().as_str(), process.as_str(), "--port"] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
        assert!(!message.contains('\n'), "{message}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        let message = bind("192.0.2.1", 0).await.unwrap_err().to_string();
        assert!(message.contains("192.0.2.1:0"), "{message}");
    }
}
