//! Checks that a cloud's metadata service exists, before object_store asks it. object_store would try as long as it
//! tries a store. Where there is no such service, a request to its address gets neither an answer nor an error.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use reqwest::Url;

use super::error::CredentialsError;

/// Longest time until the first byte of an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A metadata service, and a question to it that reveals no secret.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// The name of the cloud, for messages.
    pub cloud: &'static str,
    /// The address, with or without a path.
    pub url: &'a str,
    /// Method and path.
    pub question: &'static str,
    /// One header, without its line end.
    pub header: &'static str,
}

/// Waits at most two seconds for any answer. A TCP connection alone proves nothing. In a container on EC2 the
/// connection succeeds, but the hop limit stops the answer (AWS: "Use IMDS", "Considerations", containers and the hop
/// limit). No proxy is used, because these addresses belong to the machine itself.
///
/// # Errors
/// When nobody answers.
pub fn expect_answer(service: Service<'_>) -> Result<(), CredentialsError> {
    let url = Url::parse(service.url).map_err(|_| CredentialsError::Address(shown(service.url)))?;
    let name = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let request = format!(
        "{} HTTP/1.1\r\nHost: {name}:{port}\r\n{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        service.question, service.header
    );
    // In a URL, an IPv6 address stands in brackets.
    let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    // Over TLS, only the connection is checked. The real client then asks.
    let request = (url.scheme() == "http").then_some(request);
    let (said, answer) = mpsc::channel();
    // The lookup of a name has no time-out, so it runs on a thread of its own, which ends by itself.
    let asking = thread::Builder::new().name("metadata".into()).spawn(move || {
        // The caller may have stopped waiting.
        let _ = said.send(ask(&host, port, request.as_deref()));
    });
    let answer = asking.and_then(|_| answer.recv_timeout(ANSWER_WITHIN).map_err(io::Error::other)?);
    answer.map_err(|error| {
        log::info!("no answer from {}: {error}", shown(service.url));
        CredentialsError::NoMetadata { cloud: service.cloud, address: shown(service.url) }
    })
}

/// Connects, and waits for the first byte of the answer to `request`, if there is one.
fn ask(host: &str, port: u16, request: Option<&str>) -> io::Result<()> {
    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(none)?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    let Some(request) = request else { return Ok(()) };
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(request.as_bytes())?;
    stream.read_exact(&mut [0])
}

/// Returns the URL without user and query.
fn shown(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    fn service(url: &str) -> Service<'_> {
        Service { cloud: "Test", url, question: "GET /", header: "Metadata: true" }
    }

    #[test]
    fn any_answer_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a/path", listener.local_addr().unwrap());
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        expect_answer(service(&url)).unwrap();
        let request = answering.join().unwrap();
        assert!(request.starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        assert!(request.contains("\r\nMetadata: true\r\n"), "{request}");
    }

    #[test]
    fn missing_and_silent_service_fail_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", listener.local_addr().unwrap());
        let begun = Instant::now();
        assert!(matches!(expect_answer(service(&silent)), Err(CredentialsError::NoMetadata { .. })));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        drop(listener);
        let begun = Instant::now();
        assert!(expect_answer(service(&silent)).is_err());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert!(matches!(expect_answer(service("no url")), Err(CredentialsError::Address(_))));
    }

    #[test]
    fn a_secret_in_an_address_is_not_shown() {
        assert_eq!(shown("http://user:word@host/path?key=secret"), "http://host/path");
    }
}
