//! Settings, secrets, tokens and logs: files that a user or a variable names.

use std::process::Command;

use super::{assert_says, mkfifo, prompt};
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::{Tool, binary, install};
use crate::keyless;

#[test]
fn fifo_as_settings_beside_the_program_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("jmap-dump-tool");
    install(binary(), &program);
    mkfifo(&dir.path().join("jmap-dump-tool.toml"));
    let ended = prompt("beside", Tool::of(&program, &["list", "shop"]));
    assert_says(&ended, 2, "it is a FIFO", "beside");
    assert_says(&prompt("install", Tool::of(&program, &["install", "/tmp"])), 6, "it is a FIFO", "install");
}

/// A vendor's variable counts where a user named the store.
#[test]
fn fifo_as_token_or_key_file_is_a_typed_error() {
    let pod = keyless::Pod::new(1);
    let fifo = tempfile::tempdir().unwrap();
    let fifo = fifo.path().join("fifo");
    mkfifo(&fifo);
    let fifo = fifo.to_str().unwrap();
    let (s3, gs, az) = (format!("s3://{BUCKET}"), "gs://dumps".to_owned(), "az://dumps".to_owned());
    let nobody = "http://127.0.0.1:1";
    let to = |store: &str| pod.upload(store, nobody);
    let cases = [
        ("web identity", to(&s3).env("AWS_ROLE_ARN", "arn").env("AWS_WEB_IDENTITY_TOKEN_FILE", fifo)),
        (
            "container",
            to(&s3)
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
                .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", fifo),
        ),
        ("profile", to(&s3).env("AWS_SHARED_CREDENTIALS_FILE", fifo).env("AWS_PROFILE", "dev")),
        ("account", to(&gs).env("GOOGLE_APPLICATION_CREDENTIALS", fifo)),
        ("account by flag", to(&gs).args(&["--service-account-file", fifo])),
        (
            "federated",
            to(&az)
                .args(&["--account", "a"])
                .env("AZURE_CLIENT_ID", "c")
                .env("AZURE_TENANT_ID", "t")
                .env("AZURE_AUTHORITY_HOST", nobody)
                .env("AZURE_FEDERATED_TOKEN_FILE", fifo),
        ),
        ("authority", to(&s3).env("AWS_ACCESS_KEY_ID", KEY).args(&["--ca-file", fifo])),
        ("bundle", to(&s3).env("AWS_ACCESS_KEY_ID", KEY).env("SSL_CERT_FILE", fifo)),
    ];
    for (what, tool) in cases {
        let ended = prompt(what, tool.env("AWS_EC2_METADATA_DISABLED", "true"));
        assert!([2, 9].contains(&ended.code), "{what}: {ended:?}");
        // Of credentials that may be the application's, and of a bundle, another one is taken.
        if !["container", "bundle"].contains(&what) {
            assert!(ended.stderr.contains("it is a FIFO"), "{what}: {}", ended.stderr);
        }
    }
}

/// As by a shell's `<(command)`, whose command takes its time.
#[test]
fn settings_and_secrets_may_come_through_a_pipe() {
    let (pod, server, dir) = (keyless::Pod::new(1), S3Server::start(), tempfile::tempdir().unwrap());
    let pipe = |name: &str, text: &str| {
        let path = dir.path().join(name).to_str().unwrap().to_owned();
        mkfifo(path.as_ref());
        let script = format!("sleep 0.2; echo '{text}' >{path}");
        (Command::new("sh").args(["-c", &script]).spawn().unwrap(), path)
    };
    let ((mut one, config), (mut other, secret)) = (pipe("config", "level = 2"), pipe("secret", SECRET));
    let tool = pod.upload(&format!("s3://{BUCKET}"), &server.endpoint()).args(&["--region", "us-east-1"]);
    let tool = tool.args(&["--config", &config]).env("JMAP_DUMP_ACCESS_KEY_ID", KEY);
    prompt("pipes", tool.env("JMAP_DUMP_SECRET_ACCESS_KEY_FILE", &secret)).expect(0);
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    assert!(server.objects().iter().any(|key| key.ends_with(".hprof.gz")));
}

#[test]
fn endless_settings_are_refused() {
    let ended = prompt("config", Tool::new(&["list", "shop", "--config", "/dev/zero"]));
    assert_says(&ended, 2, "longer than", "config");
    let tool = Tool::new(&["list", "shop", "--store", "s3://b"]).env("JMAP_DUMP_ACCESS_KEY_ID", KEY);
    let ended = prompt("secret", tool.env("JMAP_DUMP_SECRET_ACCESS_KEY_FILE", "/dev/zero"));
    assert_says(&ended, 2, "longer than", "secret");
}

#[test]
fn log_to_a_fifo_without_a_reader_is_a_warning() {
    let (pod, dir) = (keyless::Pod::new(1), tempfile::tempdir().unwrap());
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo);
    let store = tempfile::tempdir().unwrap();
    let tool = pod.upload(store.path().to_str().unwrap(), "").args(&["--log-to", fifo.to_str().unwrap()]);
    let ended = prompt("log", tool).expect(0);
    assert!(ended.stderr.contains("which --log-to names"), "{}", ended.stderr);
}
