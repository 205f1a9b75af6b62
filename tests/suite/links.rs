//! Links that anybody can follow: when they really end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tokens::{self, TokenService};
use crate::common::tool::Tool;
use crate::common::waiting::wait_until;
use crate::keyless::Pod;

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// A store with one dump in it.
fn server_with_a_dump(pod: &Pod) -> S3Server {
    let server = S3Server::start();
    with_key(pod.upload(&format!("s3://{BUCKET}"), &server.endpoint())).run().expect(0);
    server
}

fn with_key(tool: Tool) -> Tool {
    tool.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "us-east-1")
}

fn list(store: &str, server: &S3Server) -> Tool {
    let words = ["list", "shop", "--links", "24h", "--output", "json", "--endpoint", &server.endpoint()];
    Tool::new(&words).args(&["--store", store])
}

#[track_caller]
fn row(tool: Tool) -> Value {
    let ended = tool.run().expect(0);
    let rows: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(rows[0]["link"].is_string(), "{rows}: {}", ended.stderr);
    rows[0].clone()
}

/// That the end is so far away, or up to a minute less.
#[track_caller]
fn assert_ends_in(told: &Value, minutes: i64) {
    let until = DateTime::parse_from_rfc3339(told["link_until"].as_str().unwrap()).unwrap();
    let left = (until.with_timezone(&Utc) - Utc::now()).num_seconds();
    assert!((minutes * 60 - 60..=minutes * 60).contains(&left), "{left} s: {told}");
}

#[test]
fn a_link_ends_with_the_token_that_signs_it() {
    let pod = Pod::new(1);
    let (server, token) = (server_with_a_dump(&pod), pod.mount("token", "the-jwt"));
    let (agent, sts) = (tokens::aws_container("127.0.0.1:0", HALF_AN_HOUR), tokens::aws_sts(HALF_AN_HOUR));
    let (machine, aliyun) = (tokens::aws_metadata("127.0.0.1:0"), tokens::aliyun_sts());
    let s3 = || list(&format!("s3://{BUCKET}"), &server).env("AWS_REGION", "us-east-1");
    let web_identity = || {
        let tool = s3().env("AWS_ROLE_ARN", "arn").env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
        tool.env("AWS_ENDPOINT_URL_STS", &sts.url())
    };
    let rrsa = list(&format!("oss://{BUCKET}"), &server)
        .args(&["--region", "us-east-1", "--path-style", "true"])
        .env("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/dumps")
        .env("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack")
        .env("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &token)
        .env("ALIBABA_CLOUD_STS_ENDPOINT", &aliyun.url());
    let ways = [
        (s3().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1", agent.url())), 30),
        (web_identity(), 30),
        (s3().env("AWS_METADATA_ENDPOINT", &machine.url()), 60),
        (rrsa, 60),
    ];
    for (tool, minutes) in ways {
        let row = row(tool);
        assert_ends_in(&row, minutes);
        assert!(row["link_warning"].as_str().unwrap().contains("with the token"), "{row}");
    }
    let page = web_identity().args(&["--output", "html"]).run().expect(0).stdout;
    assert!(String::from_utf8(page).unwrap().contains("already, with the token"));
    let text = web_identity().args(&["--output", "text"]).run().expect(0).stdout;
    assert!(String::from_utf8(text).unwrap().contains(" until 20"));
}

#[test]
fn a_link_by_a_key_lasts_as_long_as_was_asked_for() {
    let pod = Pod::new(1);
    let server = server_with_a_dump(&pod);
    let s3 = || list(&format!("s3://{BUCKET}"), &server);
    let ours = s3().args(&["--region", "us-east-1"]).env("JMAP_DUMP_ACCESS_KEY_ID", KEY);
    for tool in [with_key(s3()), ours.env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)] {
        let row = row(tool);
        assert_ends_in(&row, 24 * 60);
        assert!(row["link_warning"].is_null(), "{row}");
    }
    // Nothing tells when it ends.
    let row = row(with_key(s3()).env("AWS_SESSION_TOKEN", "session-0"));
    assert!(row["link_until"].is_null() && row["link_warning"].is_string(), "{row}");
}

#[test]
fn the_receipt_and_a_signed_url_tell_the_token_s_end_too() {
    let (server, agent) = (S3Server::start(), tokens::aws_container("127.0.0.1:0", HALF_AN_HOUR));
    let store = format!("s3://{BUCKET}");
    let by_token = |tool: Tool| {
        let address = format!("{}/v1", agent.url());
        let tool = tool.args(&["--endpoint", &server.endpoint(), "--region", "us-east-1"]);
        tool.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address).run().expect(0).receipt()
    };
    let words = ["presign", "shop", "cart", "prod", "--valid", "2h", "--output", "json", "--store", &store];
    let mut signed = by_token(Tool::new(&words));
    signed["link_until"] = signed["until"].take();
    assert_ends_in(&signed, 30);
    assert!(signed["warning"].is_string(), "{signed}");
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.start();
    let receipt = by_token(Tool::dump(jvm.pid(), &store).args(&["--link", "2h"]));
    assert_ends_in(&receipt, 30);
    assert!(receipt["warnings"].to_string().contains("with the token"), "{receipt}");
}

