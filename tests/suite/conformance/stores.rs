//! The stores, each a real server behind a relay that fails on demand, and what is to be known of each.

use std::path::PathBuf;

use super::hprof::Dump;
use crate::common::azurite::{self, Azurite};
use crate::common::gcs::{self, GcsServer};
use crate::common::relay::Relay;
use crate::common::s3::{self, S3Server};
use crate::common::tool::Tool;
use crate::common::webdav::{PASSWORD, USER, WebDav, files_below};

/// Below which all keys are.
const PREFIX: &str = "heaps";

/// What S3 says with 400 when a session token's time is over (AWS: "Error responses").
const EXPIRED_S3: &str = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
/// What Azure says with 403 when a signature's time is over (Microsoft: "Authorize requests to Azure Storage").
const EXPIRED_AZ: &str = "<Error><Code>AuthenticationFailed</Code><Message>Signature not valid in the specified time \
                          frame</Message></Error>";
/// What Google says with 401.
const EXPIRED_GS: &str =
    "<Error><Code>AuthenticationRequired</Code><Message>Authentication required.</Message></Error>";

enum Server {
    S3(S3Server),
    Az(Azurite),
    Gs(GcsServer),
    Dav(WebDav),
    Local(tempfile::TempDir),
}

pub struct Store {
    server: Server,
    relay: Option<Relay>,
    url: String,
    flags: Vec<String>,
    env: Vec<(&'static str, String)>,
    /// Flags and environment that take the place of the right ones.
    wrong: (Vec<String>, Vec<(&'static str, String)>),
    /// A store like this one that is not there.
    pub elsewhere: String,
    /// What curl needs to follow a link.
    pub curl: Vec<String>,
    /// How the receipt says that an object was verified.
    pub verified: &'static str,
    /// Status and words with which credentials end.
    pub expired: (u16, &'static str),
    /// What is to be looked at, when the store does not know the credentials, and when it is not there.
    pub hints: (&'static str, &'static str),
    /// Methods and targets of the requests that open and complete an upload.
    pub around_the_parts: &'static [(&'static [&'static str], &'static str)],
    /// A large dump goes up in several requests.
    pub takes_parts: bool,
}

impl Store {
    fn new(server: Server, scheme: &str, bucket: &str) -> Self {
        Self {
            server,
            relay: None,
            url: format!("{scheme}://{bucket}/{PREFIX}"),
            flags: Vec::new(),
            env: Vec::new(),
            wrong: Default::default(),
            elsewhere: format!("{scheme}://nosuch/{PREFIX}"),
            curl: Vec::new(),
            verified: "size",
            expired: (400, EXPIRED_S3),
            hints: ("check the access key", "check the bucket's name, the region"),
            around_the_parts: &[(&["POST"], "uploads"), (&["POST"], "uploadId=")],
            takes_parts: true,
        }
    }

    pub fn tool(&self, words: &[&str]) -> Tool {
        let tool = Tool::new(words).args(&["--store", &self.url]);
        let tool = self.flags.iter().fold(tool, |tool, flag| tool.arg(flag));
        self.env.iter().fold(tool, |tool, (name, value)| tool.env(name, value))
    }

    /// The same store with another prefix, and what keys begin with there.
    pub fn with_odd_prefix(&self) -> (String, &'static str) {
        // Only WebDAV's is a URL.
        let odd = if matches!(self.server, Server::Dav(_)) { "~ops/100%25/a%20b" } else { "~ops/100%/a b" };
        (format!("{}/{odd}", self.url), "~ops/100%/a b/")
    }

    /// A page of a listing with one usable key among odd ones, and the requests that it answers.
    pub fn odd_page(&self) -> (u16, String, &'static [&'static str], &'static str) {
        let time = "<Last-Modified>Sun, 22 Nov 2026 03:00:00 GMT</Last-Modified>";
        let blob = |key: &str| {
            format!(
                "<Blob><Name>{key}</Name><Properties>{time}<Content-Length>7</Content-Length><Content-Type>a/b</Content-Type></Properties></Blob>"
            )
        };
        let contents = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key><Size>7</Size><LastModified>2026-11-22T03:00:00.000Z</LastModified></Contents>"
            )
        };
        let file = |key: &str| {
            format!(
                "<D:response><D:href>/dav/{key}</D:href><D:propstat><D:prop><D:resourcetype/>\
                 <D:getcontentlength>7</D:getcontentlength><D:getlastmodified>Sun, 22 Nov 2026 03:00:00 GMT\
                 </D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
            )
        };
        let keys = [
            "shop//x.gz".to_owned(),
            "shop/../../x.gz".to_owned(),
            "shop/\u{1b}[2J.gz".to_owned(),
            format!("shop/{}.gz", "k".repeat(100_000)),
            "shop/a/e/right.gz".to_owned(),
        ];
        let all = |entry: &dyn Fn(&str) -> String| {
            keys.iter().map(|key| entry(&format!("{PREFIX}/{key}"))).collect::<String>()
        };
        match &self.server {
            Server::Az(_) => (
                200,
                format!("<EnumerationResults><Blobs>{}</Blobs></EnumerationResults>", all(&blob)),
                &["GET"],
                "comp=list",
            ),
            Server::Dav(_) => {
                (207, format!("<D:multistatus xmlns:D=\"DAV:\">{}</D:multistatus>", all(&file)), &["PROPFIND"], "")
            }
            _ => (200, format!("<ListBucketResult>{}</ListBucketResult>", all(&contents)), &["GET"], "list-type"),
        }
    }

