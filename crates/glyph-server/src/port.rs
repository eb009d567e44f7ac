//! Opening the port, and saying who has it already.

use std::io;

use tokio::net::TcpListener;

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
    TcpListener::bind((host, port))
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken {
                port,
                holder: holder(port),
            },
            _ => BindError::Refused {
                host: host.to_owned(),
                port,
                source,
            },
        })
}

/// The process that listens on a port. Those of other users cannot be seen.
fn holder(port: u16) -> String {
    let processes = listeners::get_processes_by_port(port).unwrap_or_default();
    match processes.iter().min_by_key(|process| process.pid) {
        Some(process) => format!("{} (process {})", process.name, process.pid),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::bind;

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
