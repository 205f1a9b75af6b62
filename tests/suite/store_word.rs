//! What a store says, taken for what it is worth: a yes of nobody knows whom, an answer without an end, a key that no
//! client can ask for, a region elsewhere; and settings that no store has ever seen.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::hostile_store::{HostileStore, Reply, run_measured};
use crate::common::jvm::TestJvm;
use crate::common::relay::{Fault, Relay};
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::{Ended, Tool};
use crate::keyless::Pod;
use crate::watch::Watcher;

/// Most memory of any run here, in MiB: docs/stores.md says 256 at most for a listing, and less for the rest.
const MEMORY: u64 = 256;

/// What a login page answers to all that it is asked.
fn login_page() -> HostileStore {
    HostileStore::start(|_| Reply::body(200, "<html>please log in</html>"))
}

fn signed(server: &HostileStore) -> String {
    format!("{}/dumps/k.hprof.gz?X-Amz-Signature=0", server.url())
}

/// To a server that stands for S3.
fn to(server: &HostileStore, words: &[&str]) -> Tool {
    let flags = ["--store", "s3://dumps/heaps", "--endpoint", &server.url(), "--region", "r", "--retry-for", "1s"];
    Tool::new(words).args(&flags).with_key()
}

fn first_line(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn dump_that_a_login_page_took_is_kept() {
    let (server, Some(jvm)) = (login_page(), TestJvm::builder("17")) else { return };
    let (jvm, dir) = (jvm.arg("markers=321").start(), tempfile::tempdir().unwrap());
    let pid = jvm.pid().to_string();
    let dump = |output| {
        let words = ["shop", "cart", "prod", "--pid", &pid, "--output", output, "--dir", dir.path().to_str().unwrap()];
        Tool::new(&words).env("JMAP_DUMP_STORE", &signed(&server)).run().expect(0)
    };
    let receipt = dump("json").receipt();
    assert_eq!(receipt["object"]["verified"], "acknowledged");
    let kept = receipt["kept"]["path"].as_str().unwrap_or_else(|| panic!("nothing is kept: {receipt}"));
    assert_eq!(crate::common::hprof_check::assert_complete(kept).of("Marker"), 321);
    // No later run removes it, or stores it again.
    Tool::new(&["upload", "--resume", dir.path().to_str().unwrap(), "--store", "/nosuch"]).run().expect(0);
    let ended = dump("text");
    assert!(first_line(&ended).starts_with("acknowledged, not verified: http://"), "{}", first_line(&ended));
    assert!(Path::new(kept).exists());
}

#[test]
fn upload_to_a_server_that_closes_keeps_its_input() {
    // The answer comes at once, and the connection ends with it.
    for server in [
        login_page(),
        HostileStore::start(|asked| match asked.method.as_str() {
            "HEAD" => Reply::Close,
            _ => Reply::Whole(200, String::new(), Vec::new()),
        }),
    ] {
        let pod = Pod::new(1);
        let ended = pod.upload(&signed(&server), "").args(&["--delete", "--output", "text"]).run();
        if ended.code == 0 {
            assert!(first_line(&ended).starts_with("acknowledged, not verified: "), "{ended:?}");
        }
        assert!(pod.dump().exists(), "{ended:?}");
    }
}

#[test]
fn watcher_keeps_as_many_unverified_dumps_as_may_wait() {
    let (server, pod, dir) = (S3Server::start(), Pod::new(1), tempfile::tempdir().unwrap());
    server.forbid_looking();
    let words = ["watch", "shop", "cart", "prod", dir.path().to_str().unwrap(), "--max-local", "2"];
    let store = format!("s3://{BUCKET}");
    let tool = Tool::new(&words)
        .args(&["--store", &store, "--endpoint", &server.endpoint(), "--region", "us-east-1"])
        .with_key();
    let _watcher = Watcher::start(tool);
    let aside = || {
        let entries = std::fs::read_dir(dir.path().join("jmap-dump-tool/stored")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let mut all = Vec::new();
    for number in 0..4 {
        let begun = Instant::now();
        std::fs::copy(pod.dump(), dir.path().join(format!("java_pid{number}.hprof"))).unwrap();
        let dumps = || server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz")).count();
        while dumps() < number + 1 || !aside().iter().any(|name| !all.contains(name)) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", aside());
            std::thread::sleep(Duration::from_millis(50));
        }
        all.extend(aside());
        // Names tell the time in seconds.
        std::thread::sleep(Duration::from_millis(1100));
    }
    let left = aside();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|name| name.starts_with("unverified-2")), "{left:?}");
}