    /// With credentials that the store does not know.
    pub fn tool_of_a_stranger(&self, words: &[&str]) -> Tool {
        let tool = self.wrong.0.iter().fold(self.tool(words), |tool, flag| tool.arg(flag));
        self.wrong.1.iter().fold(tool, |tool, (name, value)| tool.env(name, value))
    }

    /// By the proxy that stands for the store's own host.
    pub fn proxied(&self, tool: Tool) -> Tool {
        let proxy = self.flags.iter().position(|flag| flag == "--proxy");
        match proxy {
            Some(at) => tool.args(&["--proxy", &self.flags[at + 1]]),
            None => tool,
        }
    }

    pub fn upload(&self, dump: &Dump) -> Tool {
        let file = dump.word();
        self.tool(&["upload", "--output", "json", "--retry-for", "10s", "shop", "cart", "prod", file.as_str()])
    }

    /// What nobody may find in a message.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let secret = |name: &str| name.contains("KEY") || name.contains("PASSWORD");
        self.env.iter().filter(move |(name, _)| secret(name) && !name.ends_with("KEY_ID")).map(|(_, value)| &**value)
    }

    #[track_caller]
    pub fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("a store with a relay before it")
    }

    /// Keys of all that is stored, past the tool's own client; what lies elsewhere in the bucket shows, too.
    pub fn keys(&self) -> Vec<String> {
        let all = match &self.server {
            Server::S3(server) => server.objects(),
            Server::Az(server) => server.objects(),
            Server::Gs(server) => server.objects(),
            Server::Dav(server) => server.objects(),
            Server::Local(dir) => files_below(dir.path()),
        };
        let prefix = format!("{PREFIX}/");
        all.into_iter().map(|key| key.strip_prefix(&prefix).map_or(key.clone(), str::to_owned)).collect()
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        let path = format!("{PREFIX}/{key}");
        match &self.server {
            Server::S3(server) => Some(server.object(&path)),
            Server::Gs(server) => Some(server.object(&path)),
            Server::Dav(server) => Some(server.object(&path)),
            Server::Local(dir) => Some(dir.path().join(path)),
            Server::Az(_) => None,
        }
    }

    pub fn read(&self, key: &str) -> Vec<u8> {
        match (&self.server, self.file(key)) {
            (Server::Az(server), _) => server.read(&format!("{PREFIX}/{key}")),
            (_, file) => std::fs::read(file.unwrap()).unwrap(),
        }
    }

    /// A real file only.
    pub fn remove(&self, key: &str) {
        std::fs::remove_file(self.file(key).expect("a file of its own")).unwrap();
    }

    /// Something has happened to the object.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        match (&self.server, self.file(key)) {
            (Server::Az(server), _) => server.write(&format!("{PREFIX}/{key}"), bytes),
            (_, file) => std::fs::write(file.unwrap(), bytes).unwrap(),
        }
    }
}

