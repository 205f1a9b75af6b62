//! Credentials that nobody wrote into our settings, each from a double of the service that gives them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::bed::cannot_run;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tokens::{
    self, AUTHORIZATION, BlackHole, EXCHANGED, IMPERSONATED, JWT, Relay, SESSION, TokenService,
};
use crate::common::tool::{Ended, Tool};

const HOUR: Duration = Duration::from_secs(3600);

/// The tool's directory, a dump in it, and files that secrets are mounted in.
pub struct Pod(tempfile::TempDir);

impl Pod {
    /// With a whole dump of so many MiB that cannot be compressed: no heap, only names.
    pub fn new(mebibytes: usize) -> Self {
        let mut dump = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..mebibytes {
            dump.extend(b"\x01\0\0\0\0");
            dump.extend((8 + (1u32 << 20)).to_be_bytes());
            dump.extend([0; 8]);
            for _ in 0..(1 << 17) {
                random = (random ^ (random << 13)).rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                dump.extend(random.to_be_bytes());
            }
        }
        dump.extend(b"\x2c\0\0\0\0\0\0\0\0");
        let pod = Self(tempfile::tempdir().unwrap());
        std::fs::write(pod.path("java_pid1.hprof"), dump).unwrap();
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn dump(&self) -> PathBuf {
        self.path("java_pid1.hprof")
    }

    /// A mounted file, which ends with a newline.
    pub fn mount(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn upload(&self, store: &str, endpoint: &str) -> Tool {
        let dump = self.path("java_pid1.hprof");
        let words = ["upload", "shop", "cart", "prod", dump.to_str().unwrap(), "--output", "json", "--store", store];
        let tool = Tool::new(&words).args(&["--retry-for", "3s"]).env("HOME", self.0.path().to_str().unwrap());
        if endpoint.is_empty() { tool } else { tool.args(&["--endpoint", endpoint]) }
    }

    fn with_s3(&self, endpoint: &str) -> Tool {
        self.upload(&format!("s3://{BUCKET}"), endpoint)
    }
}

#[track_caller]
fn assert_stored(server: &S3Server, ended: Ended) {
    let ended = ended.expect(0);
    let key = ended.receipt()["object"]["key"].as_str().unwrap().to_owned();
    assert!(server.objects().contains(&key), "{:?}", server.objects());
    assert!(!ended.stderr.contains(SECRET) && !ended.stderr.contains(SESSION), "{}", ended.stderr);
}

fn closed_to_s3(pod: &Pod, variable: &str, metadata: &str) -> Tool {
    pod.with_s3("http://127.0.0.1:1").env(variable, metadata)
}

#[test]
fn a_web_identity_becomes_credentials_of_its_role() {
    let (server, sts, pod) = (S3Server::start(), tokens::aws_sts(HOUR), Pod::new(1));
    let ended = pod
        .with_s3(&server.endpoint())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ROLE_ARN", "arn:aws:iam::1:role/dumps")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &pod.mount("token", JWT))
        .env("AWS_ENDPOINT_URL_STS", &sts.url())
        .run();
    assert_stored(&server, ended);
    let asked = &sts.asked()[0];
    assert_eq!(asked.field("Action").as_deref(), Some("AssumeRoleWithWebIdentity"));
    assert_eq!(asked.field("RoleArn").as_deref(), Some("arn:aws:iam::1:role/dumps"));
    assert_eq!(asked.field("WebIdentityToken").unwrap().trim(), JWT);
}

#[test]
fn pod_identity_and_token_value_give_credentials() {
    let (server, pod) = (S3Server::start(), Pod::new(1));
    let authorizations = [
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod.mount("token", AUTHORIZATION)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION.to_owned()),
    ];
    for (variable, value) in &authorizations {
        let agent = tokens::aws_container("127.0.0.1:0", HOUR);
        let address = format!("{}/v1/credentials", agent.url());
        let tool = pod.with_s3(&server.endpoint()).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address);
        assert_stored(&server, tool.env(variable, value).run());
        assert_eq!(agent.asked_for("/v1/credentials").header("authorization"), Some(AUTHORIZATION), "{variable}");
    }
}

