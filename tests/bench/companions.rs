//! What runs beside the measured runs: this program again, in processes of their own. A companion ends when its standard
//! input does, so none outlives the benchmark.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;

use crate::common::s3::S3Server;
use crate::cpu_time;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Companion {
    /// An S3 server
    S3,
    /// A neighbour that wants a processor for itself
    Burn,
}

/// What this process does instead of measuring.
pub fn be(companion: Companion) {
    let input = || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
    };
    match companion {
        Companion::S3 => {
            let server = S3Server::start();
            println!("{} {}", server.endpoint(), server.object("").display());
            input();
        }
        Companion::Burn => {
            let waiting = thread::spawn(input);
            while !waiting.is_finished() {
                std::hint::spin_loop();
            }
        }
    }
}

fn start(companion: Companion, dir: &Path) -> Child {
    let name = companion.to_possible_value().expect("each has a name");
    let program = env::current_exe().expect("/proc is mounted");
    let mut command = Command::new(program);
    command.args(["--companion", name.get_name()]).env("TMPDIR", dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("this program can be started again")
}

/// Until it is dropped.
pub struct Neighbours(Vec<Child>);

impl Neighbours {
    pub fn start(count: usize) -> Neighbours {
        Neighbours((0..count).map(|_| start(Companion::Burn, Path::new("/tmp"))).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(end);
    }
}

/// The S3 server's files lie below a directory of its own in `dir`.
pub struct StoreServer {
    child: Child,
    endpoint: String,
    bucket: PathBuf,
}

impl StoreServer {
    pub fn start(dir: &Path) -> StoreServer {
        let mut child = start(Companion::S3, dir);
        let mut line = String::new();
        let out = child.stdout.take().expect("its standard output is a pipe");
        BufReader::new(out).read_line(&mut line).expect("the server says where it is");
        let (endpoint, bucket) = line.trim_end().split_once(' ').expect("the server says where it is");
        StoreServer { endpoint: endpoint.to_owned(), bucket: bucket.into(), child }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where an object of the bucket lies.
    pub fn object(&self, key: &str) -> PathBuf {
        self.bucket.join(key)
    }

    /// Since its start.
    pub fn cpu(&self) -> Duration {
        cpu_time::of_process(self.child.id())
    }
}

impl Drop for StoreServer {
    /// Ended by its input and not killed: it removes its directory.
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    drop(child.stdin.take());
    let _ = child.wait();
}
