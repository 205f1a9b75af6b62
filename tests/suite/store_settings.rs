//! Settings, signed URLs and answers of token services that made a library panic, or a request go elsewhere.

use crate::common::hostile_store::{HostileStore, Reply};
use crate::common::pages::{sections, text, whole_blocks};
use crate::common::s3::{KEY, SECRET};
use crate::common::tool::Tool;
use crate::keyless::Pod;
use crate::store_word::store_with_range;

#[track_caller]
fn assert_refused(tool: Tool, key: &str) {
    let ended = tool.run();
    assert_eq!(ended.code, 2, "{key}: {} {}", ended.stderr, String::from_utf8_lossy(&ended.stdout));
    assert!(ended.stderr.contains(key) && !ended.stderr.contains("panicked"), "{key}: {}", ended.stderr);
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(!told.contains("://"), "{key}: {told}");
}

#[test]
fn url_that_nobody_could_use_is_not_signed() {
    let long = "r".repeat(64);
    let wrong: [(&str, &[&str], &str); 15] = [
        ("s3://b", &["--region", "r", "--endpoint", "http://%41"], "endpoint"),
        ("oss://b", &["--region", "r", "--endpoint", "http://%41"], "endpoint"),
        ("s3://b", &["--region", "r", "--endpoint", "http://h..x"], "endpoint"),
        ("s3://b", &["--region", "r", "--endpoint", "http://."], "endpoint"),
        ("s3://b", &["--region", "r", "--endpoint", "http://-h"], "endpoint"),
        ("s3://b", &["--region", ".."], "region"),
        ("s3://b", &["--region", "eu-"], "region"),
        ("oss://b", &["--region", &long], "region"),
        ("oss://a..b", &["--region", "cn-x"], "bucket"),
        ("obs://b.", &["--region", "cn-x"], "bucket"),
        ("obs://-b", &["--region", "cn-x"], "bucket"),
        ("az://c", &["--account", ".."], "account"),
        ("s3://b", &["--region", "r", "--proxy", "ftp://127.0.0.1:1"], "proxy"),
        ("s3://b", &["--region", "r", "--proxy", "gopher://x"], "proxy"),
        ("s3://b", &["--region", "r", "--proxy", "socks5://h:1"], "proxy"),
    ];
    for (store, flags, key) in wrong {
        let tool = Tool::new(&["presign", "shop", "cart", "prod", "--store", store]).args(flags);
        assert_refused(tool.with_key().env("JMAP_DUMP_ACCOUNT_KEY", "a2V5"), key);
    }
    assert_refused(Tool::new(&["list", "shop", "--store", "http://h/a%2fb"]), "a%2fb");
}

/// Whom each example of docs/stores.md would ask, told by the URL that it signs.
#[test]
fn each_example_of_oss_and_obs_asks_the_host_of_its_bucket() {
    let sections = sections(&text("docs/stores.md"));
    let examples = &sections.iter().find(|section| section.text.starts_with("## OSS and OBS")).expect("a section").text;
    let lines = whole_blocks(examples, "console").concat();
    let flags = lines.lines().map(|line| line.strip_prefix("jmap-dump-tool ").expect("a command").split(' '));
    let mut signed: Vec<_> = flags.map(|words| signed_by(&words.collect::<Vec<_>>())).collect();

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let keys = format!("access_key_id = '{KEY}'\nsecret_access_key = '{SECRET}'\n");
    std::fs::write(&file, whole_blocks(examples, "toml").concat() + &keys).unwrap();
    signed.push(signed_by(&["--config", file.to_str().unwrap(), "shop", "cart", "prod"]));

    let expected = [
        ("https://bucket.s3.oss-cn-hangzhou-internal.aliyuncs.com/PREFIX/shop/cart/prod/", "cn-hangzhou"),
        ("https://bucket.s3.oss-cn-hangzhou.aliyuncs.com/PREFIX/shop/cart/prod/", "cn-hangzhou"),
        ("https://bucket.obs.cn-north-4.myhuaweicloud.com/PREFIX/shop/cart/prod/", "cn-north-4"),
        ("https://dumps.example.com/heaps/shop/cart/prod/", "cn-hangzhou"),
    ];
    assert_eq!(signed.len(), expected.len());
    for (url, (begin, region)) in signed.iter().zip(expected) {
        assert!(url.starts_with(begin) && url.contains(&format!("%2F{region}%2Fs3%2F")), "{begin}, {region}: {url}");
    }
}

