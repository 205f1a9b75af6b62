//! A reverse proxy in front of a store: it writes down what passes, and fails on demand. The Host header passes as it
//! is, so that signatures hold. Without a store behind it, it is a forward proxy, which knows CONNECT, too.

mod fault;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

pub use fault::Fault;
use fault::Harm;

use super::secrets::repeating;

/// What is longer is a part of a dump, or all of it: receipts and probes are shorter.
const SMALL: u64 = 32 << 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Failure>>;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    /// Path and query; with the host before them when the client took this for a forward proxy.
    pub target: String,
    pub headers: HeaderMap,
    /// Bytes of the body as they were announced; those of a chunked one are many.
    pub body: u64,
}

impl Seen {
    fn of(request: &Request<Incoming>) -> Self {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let chunked = headers.contains_key(header::TRANSFER_ENCODING);
        Self {
            method: request.method().clone(),
            target: request.uri().to_string(),
            headers: headers.clone(),
            body: length.unwrap_or(if chunked { u64::MAX } else { 0 }),
        }
    }

    /// A part of a dump, or all of it.
    pub fn is_part(&self) -> bool {
        self.method == Method::PUT && self.body > SMALL
    }

    /// A range of a dump is asked for. Google's client escapes all but letters and digits.
    pub fn is_piece(&self) -> bool {
        self.method == Method::GET && self.target.contains("hprof") && self.headers.contains_key(header::RANGE)
    }
}

/// Stops when it is dropped.
pub struct Relay {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    _runtime: Runtime,
}

struct State {
    /// `host:port`; without it each request names its own.
    upstream: Option<String>,
    faults: Mutex<Vec<Fault>>,
    seen: Mutex<Vec<Seen>>,
}

impl Relay {
    /// In front of the server at `endpoint`, whose path does not count.
    pub fn before(endpoint: &str) -> Self {
        Self::start("127.0.0.1:0", Some(endpoint), None).expect("a free port")
    }

    /// A forward proxy for whatever host a request names.
    pub fn forward() -> Self {
        Self::start("127.0.0.1:0", None, None).expect("a free port")
    }

    /// At another address such as `[::1]:0`; with TLS by PEM files of a certificate and its key.
    ///
    /// # Errors
    /// When there is no such address.
    pub fn start(bind: &str, endpoint: Option<&str>, tls: Option<(&Path, &Path)>) -> std::io::Result<Self> {
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind(bind))?;
        let address = listener.local_addr()?;
        let upstream = endpoint.map(|endpoint| {
            let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
            rest.split('/').next().unwrap_or(rest).to_owned()
        });
        let state = Arc::new(State { upstream, faults: Mutex::default(), seen: Mutex::default() });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(|(certificate, key)| acceptor(certificate, key));
        runtime.spawn(accept(listener, acceptor, Arc::clone(&state)));
        Ok(Self { address, scheme, state, _runtime: runtime })
    }

    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// From now on; of several faults the first one that concerns a request strikes.
    pub fn fail(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// All is well again.
    pub fn heal(&self) {
        lock(&self.state.faults).clear();
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// Parts that came, also those that a fault has struck.
    pub fn parts(&self) -> usize {
        lock(&self.state.seen).iter().filter(|seen| seen.is_part()).count()
    }
}

impl State {
    fn note(&self, seen: Seen) -> Option<Harm> {
        let harm = lock(&self.faults).iter_mut().find_map(|fault| fault.strike(&seen));
        lock(&self.seen).push(seen);
        harm
    }

    fn upstream(&self, uri: &Uri) -> Result<String, Failure> {
        let named = || uri.authority().map(ToString::to_string);
        self.upstream.clone().or_else(named).ok_or_else(|| "the request names no host".into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).expect("the certificate can be read");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate in PEM");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key in PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("a version of TLS").with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("the key fits the certificate")))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Some(tls) = tls else { return serve(stream, state).await };
            // A client that does not trust the certificate goes away.
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, state).await;
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let answer = hyper::service::service_fn(move |request| respond(Arc::clone(&state), request));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // A connection that the client or a fault ended is part of the tests.
    let _ = connection.with_upgrades().await;
}

/// An error ends the connection without an answer.
async fn respond(state: Arc<State>, request: Request<Incoming>) -> Result<Answer, Failure> {
    match state.note(Seen::of(&request)) {
        Some(Harm::Answer(status, body)) => {
            // Whoever still sends may not see an answer that comes too early.
            let body = repeating(&body, request.headers());
            request.into_body().collect().await?;
            return answer(StatusCode::from_u16(status)?, body);
        }
        Some(Harm::Reset(after)) => return Err(reset(request.into_body(), after).await),
        Some(Harm::Stall(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    let upstream = state.upstream(request.uri())?;
    if request.method() == Method::CONNECT {
        tokio::spawn(carry(request, upstream));
        return answer(StatusCode::OK, String::new());
    }
    pass_on(request, &upstream).await
}

fn answer(status: StatusCode, body: String) -> Result<Answer, Failure> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
    Ok(Response::builder().status(status).header(header::CONTENT_TYPE, "application/xml").body(body)?)
}

/// What is not read any more makes the kernel reset the connection.
async fn reset(mut body: Incoming, after: u64) -> Failure {
    let mut read = 0;
    while read < after {
        let Some(Ok(frame)) = body.frame().await else { break };
        read += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    "reset on demand".into()
}

async fn pass_on(request: Request<Incoming>, upstream: &str) -> Result<Answer, Failure> {
    let (mut head, body) = request.into_parts();
    let origin: Uri = head.uri.path_and_query().map_or("/", |target| target.as_str()).parse()?;
    head.uri = origin;
    let body = Full::new(body.collect().await?.to_bytes());
    let stream = TokioIo::new(TcpStream::connect(upstream).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(head, body)).await?;
    Ok(answer.map(|body| body.map_err(Failure::from).boxed()))
}

/// Until one side goes away.
async fn carry(request: Request<Incoming>, upstream: String) -> Result<(), Failure> {
    let mut client = TokioIo::new(hyper::upgrade::on(request).await?);
    let mut server = TcpStream::connect(upstream).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
