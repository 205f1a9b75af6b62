//! A real WebDAV server, WsgiDAV, as a child process; it wants a password.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::azurite::Process;
use super::bed::{bed, cannot_run};

pub const USER: &str = "dumper";
/// With what has to be kept apart from the user's name, and from a URL.
pub const PASSWORD: &str = "pass:word/@ 1";
/// Both, as a request says them (RFC 7617).
pub const BASIC: &str = "ZHVtcGVyOnBhc3M6d29yZC9AIDE=";

pub struct WebDav {
    process: Process,
    root: tempfile::TempDir,
    _settings: tempfile::TempDir,
}

impl WebDav {
    pub fn start() -> Option<Self> {
        let packages = bed().join("webdav");
        // It was installed for this one.
        let Ok(python) = std::fs::read_to_string(packages.join(".python")) else {
            cannot_run("WsgiDAV is not there; run tests/bed/stores.sh");
            return None;
        };
        let root = tempfile::tempdir().expect("a directory for the server");
        let settings = tempfile::tempdir().expect("a directory for the server's settings");
        let process = Process::start("WsgiDAV", |port| {
            let file = settings.path().join(format!("{port}.json"));
            std::fs::write(&file, settings_of(port, root.path())).expect("the server's settings can be written");
            let mut command = Command::new(python.trim());
            command.args(["-m", "wsgidav.server.server_cli", "--config"]).arg(file).env("PYTHONPATH", &packages);
            command
        });
        Some(Self { process, root, _settings: settings })
    }

    /// The server; what it shares is below `/dav`.
    pub fn endpoint(&self) -> String {
        self.process.endpoint()
    }

    /// Where an object lies, by its path below `/dav`.
    pub fn object(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// All files, whatever their names.
    pub fn objects(&self) -> Vec<String> {
        files_below(self.root.path())
    }
}

/// Relative to `root`, sorted.
pub fn files_below(root: &Path) -> Vec<String> {
    let (mut found, mut dirs) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(name) = path.strip_prefix(root) {
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn settings_of(port: u16, root: &Path) -> String {
    let settings = serde_json::json!({
        "host": "127.0.0.1",
        "port": port,
        "server": "cheroot",
        "provider_mapping": {"/dav": root},
        "http_authenticator": {"accept_basic": true, "accept_digest": false, "default_to_digest": false},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "property_manager": true,
        "lock_storage": true,
        "logging": {"enable": false},
    });
    settings.to_string()
}
