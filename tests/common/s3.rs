//! A real S3 server in process, which checks signatures; it can fail on demand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::host::MultiDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub const BUCKET: &str = "dumps";

#[derive(Debug, Default)]
struct Faults {
    /// Parts that are still accepted; after them the server is dead.
    parts_left: AtomicUsize,
    limited: AtomicBool,
    dead: AtomicBool,
    parts: AtomicUsize,
    requests: AtomicUsize,
    /// Nobody may look at an object.
    blind: AtomicBool,
    /// So many answers to whole objects are still lost on their way.
    answers_to_lose: AtomicUsize,
    /// Milliseconds that each further part waits for.
    stall: AtomicUsize,
    /// Parts that wait go on.
    released: tokio::sync::Notify,
    /// Bytes of parts that are taken in a second, by all connections together; 0 for all that come.
    bytes_per_second: AtomicUsize,
    line: tokio::sync::Mutex<()>,
    /// Conditions of a request are answered by 501.
    knows_no_conditions: AtomicBool,
}

/// Stops when it is dropped.
pub struct S3Server {
    address: SocketAddr,
    root: tempfile::TempDir,
    faults: Arc<Faults>,
    _runtime: Runtime,
}

impl S3Server {
    /// Path style only.
    pub fn start() -> Self {
        Self::with_domain(None)
    }

