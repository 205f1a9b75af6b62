//! Doubles of the services that give tokens, in process: each answers like its original, and keeps what it was asked.
//! What they give is the key of [`super::s3`]'s server, with a session token that is another one each time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::s3::{KEY, SECRET};

// Nothing of these has another form in a URL, in a form or in JSON.

/// What session tokens begin with.
pub const SESSION: &str = "FwoGZXIvYXdzRingelblume";
/// The token by which a workload shows who it is.
pub const JWT: &str = "eyJhbGciOi.Kornblume.Sonnentau";
/// What a pod's agent is asked with.
pub const AUTHORIZATION: &str = "pod-Schluesselblume";
/// The metadata service's own.
pub const IMDS: &str = "imds-Vergissmeinnicht";
/// A bearer token, and the one that it is exchanged for.
pub const EXCHANGED: &str = "ya29.Fingerhut";
pub const IMPERSONATED: &str = "ya29.Eisenhut";

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Of the query, or else of the form in the body.
    pub fn field(&self, name: &str) -> Option<String> {
        let query = self.path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let url = reqwest::Url::parse(&format!("http://x/?{query}&{}", self.body)).expect("a form");
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// Status and body.
type Answer = (u16, String);

/// A service on a port of its own.
pub struct TokenService {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TokenService {
    /// The number of a request begins with 1; what is no request for a token counts, too.
    pub fn start(answer: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer)
    }

    pub fn start_at(address: &str, answer: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("the service's port");
        let service = Self { address: listener.local_addr().expect("its address"), asked: Arc::default() };
        let (asked, answer) = (Arc::clone(&service.asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &asked, &*answer));
            }
        });
        service
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic in the service").clone()
    }

    /// The first request for `path`, which may have a query behind it.
    #[track_caller]
    pub fn asked_for(&self, path: &str) -> Asked {
        let all = self.asked();
        let found = all.iter().find(|asked| asked.path.split('?').next() == Some(path));
        found.unwrap_or_else(|| panic!("nobody asked for {path}: {all:?}")).clone()
    }
}

/// A client that goes away is part of the tests.
fn serve(mut stream: TcpStream, asked: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked, usize) -> Answer) -> Option<()> {
    let request = read_request(&mut stream)?;
    let mut all = asked.lock().expect("no panic in the service");
    all.push(request.clone());
    let (status, body) = answer(&request, all.len());
    drop(all);
    let head = format!("HTTP/1.1 {status} Double\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}

fn read_request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut piece = [0; 16 << 10];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        bytes.extend_from_slice(more(stream, &mut piece)?);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    let mut asked =
        Asked { method: words.next()?, path: words.next()?, headers: headers.collect(), body: String::new() };
    let length: usize = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        body.extend_from_slice(more(stream, &mut piece)?);
    }
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}

fn more<'a>(stream: &mut TcpStream, piece: &'a mut [u8]) -> Option<&'a [u8]> {
    stream.read(piece).ok().filter(|read| *read > 0).map(|read| &piece[..read])
}

