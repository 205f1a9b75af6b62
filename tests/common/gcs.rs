//! A stand-in for Google's XML API: Google's credentials in front of a real S3 server, which speaks the same beneath.
//! The tool's client signs its own tokens (Google: "Self-signed JWTs", AIP-4111), so there is no server for tokens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use http::{Method, Request, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::recorder::sha256;
use super::webdav::files_below;

pub const BUCKET: &str = "dumps";

const EMAIL: &str = "dumper@project.iam.gserviceaccount.com";

/// Stops when it is dropped.
pub struct GcsServer {
    address: SocketAddr,
    root: tempfile::TempDir,
    keys: tempfile::TempDir,
    _runtime: Runtime,
}

impl GcsServer {
    pub fn start() -> Self {
        let (root, keys) = (tempfile::tempdir(), tempfile::tempdir());
        let (root, keys) = (root.expect("a directory for the server"), keys.expect("a directory for keys"));
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let public = Arc::new(Google { key: write_account(keys.path(), "account") });
        write_account(keys.path(), "stranger");
        let runtime = Runtime::new().expect("a runtime for the server");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("the server's address");
        let store = s3s_fs::FileSystem::new(root.path()).expect("a directory as store");
        runtime.spawn(accept(listener, S3ServiceBuilder::new(store).build(), public));
        Self { address, root, keys, _runtime: runtime }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What `--service-account-file` takes.
    pub fn service_account_file(&self) -> PathBuf {
        self.keys.path().join("account.json")
    }

    /// The same name with another key.
    pub fn stranger_file(&self) -> PathBuf {
        self.keys.path().join("stranger.json")
    }

    pub fn object(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// All files of the bucket, without the server's own notes.
    pub fn objects(&self) -> Vec<String> {
        files_below(&self.root.path().join(BUCKET))
    }
}

/// Writes `NAME.json` with a new key; returns its public half, DER.
fn write_account(dir: &Path, name: &str) -> Vec<u8> {
    let key = dir.join(format!("{name}.pem"));
    let path = key.to_str().expect("a path in UTF-8");
    openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path]);
    let public = openssl(&["rsa", "-in", path, "-RSAPublicKey_out", "-outform", "DER"]);
    let account = serde_json::json!({
        "type": "service_account",
        "client_email": EMAIL,
        "private_key_id": name,
        "private_key": std::fs::read_to_string(&key).expect("openssl has written a key"),
    });
    std::fs::write(dir.join(format!("{name}.json")), account.to_string()).expect("the account can be written");
    public
}

#[track_caller]
fn openssl(args: &[&str]) -> Vec<u8> {
    let ended = Command::new("openssl").args(args).output().expect("openssl can be started");
    assert!(ended.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

async fn accept(listener: TcpListener, service: S3Service, google: Arc<Google>) {
    let server = Arc::new(Builder::new(TokioExecutor::new()));
    while let Ok((stream, _)) = listener.accept().await {
        let (server, service, google) = (Arc::clone(&server), service.clone(), Arc::clone(&google));
        tokio::spawn(async move {
            let answer =
                hyper::service::service_fn(move |request| respond(service.clone(), Arc::clone(&google), request));
            // A connection that the client ended is part of the tests.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn respond(
    service: S3Service,
    google: Arc<Google>,
    mut request: Request<Incoming>,
) -> Result<s3s::HttpResponse, Box<dyn std::error::Error + Send + Sync>> {
    let by_token = google.admits_token(&request);
    if !by_token && !google.admits_link(&request) {
        return Ok(refusal(StatusCode::UNAUTHORIZED, "AuthenticationRequired"));
    }
    if request.uri().path().split('/').nth(1) != Some(BUCKET) {
        return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchBucket"));
    }
    // The server beneath knows nothing of all that.
    request.headers_mut().remove(header::AUTHORIZATION);
    if !by_token {
        let path: Uri = request.uri().path().parse()?;
        *request.uri_mut() = path;
    }
    let answer = hyper::service::Service::call(&service, request).await;
    answer.map_err(|error| format!("{error:?}").into())
}

fn refusal(status: StatusCode, code: &str) -> s3s::HttpResponse {
    let body = format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>");
    let mut response = s3s::HttpResponse::new(s3s::Body::from(body));
    *response.status_mut() = status;
    response
}

/// What Google has of the account.
struct Google {
    key: Vec<u8>,
}

impl Google {
    fn signed(&self, message: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.key).verify(message.as_bytes(), signature).is_ok()
    }

    /// A token that the account has signed, and that is still valid.
    fn admits_token(&self, request: &Request<Incoming>) -> bool {
        let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.token_is_good(value.unwrap_or_default()).unwrap_or(false)
    }

    fn token_is_good(&self, value: &str) -> Option<bool> {
        let (message, signature) = value.strip_prefix("Bearer ")?.rsplit_once('.')?;
        let claims: serde_json::Value = serde_json::from_slice(&from_base64_url(message.split_once('.')?.1)?).ok()?;
        let valid = claims["exp"].as_i64()? > chrono::Utc::now().timestamp();
        Some(valid && claims["iss"] == EMAIL && self.signed(message, &from_base64_url(signature)?))
    }

    /// Google: "V4 signing process with your own program".
    fn admits_link(&self, request: &Request<Incoming>) -> bool {
        request.method() == Method::GET && self.link_is_good(request.uri()).unwrap_or(false)
    }

    fn link_is_good(&self, uri: &Uri) -> Option<bool> {
        let mut pairs: Vec<&str> = uri.query()?.split('&').collect();
        let (date, seconds) = (value(&pairs, "X-Goog-Date")?, value(&pairs, "X-Goog-Expires")?.parse::<i64>().ok()?);
        let credential = value(&pairs, "X-Goog-Credential")?.replace("%2F", "/").replace("%40", "@");
        let (email, scope) = credential.split_once('/')?;
        let signature = from_hex(value(&pairs, "X-Goog-Signature")?)?;
        pairs.retain(|pair| !pair.starts_with("X-Goog-Signature="));
        pairs.sort_unstable();
        // The client signs for this host, wherever it is sent to.
        let host = "host:storage.googleapis.com";
        let canonical = format!("GET\n{}\n{}\n{host}\n\nhost\nUNSIGNED-PAYLOAD", uri.path(), pairs.join("&"));
        let message = format!("GOOG4-RSA-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let begun = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").ok()?.and_utc().timestamp();
        let valid = begun + seconds > chrono::Utc::now().timestamp();
        Some(valid && email == EMAIL && self.signed(&message, &signature))
    }
}

/// Of a query.
fn value<'a>(pairs: &[&'a str], name: &str) -> Option<&'a str> {
    pairs.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// RFC 4648, the alphabet for URLs, without padding.
fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        bits = (bits << 6) | ALPHABET.iter().position(|&letter| letter == byte)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}