    /// Also answers to `BUCKET.domain:port`.
    pub fn with_domain(domain: Option<&str>) -> Self {
        let root = tempfile::tempdir().expect("a directory for the server");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let runtime = Runtime::new().expect("a runtime for the server");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("the server's address");
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a directory as store"));
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        if let Some(domain) = domain {
            let domain = format!("{domain}:{}", address.port());
            service.set_host(MultiDomain::new(&[domain]).expect("a domain"));
        }
        let faults = Arc::new(Faults::default());
        runtime.spawn(accept(listener, service.build(), Arc::clone(&faults)));
        Self { address, root, faults, _runtime: runtime }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The server dies after so many more parts.
    pub fn die_after_parts(&self, parts: usize) {
        self.faults.parts_left.store(parts, Ordering::SeqCst);
        self.faults.limited.store(true, Ordering::SeqCst);
    }

    /// It is there again, and stays.
    pub fn revive(&self) {
        self.faults.limited.store(false, Ordering::SeqCst);
        self.faults.dead.store(false, Ordering::SeqCst);
    }

    /// Objects may be put, and not looked at.
    pub fn forbid_looking(&self) {
        self.faults.blind.store(true, Ordering::SeqCst);
    }

    /// Parts wait so long from now on, before they are looked at.
    pub fn stall(&self, time: std::time::Duration) {
        self.faults.stall.store(time.as_millis() as usize, Ordering::SeqCst);
    }

    /// The way to the server is so slow from now on.
    pub fn throttle(&self, bytes_per_second: usize) {
        self.faults.bytes_per_second.store(bytes_per_second, Ordering::SeqCst);
    }

    /// No `If-Match` and no `If-None-Match` from now on, as with stores that do not know them.
    pub fn refuse_conditions(&self) {
        self.faults.knows_no_conditions.store(true, Ordering::SeqCst);
    }

    /// Parts that wait already go on at once.
    pub fn release(&self) {
        self.faults.released.notify_waiters();
    }

    /// What is put next is stored, and its client is told nothing.
    pub fn lose_next_answer(&self) {
        self.faults.answers_to_lose.store(1, Ordering::SeqCst);
    }

    pub fn requests(&self) -> usize {
        self.faults.requests.load(Ordering::SeqCst)
    }

    pub fn parts(&self) -> usize {
        self.faults.parts.load(Ordering::SeqCst)
    }

    /// Where an object of the bucket lies.
    pub fn object(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// All files of the bucket, without the server's own notes.
    pub fn objects(&self) -> Vec<String> {
        let bucket = self.root.path().join(BUCKET);
        let mut found = Vec::new();
        let mut dirs = vec![bucket.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).expect("the bucket can be listed").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                } else if let Ok(key) = path.strip_prefix(&bucket) {
                    found.push(key.display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// What the server keeps of uploads that are neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path()).expect("the store can be listed").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("upload")).collect()
    }

    /// A rule of the bucket has removed them.
    pub fn forget_uploads(&self) {
        self.forget("upload");
    }

    /// A run that is killed before it has the server's answer leaves an upload that nobody knows: a rule of the bucket
    /// removes it. `told` is what runs have said with -vv; of an upload that one of them knew it says the id.
    pub fn forget_untold_uploads(&self, told: &str) {
        let is_untold = |id: &String| !told.contains(&format!("multipart upload {id} is open"));
        self.listed_uploads().into_iter().filter(is_untold).for_each(|id| self.forget(&id));
    }

    /// The server may be at it, too: what has gone is gone.
    fn forget(&self, part_of_name: &str) {
        for name in self.unfinished_uploads().into_iter().filter(|name| name.contains(part_of_name)) {
            if let Err(error) = std::fs::remove_file(self.root.path().join(name)) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "the server's note can be removed");
            }
        }
    }

    /// The ids of those that the server would list: its record of one is `.upload-ID.json` (s3s-fs: `fs.rs`,
    /// `get_upload_info_path`). It stops in the middle of a request whose client goes away, and then keeps parts and
    /// attributes of uploads that it has no record of any more.
    pub fn listed_uploads(&self) -> Vec<String> {
        let id = |name: &String| Some(name.strip_prefix(".upload-")?.strip_suffix(".json")?.to_owned());
        self.unfinished_uploads().iter().filter_map(id).collect()
    }

    /// Arguments that reach this server.
    pub fn flags(&self) -> Vec<String> {
        ["--endpoint", &self.endpoint(), "--region", "us-east-1"].map(str::to_owned).to_vec()
    }
}

async fn accept(listener: TcpListener, service: S3Service, faults: Arc<Faults>) {
    let server = Arc::new(Builder::new(TokioExecutor::new()));
    while let Ok((stream, _)) = listener.accept().await {
        if faults.dead.load(Ordering::SeqCst) {
            continue;
        }
        let (server, service, faults) = (Arc::clone(&server), service.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let answer =
                hyper::service::service_fn(move |request| respond(service.clone(), Arc::clone(&faults), request));
            // A connection that the client or a fault ended is part of the tests.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// An error ends the connection without an answer.
async fn respond(
    service: S3Service,
    faults: Arc<Faults>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<s3s::HttpResponse, Box<dyn std::error::Error + Send + Sync>> {
    faults.requests.fetch_add(1, Ordering::SeqCst);
    let is_part = request.uri().query().is_some_and(|query| query.contains("partNumber"));
    if is_part {
        let stall = std::time::Duration::from_millis(faults.stall.load(Ordering::SeqCst) as u64);
        let _ = tokio::time::timeout(stall, faults.released.notified()).await;
        faults.parts.fetch_add(1, Ordering::SeqCst);
        let used_up = |left: usize| left.checked_sub(1);
        let limited = faults.limited.load(Ordering::SeqCst);
        if limited && faults.parts_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, used_up).is_err() {
            faults.dead.store(true, Ordering::SeqCst);
        }
    }
    if faults.dead.load(Ordering::SeqCst) {
        return Err("the server is dead".into());
    }
    faults.wait_for_line(&request).await;
    if faults.refuses(&request) {
        return Ok(failed(http::StatusCode::NOT_IMPLEMENTED, "NotImplemented"));
    }
    if faults.blind.load(Ordering::SeqCst) && request.method() == http::Method::HEAD {
        let mut response = s3s::HttpResponse::new(s3s::Body::from(String::new()));
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        return Ok(response);
    }
    if !knows_bucket(&request) {
        return Ok(failed(http::StatusCode::NOT_FOUND, "NoSuchBucket"));
    }
    let is_whole = !is_part && request.method() == http::Method::PUT;
    let answer = hyper::service::Service::call(&service, request).await;
    let to_lose = |left: usize| left.checked_sub(1);
    if is_whole && faults.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, to_lose).is_ok() {
        return Err("the answer is lost".into());
    }
    answer.map_err(|error| format!("{error:?}").into())
}

/// s3s-fs opens uploads to buckets that do not exist; S3 does not.
fn knows_bucket(request: &http::Request<hyper::body::Incoming>) -> bool {
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = request.uri().path().trim_start_matches('/');
    host.starts_with(&format!("{BUCKET}.")) || path.split('/').next() == Some(BUCKET)
}

fn failed(status: http::StatusCode, code: &str) -> s3s::HttpResponse {
    let body = format!("<Error><Code>{code}</Code><Message>The server of the tests says so</Message></Error>");
    let mut response = s3s::HttpResponse::new(s3s::Body::from(body));
    *response.status_mut() = status;
    response
}

impl Faults {
    /// Waits as long as the body of this request needs. One body comes after the other.
    async fn wait_for_line(&self, request: &http::Request<hyper::body::Incoming>) {
        let rate = self.bytes_per_second.load(Ordering::SeqCst);
        let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        if let (1.., Some(length)) = (rate, length) {
            let _line = self.line.lock().await;
            let time: f64 = length;
            tokio::time::sleep(std::time::Duration::from_secs_f64(time / rate as f64)).await;
        }
    }

    fn refuses(&self, request: &http::Request<hyper::body::Incoming>) -> bool {
        let has = |name: &str| request.headers().contains_key(name);
        self.knows_no_conditions.load(Ordering::SeqCst) && (has("if-match") || has("if-none-match"))
    }
}