#[test]
fn waiting_run_signs_the_link_it_was_asked_for() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let jvm = jvm.arg("mb=48").start();
    server.stall(Duration::from_millis(500));
    let dump = |flags: &[&str]| {
        let tool = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}")).args(&["--endpoint", &server.endpoint()]);
        with_key(tool.args(flags)).spawn()
    };
    let first = dump(&[]);
    // It has the JVM before it opens the store.
    wait_until("the first run is at it", || server.requests() > 0);
    let second = dump(&["--link", "1h"]).wait().expect(0);
    let (first, receipt) = (first.wait().expect(0).receipt(), second.receipt());
    assert!(second.stderr.contains("another run is dumping"), "{}", second.stderr);
    assert_eq!(first["object"], receipt["object"]);
    assert!(first["link"].is_null() && receipt["link"].is_string(), "{receipt}");
    assert_ends_in(&receipt, 60);
    // Who wants it encrypted otherwise wants another dump.
    let keys = ["--encryption", "sse"];
    let (one, other) = (dump(&[]), dump(&keys));
    let (one, other) = (one.wait().expect(0).receipt(), other.wait().expect(0).receipt());
    assert_ne!(one["object"]["key"], other["object"]["key"]);
}

/// All of Google behind one proxy: an identity, a bucket with one dump, and nobody who signs.
fn google_that_does_not_sign() -> TokenService {
    TokenService::start(|asked, _| {
        let found = "<Contents><Key>shop/cart/prod/20260101T000000Z_pod_7_00ff00.hprof.gz</Key><Size>7</Size>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>";
        match asked.path.as_str() {
            _ if asked.method == "CONNECT" => (403, String::new()),
            path if path.contains("/email") => (200, "dumper@project.iam.gserviceaccount.com".into()),
            path if path.contains("/token") => {
                (200, r#"{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}"#.into())
            }
            path if path.contains("list-type") => (200, format!("<ListBucketResult>{found}</ListBucketResult>")),
            _ => (404, String::new()),
        }
    })
}

#[test]
fn object_without_a_link_is_listed() {
    let (google, pod) = (google_that_does_not_sign(), Pod::new(1));
    let account = serde_json::json!({ "type": "external_account", "audience": "//iam.googleapis.com/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": format!("{}/v1/token", google.url()),
        "credential_source": { "file": pod.mount("token", "the-jwt") } });
    let list = || {
        let words = ["list", "shop", "--links", "1h", "--output", "json", "--store", "gs://dumps", "--retry-for", "1s"];
        Tool::new(&words).args(&["--endpoint", "http://storage.test", "--proxy", &google.url()])
    };
    let metadata = list().env("GCE_METADATA_HOST", &google.url().replace("http://", ""));
    let federated = list().env("GOOGLE_APPLICATION_CREDENTIALS", &pod.mount("account.json", &account.to_string()));
    let tried = || google.asked().iter().filter(|asked| asked.method == "CONNECT").count();
    for (tool, why, tries) in [(federated, "has no links", 0..1), (metadata, "there are no links: ", 1..100)] {
        let ended = tool.run().expect(0);
        let rows: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert!(rows[0]["link"].is_null() && rows[0]["link_warning"].as_str().unwrap().contains(why), "{rows}");
        assert_eq!(ended.stderr.matches(why).count(), 1, "{}", ended.stderr);
        assert!(tries.contains(&tried()), "{}: {:?}", tried(), google.asked());
    }
}