/// A store, its flags, its environment, and the key that is told.
type Wrong = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

/// Each of them made a library panic, or a link that nobody can use.
#[test]
fn settings_that_cannot_work_end_each_verb_with_2() {
    let (dump, dir) = (Pod::new(1), tempfile::tempdir().unwrap());
    let (file, dir) = (dump.dump(), dir.path().to_str().unwrap().to_owned());
    let file = file.to_str().unwrap();
    let verbs: [&[&str]; 7] = [
        &["list", "shop"],
        &["fetch", "shop/a.gz"],
        &["presign", "shop", "cart", "prod"],
        &["upload", "shop", "cart", "prod", file],
        &["watch", "shop", "cart", "prod", &dir],
        &["check", "shop", "cart", "prod", "--no-attach"],
        &["shop", "cart", "prod", "--pid", "1"],
    ];
    let wrong: [Wrong; 13] = [
        ("s3://b", &["--endpoint", "https://", "--region", "r"], &[], "endpoint"),
        ("s3://b", &["--endpoint", "http://h:99999", "--region", "r"], &[], "endpoint"),
        ("az://c", &["--endpoint", "http://h/a b", "--account", "a"], &[], "endpoint"),
        ("gs://b", &["--endpoint", "h:443"], &[], "endpoint"),
        ("oss://b", &["--endpoint", "oss-cn-x.aliyuncs.com", "--path-style", "true"], &[], "endpoint"),
        ("obs://b", &["--endpoint", "https://", "--path-style", "true"], &[], "endpoint"),
        ("s3://b", &["--region", "r"], &[("JMAP_DUMP_SESSION_TOKEN", "a\nb")], "session_token"),
        ("s3://b", &["--region", "eu west"], &[], "region"),
        ("s3://b c", &["--region", "r"], &[], "bucket"),
        ("s3://b/\u{1b}", &["--region", "r"], &[], "store"),
        ("az://c", &["--account", "a b"], &[], "account"),
        ("s3://b", &[], &[], "region"),
        ("s3://b", &["--region", "r", "--proxy", "http://h:99999"], &[], "proxy"),
    ];
    for verb in verbs {
        for (store, flags, environment, key) in wrong {
            let tool = Tool::new(verb).args(&["--store", store, "--retry-for", "1s"]).args(flags).with_key();
            let tool = tool.env("JMAP_DUMP_ACCOUNT_KEY", "a2V5");
            let ended = environment.iter().fold(tool, |tool, (name, value)| tool.env(name, value)).run();
            let what = format!("{verb:?} {store} {flags:?}: {}", ended.stderr);
            assert_eq!(ended.code, 2, "{what}");
            assert!(ended.stderr.contains(key) && !ended.stderr.contains("panicked"), "{what}");
            assert!(ended.stdout.is_empty() || verb[0] != "presign", "{what}");
        }
    }
    // The variables of a vendor, where they count.
    for (name, value) in [("AWS_REGION", "eu west"), ("AWS_ENDPOINT_URL", "https://"), ("AWS_SESSION_TOKEN", "a\nb")] {
        let tool = Tool::new(&["list", "shop", "--store", "s3://b"]).env("AWS_ACCESS_KEY_ID", "a");
        let ended = tool.env("AWS_SECRET_ACCESS_KEY", "b").env(name, value).run().expect(2);
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
    }
}