fn words(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

fn s3(server: S3Server, relay: Relay, flags: &[&str]) -> Store {
    let flags = [words(flags), words(&["--region", "us-east-1"])].concat();
    let (id, secret) = ("JMAP_DUMP_ACCESS_KEY_ID", "JMAP_DUMP_SECRET_ACCESS_KEY");
    Store {
        relay: Some(relay),
        flags,
        env: vec![(id, s3::KEY.to_owned()), (secret, s3::SECRET.to_owned())],
        wrong: (Vec::new(), vec![(secret, "wrong".to_owned())]),
        verified: "checksum",
        ..Store::new(Server::S3(server), "s3", s3::BUCKET)
    }
}

pub fn s3_path() -> Option<Store> {
    let server = S3Server::start();
    let relay = Relay::before(&server.endpoint());
    let endpoint = relay.endpoint();
    Some(s3(server, relay, &["--endpoint", &endpoint]))
}

/// The relay is the client's proxy here: then nobody has to know names below localhost.
pub fn s3_virtual() -> Option<Store> {
    let server = S3Server::with_domain(Some("localhost"));
    let relay = Relay::before(&server.endpoint());
    let (endpoint, proxy) = (format!("http://localhost:{}", server.port()), relay.endpoint());
    let host = format!("{}.localhost:{}:127.0.0.1", s3::BUCKET, server.port());
    let store = s3(server, relay, &["--endpoint", &endpoint, "--path-style", "false", "--proxy", &proxy]);
    Some(Store { curl: words(&["--resolve", &host]), ..store })
}

pub fn az() -> Option<Store> {
    let server = Azurite::start()?;
    let relay = Relay::before(&server.endpoint());
    let endpoint = format!("{}/{}", relay.endpoint(), azurite::ACCOUNT);
    let key = "JMAP_DUMP_ACCOUNT_KEY";
    Some(Store {
        relay: Some(relay),
        flags: words(&["--endpoint", &endpoint, "--account", azurite::ACCOUNT]),
        env: vec![(key, azurite::KEY.to_owned())],
        wrong: (Vec::new(), vec![(key, "d3Jvbmc=".to_owned())]),
        expired: (403, EXPIRED_AZ),
        hints: ("check the account", "check the container's name"),
        around_the_parts: &[(&["PUT"], "comp=block&"), (&["PUT"], "comp=blocklist")],
        ..Store::new(Server::Az(server), "az", azurite::CONTAINER)
    })
}

pub fn gs() -> Option<Store> {
    let server = GcsServer::start();
    let relay = Relay::before(&server.endpoint());
    let (endpoint, flag) = (relay.endpoint(), "--service-account-file");
    let (account, stranger) = (server.service_account_file(), server.stranger_file());
    Some(Store {
        relay: Some(relay),
        flags: words(&["--endpoint", &endpoint, flag, account.to_str()?]),
        wrong: (words(&[flag, stranger.to_str()?]), Vec::new()),
        verified: "checksum",
        expired: (401, EXPIRED_GS),
        hints: ("check the service account", "check the bucket's name and the endpoint"),
        ..Store::new(Server::Gs(server), "gs", gcs::BUCKET)
    })
}

pub fn webdav() -> Option<Store> {
    let server = WebDav::start()?;
    let relay = Relay::before(&server.endpoint());
    let endpoint = relay.endpoint();
    let (user, password) = ("JMAP_DUMP_USERNAME", "JMAP_DUMP_PASSWORD");
    Some(Store {
        relay: Some(relay),
        url: format!("{endpoint}/dav/{PREFIX}"),
        // Nothing is shared there.
        elsewhere: format!("{endpoint}/nosuch/{PREFIX}"),
        env: vec![(user, USER.to_owned()), (password, PASSWORD.to_owned())],
        wrong: (Vec::new(), vec![(password, "wrong".to_owned())]),
        expired: (401, ""),
        hints: ("check the user and the password", "check the URL"),
        around_the_parts: &[(&["MKCOL"], ""), (&["MOVE"], "")],
        takes_parts: false,
        ..Store::new(Server::Dav(server), "http", "")
    })
}

pub fn local() -> Option<Store> {
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().join(PREFIX).to_str()?.to_owned();
    // Nobody makes a directory there.
    let elsewhere = "/proc/nosuch".to_owned();
    Some(Store { url, elsewhere, takes_parts: false, ..Store::new(Server::Local(dir), "file", "") })
}