#[test]
fn a_refusal_is_told_without_the_token() {
    let refusing =
        TokenService::start(|_, _| (403, format!(r#"{{"code": "Denied", "message": "{AUTHORIZATION} is old"}}"#)));
    let (pod, address) = (Pod::new(1), format!("{}/v1/credentials", refusing.url()));
    let tool = closed_to_s3(&pod, "AWS_CONTAINER_CREDENTIALS_FULL_URI", &address);
    let ended = tool.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION).run().expect(9);
    assert!(ended.stderr.contains("Denied: [secret] is old"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(AUTHORIZATION), "{}", ended.stderr);
}

/// The addresses of AWS; that of tasks is built into object_store.
#[test]
fn link_local_services_are_never_asked_through_a_proxy() {
    let test = || {
        let (server, pod) = (S3Server::start(), Pod::new(1));
        let metadata = tokens::aws_metadata("169.254.169.254:80");
        let task = tokens::aws_container("169.254.170.2:80", HOUR);
        let proxy = tokens::closed_store();
        let tool = || {
            let tool = pod.with_s3(&server.endpoint()).env("AWS_METADATA_ENDPOINT", "http://169.254.169.254");
            let tool = tool.env("NO_PROXY", "127.0.0.1");
            ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].iter().fold(tool, |tool, name| tool.env(name, &proxy.url()))
        };
        assert_stored(&server, tool().run());
        assert_eq!(metadata.asked_for("/latest/api/token").method, "PUT");
        assert_stored(&server, tool().env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1").run());
        assert_eq!(task.asked_for("/v2/credentials/1").method, "GET");
        assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    };
    if !tokens::in_own_network(&["169.254.169.254", "169.254.170.2"], test) {
        cannot_run("a network of its own needs root and 'ip'");
    }
}

#[test]
fn the_role_of_a_machine_comes_from_its_metadata_service() {
    let (server, metadata, pod) = (S3Server::start(), tokens::aws_metadata("127.0.0.1:0"), Pod::new(1));
    assert_stored(&server, pod.with_s3(&server.endpoint()).env("AWS_METADATA_ENDPOINT", &metadata.url()).run());
    assert!(metadata.asked().iter().any(|asked| asked.header("X-aws-ec2-metadata-token").is_some()));
    // What only speaks like S3 has no use for it, unless its address was set.
    pod.with_s3(&server.endpoint()).run().expect(2);
    pod.with_s3("").env("AWS_EC2_METADATA_DISABLED", "true").run().expect(2);
}

#[test]
fn silent_metadata_service_costs_three_seconds_at_most() {
    let (pod, store) = (Pod::new(1), tokens::closed_store());
    for hole in [BlackHole::silent(), BlackHole::closed()] {
        let (url, host) = (hole.url(), hole.url().replace("http://", ""));
        let s3 = || closed_to_s3(&pod, "AWS_METADATA_ENDPOINT", &url);
        let full = format!("{url}/v1/credentials");
        let container = || closed_to_s3(&pod, "AWS_CONTAINER_CREDENTIALS_FULL_URI", &full);
        let gs = || pod.upload("gs://dumps", &store.url()).env("GCE_METADATA_HOST", &host);
        let az = || pod.upload("az://dumps", &store.url()).args(&["--account", "a"]).env("AZURE_MSI_ENDPOINT", &url);
        let ways: [&dyn Fn() -> Tool; 4] = [&s3, &container, &gs, &az];
        for way in ways {
            // Other tests run beside: of three runs, the fastest tells.
            let mut times = (0..3).map(|_| time_without_credentials(way()));
            assert!(times.any(|time| time < Duration::from_secs(3)), "three runs took longer");
        }
    }
}

/// Tries of the store's client, and one address that hangs, would take as long as the store is tried.
#[track_caller]
fn time_without_credentials(tool: Tool) -> Duration {
    let begun = Instant::now();
    let ended = tool.args(&["--retry-for", "60s"]).run().expect(9);
    let time = begun.elapsed();
    assert!(time < Duration::from_secs(15), "{time:?}: {}", ended.stderr);
    assert!(ended.stderr.contains("there are no credentials"), "{}", ended.stderr);
    assert!(ended.stderr.contains("or this workload an identity"), "{}", ended.stderr);
    time
}

#[test]
fn a_profile_gives_its_keys_and_its_region() {
    let (server, pod) = (S3Server::start(), Pod::new(1));
    pod.mount(".aws/config", "[profile dev]\nregion = us-east-1\n\n[profile people]\nsso_session = corp\n");
    let keys = format!("aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\naws_session_token = {SESSION}");
    pod.mount(".aws/credentials", &format!("[dev]\n{keys}\n"));
    let of = |name: &str| pod.with_s3(&server.endpoint()).env("AWS_PROFILE", name);
    assert_stored(&server, of("dev").run());
    let people = of("people").run().expect(2);
    assert!(people.stderr.contains("IAM Identity Center (sso_session)"), "{}", people.stderr);
    assert!(people.stderr.contains("aws configure export-credentials"), "{}", people.stderr);
    assert!(of("nobody").run().expect(2).stderr.contains("there is no profile 'nobody'"));
}

#[test]
fn a_role_for_a_service_account_of_aliyun_is_assumed() {
    let (server, sts, pod) = (S3Server::start(), tokens::aliyun_sts(), Pod::new(1));
    let oss = || {
        let tool = pod.upload(&format!("oss://{BUCKET}"), &server.endpoint());
        tool.args(&["--region", "us-east-1", "--path-style", "true"])
    };
    let ended = oss()
        .env("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/dumps")
        .env("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack")
        .env("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &pod.mount("token", JWT))
        .env("ALIBABA_CLOUD_STS_ENDPOINT", &sts.url())
        .run();
    assert_stored(&server, ended);
    let asked = &sts.asked()[0];
    let expected = [
        ("Action", "AssumeRoleWithOIDC"),
        ("Version", "2015-04-01"),
        ("RoleArn", "acs:ram::1:role/dumps"),
        ("OIDCProviderArn", "acs:ram::1:oidc-provider/ack"),
        ("OIDCToken", JWT),
    ];
    for (name, value) in expected {
        assert_eq!(asked.field(name).as_deref(), Some(value), "{asked:?}");
    }
    assert_eq!((asked.method.as_str(), asked.field("Signature")), ("POST", None));
    let key = oss().env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET);
    assert_stored(&server, key.run());
    oss().run().expect(2);
}

/// The bearer tokens with which a run came to a store that lets nobody in.
#[track_caller]
fn bearers(store: &TokenService, tool: Tool) -> Vec<String> {
    let ended = tool.run().expect(9);
    assert!(!ended.stderr.contains(JWT) && !ended.stderr.contains("Bearer"), "{}", ended.stderr);
    store.asked().iter().filter_map(|asked| asked.header("authorization").map(str::to_owned)).collect()
}

// A double of Google's store takes the place of the closed one here: then the runs end with 0.
#[test]
fn google_token_comes_from_metadata_or_another_provider() {
    let (google, pod) = (tokens::bearer(), Pod::new(1));
    let store = tokens::closed_store();
    let metadata = google.url().replace("http://", "");
    let tool = pod.upload("gs://dumps", &store.url()).env("GCE_METADATA_HOST", &metadata);
    assert_eq!(bearers(&store, tool)[0], format!("Bearer {EXCHANGED}"));
    let asked = google.asked_for("/computeMetadata/v1/instance/service-accounts/default/token");
    assert_eq!(asked.header("metadata-flavor"), Some("Google"));
    let impersonation = "/v1/projects/-/serviceAccounts/a@p.iam:generateAccessToken";
    let account = serde_json::json!({ "type": "external_account", "audience": "//iam.googleapis.com/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": format!("{}/v1/token", google.url()),
        "service_account_impersonation_url": format!("{}{impersonation}", google.url()), "credential_source": {
        "file": pod.mount("token.json", &serde_json::json!({ "id_token": JWT }).to_string()),
        "format": { "type": "json", "subject_token_field_name": "id_token" } } });
    let (file, store) = (pod.mount("account.json", &account.to_string()), tokens::closed_store());
    let tool = pod.upload("gs://dumps", &store.url()).env("GOOGLE_APPLICATION_CREDENTIALS", &file);
    assert_eq!(bearers(&store, tool)[0], format!("Bearer {IMPERSONATED}"));
    let asked = google.asked_for("/v1/token");
    assert_eq!(asked.field("subject_token").as_deref(), Some(JWT));
    assert_eq!(asked.field("audience").as_deref(), Some("//iam.googleapis.com/pool"));
    assert_eq!(google.asked_for(impersonation).header("authorization"), Some(format!("Bearer {EXCHANGED}").as_str()));
}

/// Neither gcloud's file below the application's home nor its variables: the machine's own identity counts.
#[test]
fn google_identity_of_the_application_opens_no_file_store() {
    let test = || {
        let (google, elsewhere) = (tokens::bearer_at("169.254.169.254:80"), tokens::bearer());
        let (store, pod) = (tokens::closed_store(), Pod::new(1));
        let person = r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}"#;
        pod.mount(".config/gcloud/application_default_credentials.json", person);
        let file = pod.mount("settings.toml", &format!("store = \"gs://dumps\"\nendpoint = \"{}\"", store.url()));
        let dump = pod.path("java_pid1.hprof");
        let words = ["upload", "shop", "cart", "prod", dump.to_str().unwrap(), "--config", &file, "--retry-for", "3s"];
        let tool = Tool::new(&words).env("HOME", pod.0.path().to_str().unwrap());
        let tool = tool.env("GCE_METADATA_HOST", &elsewhere.url().replace("http://", ""));
        assert_eq!(bearers(&store, tool)[0], format!("Bearer {EXCHANGED}"));
        google.asked_for("/computeMetadata/v1/instance/service-accounts/default/token");
        assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
    };
    if !tokens::in_own_network(&["169.254.169.254"], test) {
        cannot_run("a network of its own needs root and 'ip'");
    }
}

#[test]
fn azure_token_comes_from_workload_or_metadata() {
    let (azure, pod) = (tokens::bearer(), Pod::new(1));
    let to = |store: &TokenService| pod.upload("az://dumps", &store.url()).args(&["--account", "dumps"]);
    let store = tokens::closed_store();
    let tool = to(&store)
        .env("AZURE_CLIENT_ID", "the-client")
        .env("AZURE_TENANT_ID", "the-tenant")
        .env("AZURE_FEDERATED_TOKEN_FILE", &pod.mount("token", JWT))
        .env("AZURE_AUTHORITY_HOST", &format!("{}/", azure.url()));
    assert_eq!(bearers(&store, tool)[0], format!("Bearer {EXCHANGED}"));
    let asked = azure.asked_for("/the-tenant/oauth2/v2.0/token");
    assert_eq!(asked.field("client_assertion").unwrap().trim(), JWT);
    let store = tokens::closed_store();
    let tool = to(&store).env("AZURE_MSI_ENDPOINT", &format!("{}/metadata/identity/oauth2/token", azure.url()));
    assert_eq!(bearers(&store, tool)[0], format!("Bearer {EXCHANGED}"));
    assert_eq!(azure.asked_for("/metadata/identity/oauth2/token").header("metadata"), Some("true"));
}

#[test]
fn a_token_that_ends_in_the_middle_of_an_upload_is_replaced() {
    let (server, pod) = (S3Server::start(), Pod::new(24));
    let minute = Duration::from_secs(60);
    let (agent, sts) = (tokens::aws_container("127.0.0.1:0", minute), tokens::aws_sts(minute));
    server.stall(Duration::from_millis(300));
    let of_agent = |tool: Tool| tool.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1", agent.url()));
    let token = pod.mount("token", JWT);
    let of_sts = |tool: Tool| {
        let tool = tool.env("AWS_ROLE_ARN", "arn").env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
        tool.env("AWS_ENDPOINT_URL_STS", &sts.url())
    };
    let ways: [&dyn Fn(Tool) -> Tool; 2] = [&of_agent, &of_sts];
    for way in ways {
        let relay = Relay::to(server.port());
        assert_stored(&server, way(pod.with_s3(&relay.url())).run());
        assert!(relay.session_tokens().len() > 2, "{:?}", relay.session_tokens());
    }
}

#[test]
fn secrets_are_read_from_mounted_files() {
    let (server, pod) = (S3Server::start(), Pod::new(1));
    let (id, key) = (pod.mount("id", KEY), pod.mount("key", &format!("{SECRET}\r")));
    let tool = || {
        let tool = pod.with_s3(&server.endpoint()).env("JMAP_DUMP_ACCESS_KEY_ID_FILE", &id);
        tool.env("JMAP_DUMP_SECRET_ACCESS_KEY_FILE", &key)
    };
    assert_stored(&server, tool().run());
    let both = tool().env("JMAP_DUMP_ACCESS_KEY_ID", KEY).run().expect(2);
    assert!(both.stderr.contains("access_key_id_file"), "{}", both.stderr);
    let absent = tool().env("JMAP_DUMP_ACCESS_KEY_ID_FILE", "/nowhere").run().expect(2);
    assert!(absent.stderr.contains("cannot read /nowhere"), "{}", absent.stderr);
}