fn signed_by(words: &[&str]) -> String {
    let ended = Tool::new(&["presign"]).args(words).with_key().run().expect(0);
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn variable_that_makes_no_request_is_refused_by_its_name() {
    let list = |store: &str| Tool::new(&["list", "shop", "--retry-for", "1s", "--store", store]);
    let s3 = || list("s3://b").env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").env("AWS_REGION", "r");
    assert_refused(s3().env("AWS_ENDPOINT_URL_S3", "http://%41"), "AWS_ENDPOINT_URL_S3");
    assert_refused(s3().env("AWS_SESSION_TOKEN", "\u{e4}"), "AWS_SESSION_TOKEN");
    for name in ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"] {
        assert_refused(s3().env(name, "ftp://127.0.0.1:1"), name);
    }
    for (name, value) in [
        ("AZURE_AUTHORITY_HOST", "https://"),
        ("AZURE_STORAGE_AUTHORITY_HOST", "http://%41"),
        ("AZURE_TENANT_ID", "a b"),
        ("AZURE_FABRIC_TOKEN_SERVICE_URL", "https://"),
        ("AZURE_MSI_ENDPOINT", "http://h..x"),
        ("IDENTITY_ENDPOINT", "http://a b"),
        ("IDENTITY_HEADER", "a\nb"),
        ("AZURE_STORAGE_TOKEN", "\u{e4}"),
    ] {
        let tool = list("az://c").args(&["--account", "a"]).env("AZURE_CLIENT_ID", "c").env("AZURE_CLIENT_SECRET", "s");
        let tool = if name == "AZURE_TENANT_ID" { tool } else { tool.env("AZURE_TENANT_ID", "t") };
        assert_refused(tool.env(name, value), name);
    }
    let pod = Pod::new(1);
    for url in ["https://", "http://%41"] {
        let account = format!(
            r#"{{"gcs_base_url":"{url}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
        );
        let file = pod.mount("account.json", &account);
        assert_refused(list("gs://b").args(&["--service-account-file", &file]), "gcs_base_url");
        assert_refused(list("gs://b").env("GOOGLE_APPLICATION_CREDENTIALS", &file), "gcs_base_url");
        assert_refused(list("gs://b").env("GOOGLE_SERVICE_ACCOUNT_KEY", &account), "gcs_base_url");
    }
}

#[test]
fn signed_url_that_ends_beyond_any_calendar_is_refused() {
    let pod = Pod::new(1);
    for vendor in ["Amz", "Goog"] {
        for seconds in ["9000000000000000", "-9000000000000000"] {
            let query = format!("X-{vendor}-Date=20260101T000000Z&X-{vendor}-Expires={seconds}&X-{vendor}-Signature=0");
            assert_refused(pod.upload(&format!("http://127.0.0.1:1/k?{query}"), ""), &format!("X-{vendor}-Expires"));
        }
    }
}

/// A client secret, a federated token, a managed identity.
#[test]
fn token_of_azure_that_cannot_be_used_is_no_panic() {
    let pod = Pod::new(1);
    let file = pod.mount("token", "jwt");
    for (token, ends, told) in
        [(r"t\nx", "3600", Some("a token that no header can hold")), ("t", "18446744073709551615", None)]
    {
        let answer = format!(r#"{{"access_token":"{token}","expires_in":{ends},"expires_on":"{ends}"}}"#);
        let server = HostileStore::start(move |asked| match asked.target.contains("oken") {
            true => Reply::body(200, &answer),
            false => Reply::body(404, ""),
        });
        let list = || {
            let words = ["list", "shop", "--store", "az://c", "--account", "a", "--retry-for", "1s", "--endpoint"];
            Tool::new(&words).args(&[&server.url()])
        };
        let of_client = || {
            list().env("AZURE_CLIENT_ID", "c").env("AZURE_TENANT_ID", "t").env("AZURE_AUTHORITY_HOST", &server.url())
        };
        for tool in [
            of_client().env("AZURE_CLIENT_SECRET", "s"),
            of_client().env("AZURE_FEDERATED_TOKEN_FILE", &file),
            list().env("AZURE_MSI_ENDPOINT", &format!("{}/oken", server.url())),
        ] {
            let ended = tool.run().expect(9);
            assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("fault"), "{}", ended.stderr);
            assert!(told.is_none_or(|told| ended.stderr.contains(told)), "{}", ended.stderr);
        }
        assert!(server.asked().iter().any(|asked| asked.target.contains("oken")));
    }
}

#[test]
fn range_without_an_end_is_no_panic() {
    let to_dir = tempfile::tempdir().unwrap();
    let server = store_with_range("0-18446744073709551615/18446744073709551615", b"1234567");
    let words = ["fetch", "shop/a.gz", "--to", to_dir.path().to_str().unwrap(), "--store", "s3://dumps", "--region"];
    let ended = Tool::new(&words).args(&["r", "--endpoint", &server.url(), "--retry-for", "1s"]).with_key().run();
    ended.expect(9);
}