fn end(valid: Duration) -> String {
    (chrono::Utc::now() + valid).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// AWS STS, AssumeRoleWithWebIdentity.
pub fn aws_sts(valid: Duration) -> TokenService {
    TokenService::start(move |_, number| {
        let credentials = format!(
            "<AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
             <SessionToken>{SESSION}{number}</SessionToken><Expiration>{}</Expiration>",
            end(valid)
        );
        let (outer, inner) = ("AssumeRoleWithWebIdentityResponse", "AssumeRoleWithWebIdentityResult");
        (200, format!("<{outer}><{inner}><Credentials>{credentials}</Credentials></{inner}></{outer}>"))
    })
}

fn aws_json(valid: Duration, number: usize) -> String {
    let end = end(valid);
    serde_json::json!({ "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": format!("{SESSION}{number}"),
        "Expiration": end })
    .to_string()
}

/// The credentials of an ECS task or of a pod of EKS: below `/v`.
pub fn aws_container(address: &str, valid: Duration) -> TokenService {
    TokenService::start_at(address, move |asked, number| {
        if asked.path.starts_with("/v") { (200, aws_json(valid, number)) } else { (404, String::new()) }
    })
}

/// EC2's metadata service, version 2: without its own token, nothing is told.
pub fn aws_metadata(address: &str) -> TokenService {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    TokenService::start_at(address, |asked, number| {
        let has_token = asked.header("X-aws-ec2-metadata-token") == Some(IMDS);
        match (asked.method.as_str(), asked.path.as_str()) {
            ("PUT", "/latest/api/token") => (200, IMDS.into()),
            ("GET", ROLES) if has_token => (200, "the-role".into()),
            ("GET", path) if has_token && path.strip_prefix(ROLES) == Some("the-role") => {
                (200, aws_json(Duration::from_secs(3600), number))
            }
            _ => (401, String::new()),
        }
    })
}

/// Alibaba Cloud STS, AssumeRoleWithOIDC.
pub fn aliyun_sts() -> TokenService {
    TokenService::start(|_, number| {
        let credentials = serde_json::json!({ "AccessKeyId": KEY, "AccessKeySecret": SECRET,
            "SecurityToken": format!("{SESSION}{number}"), "Expiration": end(Duration::from_secs(3600)) });
        (200, serde_json::json!({ "RequestId": "1", "Credentials": credentials }).to_string())
    })
}

/// Everything of Google and of Azure that answers with a bearer token: metadata services, STS, an account's
/// interface, an authority.
pub fn bearer() -> TokenService {
    bearer_at("127.0.0.1:0")
}

pub fn bearer_at(address: &str) -> TokenService {
    TokenService::start_at(address, |asked, _| {
        let hour = Duration::from_secs(3600);
        let on = (chrono::Utc::now() + hour).timestamp().to_string();
        let token = if asked.path.contains("generateAccessToken") { "accessToken" } else { "access_token" };
        let name = if token == "accessToken" { IMPERSONATED } else { EXCHANGED };
        let answer = serde_json::json!({ token: name, "expireTime": end(hour), "expires_in": 3600, "expires_on": on,
            "token_type": "Bearer" });
        (200, answer.to_string())
    })
}

/// A store that lets nobody in, and keeps who has come.
pub fn closed_store() -> TokenService {
    TokenService::start(|_, _| (403, "<Error><Code>AccessDenied</Code></Error>".into()))
}

/// A port where connections are made and nobody answers, or where not even connections are made any more.
pub struct BlackHole {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    pub fn silent() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port"), _queued: Vec::new() }
    }

    /// The kernel drops what does not fit into the queue of a listener (listen(2)).
    pub fn closed() -> Self {
        let listener = Self::silent().listener;
        rustix::net::listen(&listener, 0).expect("a shorter queue");
        let address = listener.local_addr().expect("its address");
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queued: Vec<TcpStream> = (0..8).map_while(connect).collect();
        assert!(queued.len() < 8, "the queue has no end here");
        Self { listener, _queued: queued }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("its address"))
    }
}

/// The bytes of one client.
type Said = Arc<Mutex<Vec<u8>>>;

/// Passes everything on to a server, and keeps what the clients say.
pub struct Relay {
    address: SocketAddr,
    /// One for each connection.
    said: Arc<Mutex<Vec<Said>>>,
}

impl Relay {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let relay = Self { address, said: Arc::default() };
        let said = Arc::clone(&relay.said);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = Said::default();
                said.lock().expect("no panic in the relay").push(Arc::clone(&kept));
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (Ok(from), Ok(back)) = (client.try_clone(), server.try_clone()) else { continue };
                thread::spawn(move || pass(from, server, Some(&kept)));
                thread::spawn(move || pass(back, client, None));
            }
        });
        relay
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The session tokens that requests were signed with, each once.
    pub fn session_tokens(&self) -> std::collections::BTreeSet<String> {
        let said = self.said.lock().expect("no panic in the relay");
        let mut tokens = std::collections::BTreeSet::new();
        for kept in said.iter() {
            let kept = kept.lock().expect("no panic in the relay");
            let values =
                kept.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"x-amz-security-token: "));
            tokens.extend(values.map(|value| String::from_utf8_lossy(value).trim().to_owned()));
        }
        tokens
    }
}

/// A connection that ends is part of the tests.
fn pass(mut from: TcpStream, mut to: TcpStream, kept: Option<&Mutex<Vec<u8>>>) {
    let mut piece = [0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if let Some(kept) = kept {
            kept.lock().expect("no panic in the relay").extend_from_slice(&piece[..read]);
        }
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Runs a test in a network of its own, in which these addresses are this machine's: the real ones must not be asked.
/// False where that is not possible.
pub fn in_own_network(addresses: &[&str], test: impl FnOnce() + Send) -> bool {
    let run = || {
        // SAFETY: a network namespace has nothing to do with the table of descriptors (unshare(2)).
        let own = unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_ok();
        let ip = |args: &[&str]| Command::new("ip").args(args).status().is_ok_and(|status| status.success());
        let add = |address: &&str| ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
        let ready = own && ip(&["link", "set", "lo", "up"]) && addresses.iter().all(add);
        if ready {
            test();
        }
        ready
    };
    let ended = thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
