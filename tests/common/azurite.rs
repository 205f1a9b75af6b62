//! A real Azure Blob server, Microsoft's Azurite, as a child process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::bed::{bed, cannot_run};

/// The account and the key that every Azurite has.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
pub const CONTAINER: &str = "dumps";

/// An account SAS for everything until 2100, signed with [`KEY`]: the tests look at blobs without the tool's client.
const SAS: &str = "sv=2019-12-12&ss=b&srt=sco&sp=rwdlac&se=2100-01-01T00%3A00%3A00Z\
                   &sig=6Px4DBl9EbhM9UYKYthc2apX3i0oLhrUr2ObbvoSsGs%3D";

/// How long a server may take to listen: npm's and Python's need seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Below those that the kernel gives to whoever binds to port 0 (ip(7), ip_local_port_range): no other test gets one of
/// these before the server does.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// A server that another project has written, killed when it is dropped.
pub struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts what `command` makes for a free port, and waits until it listens there.
    #[track_caller]
    pub fn start(name: &str, command: impl Fn(u16) -> Command) -> Self {
        // Another program may take a free port before the server does.
        for _ in 0..3 {
            let port = free_port();
            let mut command = command(port);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
            let mut process = Self { child, port };
            if process.listens() {
                return process;
            }
        }
        panic!("{name} does not listen within {PATIENCE:?}")
    }

    /// False when it has ended, or does not answer in time.
    fn listens(&mut self) -> bool {
        let begun = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        while begun.elapsed() < PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return false;
            }
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A test program that runs beside this one begins at another port.
fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    let first = std::process::id() % count * 101;
    let next = || PORTS.start + (first + COUNT.fetch_add(1, Ordering::Relaxed)) % count;
    let ports = (0..count).filter_map(|_| u16::try_from(next()).ok());
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.into_iter().find(is_free).expect("a free port")
}

/// With one container, [`CONTAINER`].
pub struct Azurite {
    process: Process,
    _dir: tempfile::TempDir,
}

impl Azurite {
    pub fn start() -> Option<Self> {
        let program = bed().join("azurite/node_modules/azurite/dist/src/blob/main.js");
        if !program.exists() {
            cannot_run("Azurite is not there; run tests/bed/stores.sh");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory for Azurite");
        let process = Process::start("Azurite", |port| azurite(&program, port, dir.path()));
        let server = Self { process, _dir: dir };
        server.curl(&["-X", "PUT", "-H", "Content-Length: 0"], &format!("{CONTAINER}?restype=container"));
        Some(server)
    }

    /// What `--endpoint` takes: the account is in the path.
    pub fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.process.endpoint())
    }

    /// All blobs of the container.
    pub fn objects(&self) -> Vec<String> {
        let listing = self.curl(&[], &format!("{CONTAINER}?restype=container&comp=list"));
        let listing = String::from_utf8(listing).expect("a listing in UTF-8");
        let names = listing.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
        names.map(str::to_owned).collect()
    }

    pub fn read(&self, key: &str) -> Vec<u8> {
        self.curl(&[], &format!("{CONTAINER}/{key}"))
    }

    /// Puts other bytes in the place of a blob.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        let file = tempfile::NamedTempFile::new().expect("a file for curl");
        std::fs::write(file.path(), bytes).expect("the file for curl can be written");
        let body = format!("@{}", file.path().display());
        let flags = ["-X", "PUT", "-H", "x-ms-blob-type: BlockBlob", "--data-binary", &body];
        self.curl(&flags, &format!("{CONTAINER}/{key}"));
    }

    #[track_caller]
    fn curl(&self, flags: &[&str], target: &str) -> Vec<u8> {
        let separator = if target.contains('?') { '&' } else { '?' };
        let url = format!("{}/{target}{separator}{SAS}", self.endpoint());
        let ended = Command::new("curl").args(["-sS", "--fail-with-body"]).args(flags).arg(url).output();
        let ended = ended.expect("curl can be started");
        assert!(ended.status.success(), "{target}: {}", String::from_utf8_lossy(&ended.stdout));
        ended.stdout
    }
}

fn azurite(program: &Path, port: u16, dir: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg(program).args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    // The tool's API version may be newer than this Azurite; telemetry wants a network.
    command.args(["--skipApiVersionCheck", "--disableTelemetry", "--silent", "--location"]).arg(dir);
    command
}
