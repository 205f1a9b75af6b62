//! The requests themselves, against what Aliyun and Huawei document of their S3-compatible interfaces. The double is
//! the tool's proxy: so the hosts are the vendors' own, and no name is looked up.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::recorder::{Manners, Recorded, Recorder, Step, hex};
use crate::common::s3::{BUCKET, KEY};
use crate::common::tokens::SESSION;
use crate::common::tool::Tool;

/// One that speaks S3, and how its requests have to be addressed.
struct Cloud {
    scheme: &'static str,
    endpoint: &'static str,
    /// The bucket comes first (Alibaba Cloud: "S3 API on OSS: supported operations and limitations", request style;
    /// Huawei Cloud refuses the path style since 2023-12-30, Tencent/WeKnora#3269).
    host: &'static str,
    /// It stands in the endpoint's name.
    region: &'static str,
}

const CLOUDS: [Cloud; 2] = [
    Cloud {
        scheme: "oss",
        endpoint: "http://s3.oss-cn-beijing.aliyuncs.com",
        host: "dumps.s3.oss-cn-beijing.aliyuncs.com",
        region: "cn-beijing",
    },
    Cloud {
        scheme: "obs",
        endpoint: "http://obs.cn-north-4.myhuaweicloud.com",
        host: "dumps.obs.cn-north-4.myhuaweicloud.com",
        region: "cn-north-4",
    },
];

/// A dump of three parts, in a directory of its own.
struct Dump {
    _dir: tempfile::TempDir,
    path: String,
}

impl Dump {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("java_pid7.hprof");
        std::fs::write(&path, hprof(12_000_000)).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), _dir: dir }
    }
}

