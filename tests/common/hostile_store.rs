//! A server that stands where a store should: what it answers is the test's own, an answer without an end included.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::tool::{Ended, Tool};

/// One request, without its body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub head: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status line's status, further header lines with their line ends, body.
    Whole(u16, String, Vec<u8>),
    /// This start, then the filling again and again, until the client goes away.
    Endless(String, Vec<u8>),
    /// Header lines and no body, as to HEAD.
    Head(String),
    Close,
}

impl Reply {
    pub fn body(status: u16, body: &str) -> Self {
        Self::Whole(status, String::new(), body.as_bytes().to_vec())
    }

    /// A body in chunks without an end, after `status`.
    pub fn endless(status: u16, filling: u8) -> Self {
        let chunk = [b"10000\r\n".to_vec(), vec![filling; 0x10000], b"\r\n".to_vec()].concat();
        Self::Endless(format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n"), chunk)
    }
}

/// It lives as long as the test program; its port is its own.
pub struct HostileStore {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HostileStore {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the server's address");
        let (answer, asked) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                // A client that goes away is part of the tests.
                thread::spawn(move || serve(stream, &*answer, &noted));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Asked) -> Reply, noted: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let asked = Asked { method, target, head };
    noted.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let reply = answer(&asked);
    if !matches!(reply, Reply::Close) {
        std::io::copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink())?;
    }
    match reply {
        Reply::Whole(status, headers, body) => {
            let head =
                format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            writer.write_all(head.as_bytes())?;
            writer.write_all(&body)
        }
        Reply::Endless(start, filling) => {
            writer.write_all(start.as_bytes())?;
            loop {
                writer.write_all(&filling)?;
            }
        }
        Reply::Head(lines) => {
            writer.write_all(format!("HTTP/1.1 200 OK\r\n{lines}Connection: close\r\n\r\n").as_bytes())
        }
        Reply::Close => Ok(()),
    }
}

/// How a run ended, and its largest memory in MiB (proc_pid_status(5), VmHWM).
#[track_caller]
pub fn run_measured(tool: Tool) -> (Ended, u64) {
    let run = tool.spawn().hear();
    let pid = run.child.id();
    let measuring = thread::spawn(move || {
        let mut most = 0;
        while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
            let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { break };
            most = most.max(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0));
            thread::sleep(Duration::from_millis(2));
        }
        most >> 10
    });
    let ended = run.wait();
    (ended, measuring.join().expect("the memory is measured"))
}