/// Whichever thread it is: the dump stays, and the status is 1.
#[test]
fn panic_of_any_thread_is_one_line_and_1() {
    let server = S3Server::start();
    for call in ["put a part", "send a part"] {
        let pod = Pod::new(1);
        let tool = pod.upload(&format!("s3://{BUCKET}"), &server.endpoint()).args(&["--region", "us-east-1"]);
        let ended =
            tool.args(&["--delete"]).with_key().env("JMAP_DUMP_FAULT", &format!("{call}/1:panic")).run().expect(1);
        let told: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains("WARN")).collect();
        assert_eq!(told.len(), 1, "{}", ended.stderr);
        assert!(told[0].starts_with("error: this program has a fault, at src/base/faults.rs:"), "{}", told[0]);
        assert!(pod.dump().exists());
    }
}

/// AWS: "Error responses", PermanentRedirect and AuthorizationHeaderMalformed; "HeadBucket", x-amz-bucket-region.
#[test]
fn region_that_the_store_names_is_told() {
    let header = "x-amz-bucket-region: eu-west-1\r\n".to_owned();
    let moved = "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint></Error>";
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
    for (status, header, body) in
        [(301, header.clone(), moved), (307, header.clone(), ""), (400, header, ""), (400, String::new(), malformed)]
    {
        let named = !header.is_empty();
        let server = HostileStore::start(move |_| Reply::Whole(status, header.clone(), body.as_bytes().to_vec()));
        let pod = Pod::new(1);
        let file = pod.dump();
        let words: [&[&str]; 3] =
            [&["list", "shop"], &["fetch", "shop/a.gz"], &["upload", "shop", "cart", "prod", file.to_str().unwrap()]];
        // An answer to HEAD has no body.
        for words in words.into_iter().filter(|words| named || words[0] != "fetch") {
            let ended = to(&server, words).run().expect(9);
            assert!(ended.stderr.contains("it names the region eu-west-1"), "{status} {words:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("--region"), "{status} {words:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn public_endpoint_that_oss_has_closed_is_told() {
    let body = "<Error><Code>PublicEndpointForbidden</Code><EC>0048-00000401</EC></Error>";
    let server = HostileStore::start(move |_| Reply::Whole(400, String::new(), body.as_bytes().to_vec()));
    let pod = Pod::new(1);
    let file = pod.dump();
    for words in [&["list", "shop"][..], &["upload", "shop", "cart", "prod", file.to_str().unwrap()]] {
        let ended = to(&server, words).run().expect(9);
        assert!(ended.stderr.contains("cname = true"), "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn bucket_in_the_endpoint_and_in_the_url_is_warned_of() {
    let server = HostileStore::start(|_| Reply::body(404, ""));
    let endpoint = format!("{}/dumps", server.url());
    let ended = to(&server, &["list", "shop"]).args(&["--endpoint", &endpoint]).run();
    assert!(ended.stderr.contains("the bucket dumps stands in the endpoint"), "{}", ended.stderr);
    let ended = to(&server, &["list", "shop"]).run();
    assert!(!ended.stderr.contains("stands in the endpoint"), "{}", ended.stderr);
}

#[track_caller]
fn assert_bounded(what: &str, tool: Tool, codes: &[i32]) {
    let (ended, most) = run_measured(tool.args(&["--deadline", "60s"]));
    println!("{what}: {most} MiB, exit status {}", ended.code);
    assert!(codes.contains(&ended.code), "{what}: {} {}", ended.code, ended.stderr);
    assert!(most < MEMORY, "{what} took {most} MiB: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("has a fault"), "{what}: {}", ended.stderr);
}

/// Whatever is asked, the answer has no end.
#[test]
fn endless_answer_takes_no_more_memory_than_its_bound() {
    let pod = Pod::new(1);
    let file = pod.dump();
    let file = file.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to_dir = dir.path().to_str().unwrap();
    for status in [200, 206, 207, 301, 400, 500] {
        let server = HostileStore::start(move |asked| match asked.method.as_str() {
            "HEAD" => Reply::Head(
                "Content-Length: 7\r\nETag: \"0\"\r\nLast-Modified: Sun, 22 Nov 2026 03:00:00 GMT\r\n".into(),
            ),
            _ => Reply::endless(status, b'x'),
        });
        let any = &[0, 1, 7, 8, 9];
        let what = |verb: &str| format!("{verb}, endless {status}");
        assert_bounded(&what("list"), to(&server, &["list", "shop"]), any);
        assert_bounded(&what("fetch"), to(&server, &["fetch", "shop/a.gz", "--to", to_dir]), any);
        assert_bounded(&what("upload"), to(&server, &["upload", "shop", "cart", "prod", file]), any);
        let dav =
            |words: &[&str]| Tool::new(words).args(&["--store", &format!("{}/dav", server.url()), "--retry-for", "1s"]);
        assert_bounded(&what("list, WebDAV"), dav(&["list", "shop"]), any);
        assert_bounded(&what("upload, WebDAV"), dav(&["upload", "shop", "cart", "prod", file]), any);
        let upload = Tool::new(&["upload", "shop", "cart", "prod", file, "--retry-for", "1s"]);
        assert_bounded(&what("signed URL"), upload.env("JMAP_DUMP_STORE", &signed(&server)), any);
    }
}

/// A token service, Huawei's listing, and pages that always name a next one.
#[test]
fn endless_answers_take_no_more_memory_than_their_bound() {
    let server = HostileStore::start(|_| Reply::endless(200, b'x'));
    let agent = format!("{}/v1", server.url());
    let list =
        |store: &str| Tool::new(&["list", "shop", "--store", store, "--retry-for", "1s", "--endpoint", &server.url()]);
    let by_agent = list("s3://b").args(&["--region", "r"]).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent);
    assert_bounded("token", by_agent, &[2, 9]);
    assert_bounded("obs", list("obs://b").args(&["--path-style", "true"]).with_key(), &[9]);
    let pages = HostileStore::start(|asked| {
        let page =
            asked.target.split("continuation-token=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok());
        let page: usize = page.unwrap_or(0);
        let entry = |number: usize| {
            let key = format!("heaps/shop/{}/{page}-{number}.gz", "k".repeat(900));
            format!(
                "<Contents><Key>{key}</Key><Size>7</Size><LastModified>2026-11-22T03:00:00.000Z</LastModified></Contents>"
            )
        };
        let all: String = (0..1000).map(entry).collect();
        let next = format!("<NextContinuationToken>{}</NextContinuationToken>", page + 1);
        Reply::body(200, &format!("<ListBucketResult><IsTruncated>true</IsTruncated>{next}{all}</ListBucketResult>"))
    });
    assert_bounded("pages without end", to(&pages, &["list", "shop"]), &[9]);
}

#[test]
fn listing_of_nested_elements_takes_no_more_memory() {
    let page = "<a>".repeat(10_000_000);
    let server = HostileStore::start(move |_| Reply::body(207, &page));
    assert_bounded("nested, WebDAV", Tool::new(&["list", "shop", "--store", &format!("{}/dav", server.url())]), &[9]);
    let page = "<a>".repeat(10_000_000);
    let server = HostileStore::start(move |_| Reply::body(200, &page));
    assert_bounded("nested, S3", to(&server, &["list", "shop"]), &[9]);
    let obs = Tool::new(&["list", "shop", "--store", "obs://b", "--path-style", "true", "--endpoint", &server.url()]);
    assert_bounded("nested, OBS", obs.args(&["--retry-for", "1s"]).with_key(), &[9]);
}

/// Whoever may write to the store can make it.
#[test]
fn deep_directory_of_a_local_store_is_left_out_of_its_list() {
    let store = tempfile::tempdir().unwrap();
    let place = store.path().join("shop/cart/prod");
    std::fs::create_dir_all(&place).unwrap();
    let name = "d".repeat(100);
    // Longer than a path may be, so that it is made in two halves.
    let below = |dir: &Path| (0..30).fold(dir.to_owned(), |dir, _| dir.join(&name));
    let other = tempfile::tempdir_in(&store).unwrap();
    std::fs::create_dir_all(below(&place)).unwrap();
    std::fs::create_dir_all(below(other.path())).unwrap();
    std::fs::rename(other.path().join(&name), below(&place).join(&name)).unwrap();
    std::fs::write(place.join("a.hprof.gz"), b"x").unwrap();
    let list = |words: &[&str]| Tool::new(words).args(&["--store", store.path().to_str().unwrap()]).run().expect(0);
    for words in [&["list", "shop"][..], &["list", "shop", "cart", "prod"]] {
        let ended = list(words);
        assert!(String::from_utf8_lossy(&ended.stdout).contains("a.hprof.gz"), "{ended:?}");
    }
}

#[test]
fn object_of_eight_exabytes_is_not_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let server = HostileStore::start(|asked| match asked.method.as_str() {
        "HEAD" => Reply::Head(format!(
            "Content-Length: {}\r\nETag: \"0\"\r\nLast-Modified: Sun, 22 Nov 2026 03:00:00 GMT\r\n",
            i64::MAX
        )),
        _ => Reply::body(404, ""),
    });
    let fetch = to(&server, &["fetch", "shop/a.gz", "--to", dir.path().to_str().unwrap()]);
    assert_bounded("8 EiB", fetch, &[6, 9]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// An upload's id and an ETag become parts of later requests.
#[test]
fn long_ids_of_a_store_are_refused() {
    let pod = Pod::new(1);
    let upload = |server: &HostileStore| to(server, &["upload", "shop", "cart", "prod", pod.dump().to_str().unwrap()]);
    let long = "i".repeat(60_000);
    let id = format!("<InitiateMultipartUploadResult><UploadId>{long}</UploadId></InitiateMultipartUploadResult>");
    let server = HostileStore::start(move |asked| match asked.method.as_str() {
        "POST" => Reply::body(200, &id),
        _ => Reply::body(404, ""),
    });
    assert_bounded("upload's id", upload(&server), &[9]);
    let server = HostileStore::start(move |asked| match asked.method.as_str() {
        "POST" => {
            Reply::body(200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
        }
        "PUT" => Reply::Whole(200, format!("ETag: \"{}\"\r\n", "e".repeat(60_000)), Vec::new()),
        _ => Reply::body(404, ""),
    });
    assert_bounded("ETag", upload(&server), &[7]);
}

#[test]
fn key_of_100_kb_is_refused() {
    let server = HostileStore::start(|_| Reply::body(404, ""));
    let long = format!("shop/{}.gz", "k".repeat(100_000));
    let ended = to(&server, &["fetch", &long]).run().expect(9);
    assert!(ended.stderr.contains("is no key of an object"), "{}", ended.stderr);
    let store = format!("s3://dumps/{}", "p".repeat(100_000));
    let ended = to(&server, &["list", "shop"]).args(&["--store", &store]).run().expect(2);
    assert!(ended.stderr.contains("longer than"), "{}", ended.stderr);
    assert!(server.asked().is_empty());
}

#[test]
fn damaged_gzip_leaves_no_journal_and_no_upload() {
    let server = S3Server::start();
    let dir = tempfile::tempdir().unwrap();
    let raw = std::fs::read(Pod::new(12).dump()).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&raw).unwrap();
    let whole = encoder.finish().unwrap();
    let mut flipped = whole.clone();
    flipped[7_000_000] ^= 0x55;
    let mut checksum = whole.clone();
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    let headless = [&whole[..2], &[0; 40][..]].concat();
    for (what, bytes) in
        [("flipped", &flipped), ("cut", &whole[..9_000_000].to_vec()), ("checksum", &checksum), ("head", &headless)]
    {
        let path = dir.path().join(format!("{what}.hprof.gz"));
        std::fs::write(&path, bytes).unwrap();
        let words = ["upload", "shop", "cart", "prod", path.to_str().unwrap(), "--store", &format!("s3://{BUCKET}")];
        let tool = Tool::new(&words).args(&["--endpoint", &server.endpoint(), "--region", "us-east-1"]);
        tool.with_key().run().expect(5);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, std::slice::from_ref(&path), "{what}");
        assert_eq!((server.objects(), server.unfinished_uploads()), (Vec::new(), Vec::new()), "{what}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn damage_after_a_failed_try_leaves_no_journal() {
    let (pod, dir) = (Pod::new(1), tempfile::tempdir().unwrap());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&std::fs::read(pod.dump()).unwrap()).unwrap();
    let mut bytes = encoder.finish().unwrap();
    let (path, server) = (dir.path().join("x.hprof.gz"), S3Server::start());
    std::fs::write(&path, &bytes).unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let upload = |endpoint: &str| {
        let words = ["upload", "shop", "cart", "prod", path.to_str().unwrap(), "--store", &format!("s3://{BUCKET}")];
        let flags = ["--endpoint", endpoint, "--region", "us-east-1", "--retry-for", "1s"];
        Tool::new(&words).args(&flags).with_key().run()
    };
    upload("http://127.0.0.1:1");
    let journal = dir.path().join("x.hprof.gz.upload");
    assert!(journal.exists());
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    upload(&server.endpoint()).expect(5);
    assert!(!journal.exists());
    assert_eq!(server.unfinished_uploads(), Vec::<String>::new());
}

/// A log, for example: it is no dump, and nobody has put a receipt beside it.
#[test]
fn missing_byte_of_a_file_without_receipt_ends_fetch_with_5() {
    let (store, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&b"# A fatal error has been detected\n".repeat(1000)).unwrap();
    let whole = encoder.finish().unwrap();
    std::fs::create_dir_all(store.path().join("shop")).unwrap();
    let fetch = |bytes: &[u8]| {
        std::fs::write(store.path().join("shop/hs_err.log.gz"), bytes).unwrap();
        let words = ["fetch", "shop/hs_err.log.gz", "--to", to.path().to_str().unwrap()];
        Tool::new(&words).args(&["--store", store.path().to_str().unwrap()]).run()
    };
    fetch(&whole[..whole.len() - 1]).expect(5);
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    fetch(&whole).expect(0);
}

/// A store that shows seven bytes, and answers a request for them with `range` and `body`.
pub fn store_with_range(range: &'static str, body: &'static [u8]) -> HostileStore {
    const TOLD: &str = "ETag: \"0\"\r\nLast-Modified: Sun, 22 Nov 2026 03:00:00 GMT\r\n";
    HostileStore::start(move |asked| match asked.method.as_str() {
        "HEAD" => Reply::Head(format!("Content-Length: 7\r\n{TOLD}")),
        _ if asked.target.contains(".json") => Reply::body(404, ""),
        _ => Reply::Whole(206, format!("Content-Range: bytes {range}\r\n{TOLD}"), body.to_vec()),
    })
}

#[test]
fn range_that_is_shorter_than_asked_is_no_success() {
    let to_dir = tempfile::tempdir().unwrap();
    let server = store_with_range("0-5/6", b"123456");
    let ended = to(&server, &["fetch", "shop/a.txt", "--to", to_dir.path().to_str().unwrap()]).run();
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(!to_dir.path().join("a.txt").exists());
}

/// The link is one for the key that the store has.
#[test]
fn signed_url_of_an_odd_prefix_stores_under_that_prefix() {
    let server = S3Server::start();
    let relay = Relay::before(&server.endpoint());
    relay.fail(Fault::answer(503, "").times(0));
    let store = format!("s3://{BUCKET}/~ops/100%");
    let words = ["presign", "shop", "cart", "prod", "--store", &store, "--endpoint", &relay.endpoint()];
    let ended = Tool::new(&words).args(&["--region", "us-east-1"]).with_key().run().expect(0);
    let url = String::from_utf8(ended.stdout).unwrap();
    let pod = Pod::new(1);
    let receipt = pod.upload(url.trim(), "").run().expect(0).receipt();
    let key = receipt["object"]["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with(&format!("{BUCKET}/~ops/100%/shop/")), "{key}");
    assert_eq!(server.objects(), [key.strip_prefix(&format!("{BUCKET}/")).unwrap()]);
}