/// One UTF8 record that cannot be compressed, and the end (JDK: heapDumper.cpp, "HPROF binary format").
fn hprof(noise: u32) -> Vec<u8> {
    let mut bytes = b"JAVA PROFILE 1.0.2\0".to_vec();
    bytes.extend(8_u32.to_be_bytes());
    bytes.extend(0_u64.to_be_bytes());
    bytes.push(0x01);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(noise.to_be_bytes());
    // xorshift64 (Marsaglia, "Xorshift RNGs").
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..noise / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.extend([0x2C, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn through(recorder: &Recorder, scheme: &str, dump: &Dump) -> Tool {
    let store = format!("{scheme}://{BUCKET}/heaps");
    Tool::new(&["upload", "shop", "cart", "prod", &dump.path, "--output", "json", "--store", &store])
        .args(&["--proxy", &recorder.url(), "--retry-for", "2s"])
        .with_key()
}

fn upload(recorder: &Recorder, cloud: &Cloud, dump: &Dump) -> Tool {
    through(recorder, cloud.scheme, dump).args(&["--endpoint", cloud.endpoint])
}

#[test]
fn each_request_to_oss_and_obs_is_one_that_they_document() {
    let dump = Dump::new();
    for cloud in CLOUDS {
        let recorder = Recorder::start(Manners::default());
        let ended = upload(&recorder, &cloud, &dump).run().expect(0);
        let requests = recorder.requests();
        for request in &requests {
            assert_addressed(request, &cloud);
            assert_signed(request, cloud.region);
            assert_whole(request);
        }
        assert_parts(&requests);
        let others: Vec<Step> =
            requests.iter().map(Recorded::step).filter(|step| !matches!(step, Step::Part(_))).collect();
        assert_eq!(others, [Step::Open, Step::Complete, Step::Look, Step::Put], "{}", cloud.scheme);
        assert_eq!(ended.receipt()["object"]["verified"], "checksum", "{}", cloud.scheme);
    }
}

/// S3 is the same store under another name: what is as many as one answer holds may be a part.
#[test]
fn a_listing_without_tokens_is_listed_to_its_end() {
    for scheme in ["obs", "s3"] {
        let recorder = Recorder::start(Manners { listed: 1001, ..Manners::default() });
        let store = format!("{scheme}://{BUCKET}/heaps");
        let ended = Tool::new(&["list", "shop", "--output", "json", "--store", &store])
            .args(&["--endpoint", "http://obs.cn-north-4.myhuaweicloud.com", "--proxy", &recorder.url()])
            .with_key()
            .run()
            .expect(0);
        let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 1001, "{scheme}");
        let of_list = |request: &&Recorded| request.step() == Step::List;
        let (lists, expected) =
            (recorder.requests().iter().filter(of_list).count(), if scheme == "obs" { 2 } else { 3 });
        assert_eq!(lists, expected, "{scheme}");
    }
}

#[track_caller]
fn assert_addressed(request: &Recorded, cloud: &Cloud) {
    assert_eq!(request.header("host"), Some(cloud.host), "{request:?}");
    assert!(request.uri.path().starts_with("/heaps/shop/cart/prod/"), "{request:?}");
}

/// All that AWS wants signed, for the region (AWS: "Signature Calculations for the Authorization Header"; OSS and OBS
/// take the same form: Alibaba Cloud, errors 0002-00000416 to -423; huaweicloud-sdk-go-obs, SignatureV4).
#[track_caller]
fn assert_signed(request: &Recorded, region: &str) {
    let (scope, signed) = authorization(request);
    let day = &request.header("x-amz-date").unwrap()[..8];
    assert_eq!(scope, format!("{KEY}/{day}/{region}/s3/aws4_request"), "{request:?}");
    for name in ["host", "x-amz-content-sha256", "x-amz-date"] {
        assert!(signed.contains(&name), "{name} is not signed: {request:?}");
    }
    for name in request.header_names() {
        assert!(!name.starts_with("x-amz-") || signed.contains(&name), "{name} is not signed: {request:?}");
    }
}

/// Scope with the key, and the names of the signed headers.
#[track_caller]
fn authorization(request: &Recorded) -> (&str, Vec<&str>) {
    let words = request.header("authorization").unwrap_or_else(|| panic!("not signed: {request:?}"));
    let words = words.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap();
    let (scope, words) = words.split_once(", SignedHeaders=").unwrap();
    let (signed, signature) = words.split_once(", Signature=").unwrap();
    assert_eq!(signature.len(), 64, "{request:?}");
    (scope, signed.split(';').collect())
}

/// OSS knows no condition of a write (poco-ai/Agentero#362) and no aws-chunked body (Alibaba Cloud, error
/// 0017-00000804); OBS answers an unexpected hash of the body with XAmzContentSHA256Mismatch (PeerDB-io/peerdb#2602).
#[track_caller]
fn assert_whole(request: &Recorded) {
    for name in ["if-none-match", "if-match", "transfer-encoding", "x-amz-trailer", "x-amz-decoded-content-length"] {
        assert_eq!(request.header(name), None, "{request:?}");
    }
    assert!(!request.header("content-encoding").unwrap_or_default().contains("aws-chunked"), "{request:?}");
    assert_eq!(request.header("x-amz-content-sha256"), Some(request.sha256.as_str()), "{request:?}");
    if request.step() != Step::Look {
        assert_eq!(request.header("content-length"), Some(request.length.to_string().as_str()), "{request:?}");
    }
}

/// Each once, all but the last of one size (Cloudflare: "Multipart upload"), and completed by the ETags that the store
/// has told.
#[track_caller]
fn assert_parts(requests: &[Recorded]) {
    let number = |request: &Recorded| match request.step() {
        Step::Part(number) => Some(number),
        _ => None,
    };
    let mut parts: Vec<(usize, &Recorded)> =
        requests.iter().filter_map(|request| number(request).map(|number| (number, request))).collect();
    parts.sort_by_key(|(number, _)| *number);
    assert_eq!(parts.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((parts[0].1.length, parts[1].1.length), (5 << 20, 5 << 20));
    let completion = requests.iter().find(|request| request.step() == Step::Complete).unwrap();
    for (_, part) in parts {
        assert!(completion.text.contains(&hex(&part.md5)), "{}", completion.text);
    }
}

#[test]
fn a_session_token_goes_with_each_request_and_is_signed() {
    let dump = Dump::new();
    for cloud in CLOUDS {
        let recorder = Recorder::start(Manners::default());
        upload(&recorder, &cloud, &dump).env("JMAP_DUMP_SESSION_TOKEN", SESSION).run().expect(0);
        for request in recorder.requests() {
            assert_eq!(request.header("x-amz-security-token"), Some(SESSION), "{request:?}");
            assert!(authorization(&request).1.contains(&"x-amz-security-token"), "{request:?}");
            assert_signed(&request, cloud.region);
        }
    }
}

/// TLS ends the test at the tunnel; `store::backend` tests the rest of the endpoint's form.
#[test]
fn without_an_endpoint_the_host_is_the_bucket_s_in_the_region() {
    let dump = Dump::new();
    for (scheme, region, host) in [
        ("oss", "cn-hangzhou", "dumps.s3.oss-cn-hangzhou.aliyuncs.com:443"),
        ("obs", "cn-south-1", "dumps.obs.cn-south-1.myhuaweicloud.com:443"),
    ] {
        let recorder = Recorder::start(Manners::default());
        let ended = through(&recorder, scheme, &dump).args(&["--region", region]).run();
        assert_ne!(ended.code, 0, "{ended:?}");
        let requests = recorder.requests();
        assert!(!requests.is_empty(), "{ended:?}");
        for request in requests {
            let asked_for = request.uri.authority().map(|authority| authority.as_str());
            assert_eq!((request.step(), asked_for), (Step::Tunnel, Some(host)));
        }
    }
}

/// How far an upload to OSS counts as verified.
#[track_caller]
fn verified(manners: Manners) -> String {
    let recorder = Recorder::start(manners);
    let receipt = upload(&recorder, &CLOUDS[0], &Dump::new()).run().expect(0).receipt();
    receipt["object"]["verified"].as_str().unwrap().to_owned()
}

#[test]
fn other_checksum_never_counts_as_verified() {
    let recorder = Recorder::start(Manners { strange_part: Some(2), ..Manners::default() });
    let ended = upload(&recorder, &CLOUDS[0], &Dump::new()).run().expect(0);
    assert!(ended.stderr.contains("another part 2"), "{}", ended.stderr);
    assert_eq!(ended.receipt()["object"]["verified"], "size");
    let second = recorder.requests().iter().filter(|request| request.step() == Step::Part(2)).count();
    assert_eq!(second, 2, "it is sent once more");
}

/// OSS's is a unique value by rules of its own (Alibaba Cloud: "CompleteMultipartUpload").
#[test]
fn etag_that_is_no_checksum_does_not_hinder_the_upload() {
    assert_eq!(verified(Manners { opaque: true, ..Manners::default() }), "checksum");
}

#[test]
fn the_double_refuses_what_oss_refuses() {
    let recorder = Recorder::start(Manners::default());
    for line in ["If-None-Match: *", "Content-Encoding: aws-chunked"] {
        let mut stream = TcpStream::connect(recorder.address()).unwrap();
        let head = format!("PUT /x HTTP/1.1\r\nHost: x\r\n{line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{line}: {answer}");
    }
}

/// What creates an object says how it is encrypted, and no part does (AWS: "Specifying server-side encryption"; Alibaba
/// Cloud refuses it there).
#[test]
fn the_store_is_told_how_to_encrypt_where_an_object_is_created() {
    let dump = Dump::new();
    for (cloud, flags, expected) in [
        (&CLOUDS[0], &["--encryption", "sse"][..], vec![("x-oss-server-side-encryption", "AES256")]),
        (
            &CLOUDS[0],
            &["--kms-key-id", "k-1"],
            vec![("x-oss-server-side-encryption", "KMS"), ("x-oss-server-side-encryption-key-id", "k-1")],
        ),
        (&CLOUDS[1], &["--encryption", "sse-kms"], vec![("x-amz-server-side-encryption", "aws:kms")]),
        (
            &CLOUDS[1],
            &["--encryption", "sse-kms", "--kms-key-id", "k-2"],
            vec![("x-amz-server-side-encryption", "aws:kms"), ("x-amz-server-side-encryption-aws-kms-key-id", "k-2")],
        ),
    ] {
        let recorder = Recorder::start(Manners::default());
        upload(&recorder, cloud, &dump).args(flags).run().expect(0);
        for request in recorder.requests() {
            let creates = matches!(request.step(), Step::Open | Step::Put);
            for (name, value) in &expected {
                assert_eq!(request.header(name), creates.then_some(*value), "{name}: {request:?}");
            }
        }
    }
    for (scheme, flags) in [("az", ["--kms-key-id", "k"]), ("oss", ["--encryption", "dsse-kms"])] {
        let recorder = Recorder::start(Manners::default());
        let ended = through(&recorder, scheme, &dump).args(&flags).args(&["--region", "cn-hangzhou"]).run().expect(2);
        assert!(ended.stderr.contains("encryption is not possible"), "{}", ended.stderr);
        assert_eq!(recorder.requests().len(), 0);
    }
}

/// New accounts reach OSS by a domain of their own: it is the bucket (Alibaba Cloud: "Access OSS by custom domain name").
#[test]
fn a_domain_that_is_the_bucket_s_own_stays_as_it_is() {
    let (recorder, dump) = (Recorder::start(Manners::default()), Dump::new());
    let own = ["--endpoint", "http://heaps.example.com", "--region", "cn-hangzhou"];
    through(&recorder, "oss", &dump).args(&own).env("JMAP_DUMP_CNAME", "true").run().expect(0);
    for request in recorder.requests() {
        assert_eq!(request.header("host"), Some("heaps.example.com"), "{request:?}");
        assert!(request.uri.path().starts_with("/heaps/shop/cart/prod/"), "{request:?}");
    }
}
