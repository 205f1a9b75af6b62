//! An HTTP double that speaks just enough S3 for an upload, and keeps each request as it came: what vendors document
//! of a request is checked on these. It answers as an HTTP proxy, too.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::secrets::repeating;

/// Bodies below this many bytes are kept as text.
const SHORT: usize = 64 << 10;

/// The form of OSS's own example (Alibaba Cloud: "CompleteMultipartUpload"); it tells nothing of the content.
const OPAQUE: &str = "B864DB6A936D376F9F8D3ED3BBE54000-3";

/// In what it differs from S3.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// The part of this number has an ETag that is not the MD5 of what was sent, as SSE-KMS has, or damage.
    pub strange_part: Option<usize>,
    /// The ETag of an object of several parts says nothing of its content.
    pub opaque: bool,
    /// So many dumps stand below heaps/shop/cart/prod. They are listed as OBS does it, by a marker and a thousand at
    /// most: what the second version of S3's listing asks by is not looked at.
    pub listed: usize,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Through a proxy to a host with TLS.
    Tunnel,
    Open,
    Part(usize),
    Complete,
    Look,
    Put,
    List,
    Other,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: Method,
    pub uri: Uri,
    headers: HeaderMap,
    pub length: usize,
    pub md5: [u8; 16],
    pub sha256: String,
    /// The body, when it is short.
    pub text: String,
}

impl Recorded {
    fn new(head: http::request::Parts, body: &[u8]) -> Self {
        let text = if body.len() < SHORT { String::from_utf8_lossy(body).into_owned() } else { String::new() };
        let sha256 = sha256(body);
        let (method, uri, headers) = (head.method, head.uri, head.headers);
        Self { method, uri, headers, length: body.len(), md5: Md5::digest(body).into(), sha256, text }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn header_names(&self) -> Vec<&str> {
        self.headers.keys().map(HeaderName::as_str).collect()
    }

    fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.uri.query().unwrap_or_default().split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub fn step(&self) -> Step {
        let number = self.query("partNumber").and_then(|number| number.parse().ok());
        match (self.method.as_str(), number) {
            ("CONNECT", _) => Step::Tunnel,
            ("POST", _) if self.query("uploads").is_some() => Step::Open,
            ("POST", _) if self.query("uploadId").is_some() => Step::Complete,
            ("PUT", Some(number)) => Step::Part(number),
            ("PUT", None) => Step::Put,
            ("HEAD", _) => Step::Look,
            ("GET", _) if self.query("prefix").is_some() => Step::List,
            _ => Step::Other,
        }
    }
}

/// Stops when it is dropped.
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

impl Recorder {
    pub fn start(manners: Manners) -> Self {
        let runtime = Runtime::new().expect("a runtime for the double");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("the double's address");
        let shared = Arc::new(Shared { manners, kept: Mutex::default() });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _runtime: runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// In the order in which they were answered.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.kept().requests.clone()
    }
}

struct Shared {
    manners: Manners,
    kept: Mutex<Kept>,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&shared), request));
            // A client that goes away is part of the tests.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<String>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let request = Recorded::new(head, &body);
    let mut kept = shared.kept();
    let answer = kept.answer(&request, shared.manners);
    kept.requests.push(request);
    Ok(answer)
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// What the store has.
#[derive(Debug, Default)]
struct Kept {
    requests: Vec<Recorded>,
    /// By their object's path and their number.
    parts: BTreeMap<(String, usize), Part>,
    objects: BTreeMap<String, Object>,
}

#[derive(Debug)]
struct Part {
    /// As the client was told.
    md5: [u8; 16],
    length: usize,
}

#[derive(Debug)]
struct Object {
    e_tag: String,
    length: usize,
}

impl Kept {
    fn answer(&mut self, request: &Recorded, manners: Manners) -> Response<String> {
        if let Some(code) = refusal(request) {
            return failure(StatusCode::BAD_REQUEST, code, request);
        }
        let path = request.uri.path().to_owned();
        match request.step() {
            Step::Open => opened(),
            Step::Part(number) => self.put_part(path, number, request, manners),
            Step::Complete => self.complete(path, request, manners),
            Step::Look => self.look(&path),
            Step::Put => self.put(path, request),
            Step::List => list(request, manners.listed),
            Step::Tunnel => failure(StatusCode::FORBIDDEN, "NoTunnel", request),
            Step::Other => failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", request),
        }
    }

    fn put_part(&mut self, path: String, number: usize, request: &Recorded, manners: Manners) -> Response<String> {
        let strange = manners.strange_part == Some(number);
        let md5: [u8; 16] = if strange { Md5::digest(b"what was not sent").into() } else { request.md5 };
        self.parts.insert((path, number), Part { md5, length: request.length });
        with_e_tag(&hex(&md5))
    }

    fn complete(&mut self, path: String, request: &Recorded, manners: Manners) -> Response<String> {
        let parts: Vec<&Part> = self.parts.iter().filter(|((of, _), _)| *of == path).map(|(_, part)| part).collect();
        if !names_all(&request.text, &parts) {
            return failure(StatusCode::BAD_REQUEST, "InvalidPart", request);
        }
        let e_tag = if manners.opaque { OPAQUE.to_owned() } else { multipart_e_tag(&parts) };
        let length = parts.iter().map(|part| part.length).sum();
        let body = format!("<CompleteMultipartUploadResult><ETag>\"{e_tag}\"</ETag></CompleteMultipartUploadResult>");
        self.objects.insert(path, Object { e_tag, length });
        reply(StatusCode::OK, &[], body)
    }

    fn look(&self, path: &str) -> Response<String> {
        let Some(Object { e_tag, length }) = self.objects.get(path) else {
            return reply(StatusCode::NOT_FOUND, &[], String::new());
        };
        let headers = [
            (header::CONTENT_LENGTH, length.to_string()),
            (header::ETAG, format!("\"{e_tag}\"")),
            (header::LAST_MODIFIED, "Sun, 22 Nov 2026 03:00:00 GMT".to_owned()),
        ];
        reply(StatusCode::OK, &headers, String::new())
    }

    fn put(&mut self, path: String, request: &Recorded) -> Response<String> {
        let e_tag = hex(&request.md5);
        let answer = with_e_tag(&e_tag);
        self.objects.insert(path, Object { e_tag, length: request.length });
        answer
    }
}

/// Huawei Cloud: "Listing Objects in a Bucket".
fn list(request: &Recorded, dumps: usize) -> Response<String> {
    let marker = request.query("marker").unwrap_or_default().replace("%2F", "/");
    let keys = (0..dumps).map(|dump| format!("heaps/shop/cart/prod/20260101T000000Z_pod_7_{dump:06x}.hprof.gz"));
    let mut keys: Vec<String> = keys.filter(|key| *key > marker).collect();
    let truncated = keys.len() > 1000;
    keys.truncate(1000);
    let next = keys.last().filter(|_| truncated).map(|key| format!("<NextMarker>{key}</NextMarker>"));
    let contents: String = keys
        .iter()
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>\"00\"</ETag><Size>7</Size></Contents>"
            )
        })
        .collect();
    let next = next.unwrap_or_default();
    let body = format!(
        "<ListBucketResult><Name>dumps</Name><IsTruncated>{truncated}</IsTruncated>{next}{contents}</ListBucketResult>"
    );
    reply(StatusCode::OK, &[], body)
}

/// The code of what OSS refuses with 400 (aws-chunked: Alibaba Cloud, error 0017-00000804; conditions of a write: as
/// poco-ai/Agentero#362 and apache/druid#9898 show them).
fn refusal(request: &Recorded) -> Option<&'static str> {
    let writes = matches!(request.method, Method::PUT | Method::POST);
    if writes && (request.header("if-none-match").is_some() || request.header("if-match").is_some()) {
        return Some("NotImplemented");
    }
    let chunked = request.header("content-encoding").is_some_and(|coding| coding.contains("aws-chunked"));
    chunked.then_some("InvalidArgument")
}

/// A store completes parts by the ETags that it told (AWS: "CompleteMultipartUpload", InvalidPart).
fn names_all(list: &str, parts: &[&Part]) -> bool {
    let listed = list.matches("<PartNumber>").count();
    !parts.is_empty() && listed == parts.len() && parts.iter().all(|part| list.contains(&hex(&part.md5)))
}

fn multipart_e_tag(parts: &[&Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.md5);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

fn opened() -> Response<String> {
    let id = "<UploadId>0004B9894A22E5B1888A1E29F8236E2D</UploadId>";
    let body = format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>");
    reply(StatusCode::OK, &[], body)
}

fn with_e_tag(e_tag: &str) -> Response<String> {
    reply(StatusCode::OK, &[(header::ETAG, format!("\"{e_tag}\""))], String::new())
}

fn failure(status: StatusCode, code: &str, request: &Recorded) -> Response<String> {
    let body = format!("<Error><Code>{code}</Code><Message>refused by the double</Message></Error>");
    reply(status, &[], repeating(&body, &request.headers))
}

fn reply(status: StatusCode, headers: &[(HeaderName, String)], body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header's value"));
    }
    response
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
