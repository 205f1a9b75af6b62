//! An API server as far as a real kubectl needs one to look at pods and their owners. It has no containers: each exec
//! is refused.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::manifest::deploy;
use super::tool::Ended;

/// It serves for as long as the test program runs.
pub struct ApiServer {
    requests: Arc<Mutex<Vec<String>>>,
    home: TempDir,
}

impl ApiServer {
    pub fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("the server's address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                // A client that goes away is none of the server's business.
                std::thread::spawn(move || answer(stream, &seen).ok());
            }
        });
        let home = tempfile::tempdir().expect("a directory for kubectl");
        symlink(deploy().join("kubectl-jmap_dump"), home.path().join("kubectl-jmap_dump")).expect("the plugin");
        std::fs::write(home.path().join("config"), config(port).to_string()).expect("a kubeconfig");
        ApiServer { requests, home }
    }

    /// Runs a real kubectl at this server; the plugin is in its PATH.
    pub fn kubectl(&self, words: &[&str]) -> Ended {
        let path = format!("{}:{}", self.home.path().display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("kubectl")
            .args(words)
            .envs([("KUBECONFIG", self.home.path().join("config")), ("HOME", self.home.path().to_owned())])
            .env("PATH", path)
            .output()
            .expect("kubectl");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }

    /// What was asked since the last time: "GET /api/v1/…".
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Two contexts, of which "other" has a namespace.
fn config(port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "c", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [
            { "name": "test", "context": { "cluster": "c", "user": "u" } },
            { "name": "other", "context": { "cluster": "c", "user": "u", "namespace": "other" } },
        ],
    })
}

/// One request, one connection.
fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut line = String::from("-");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match resource(path) {
        Some(body) => ("200 OK", body),
        None => (
            "404 Not Found",
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
            "message": "not found", "code": 404 }),
        ),
    };
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn resource(path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Some(match parts.as_slice() {
        ["api"] => json!({ "kind": "APIVersions", "versions": ["v1"] }),
        ["apis"] => {
            let version = json!({ "groupVersion": "apps/v1", "version": "v1" });
            let group = json!({ "name": "apps", "versions": [version], "preferredVersion": version });
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group] })
        }
        ["api", "v1"] => kinds("v1", &[("pod", "Pod", "po"), ("service", "Service", "svc")]),
        ["apis", "apps", "v1"] => kinds(
            "apps/v1",
            &[
                ("deployment", "Deployment", "deploy"),
                ("replicaset", "ReplicaSet", "rs"),
                ("statefulset", "StatefulSet", "sts"),
            ],
        ),
        [.., namespace, "pods"] => {
            let pods = ["cart-1", "cart-2", "cart-3"].map(|name| pod(namespace, name));
            json!({ "kind": "PodList", "apiVersion": "v1", "items": pods })
        }
        [.., namespace, "pods", name] => pod(namespace, name),
        [.., "replicasets", "cart-rs"] => {
            workload("ReplicaSet", json!({ "matchLabels": { "app": "cart", "hash": "1" } }), Some("cart"))
        }
        [.., "deployments", "cart"] => workload("Deployment", json!({ "matchLabels": { "app": "cart" } }), None),
        [.., "statefulsets", "cart"] => workload("StatefulSet", json!({ "matchLabels": { "app": "cart" } }), None),
        [.., "services", "cart"] => {
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "cart" },
                "spec": { "selector": { "app": "cart", "tier": "a" } } })
        }
        [.., "deployments", "odd"] => {
            let expressions = json!([
                { "key": "tier", "operator": "In", "values": ["a", "b"] },
                { "key": "old", "operator": "DoesNotExist" },
                { "key": "new", "operator": "Exists" },
                { "key": "zone", "operator": "NotIn", "values": ["c"] },
            ]);
            workload("Deployment", json!({ "matchLabels": { "app": "cart" }, "matchExpressions": expressions }), None)
        }
        _ => return None,
    })
}

fn kinds(version: &str, kinds: &[(&str, &str, &str)]) -> Value {
    let resource = |&(singular, kind, short): &(&str, &str, &str)| {
        json!({ "name": format!("{singular}s"), "singularName": singular, "namespaced": true, "kind": kind,
            "verbs": ["get", "list", "patch", "delete"], "shortNames": [short] })
    };
    let resources: Vec<Value> = kinds.iter().map(resource).collect();
    json!({ "kind": "APIResourceList", "groupVersion": version, "resources": resources })
}

fn workload(kind: &str, selector: Value, controller: Option<&str>) -> Value {
    let owners: Vec<Value> = controller.into_iter().map(|name| owner("Deployment", name)).collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": "cart", "ownerReferences": owners },
        "spec": { "selector": selector },
    })
}

fn owner(kind: &str, name: &str) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true })
}

/// The third has no owner.
fn pod(namespace: &str, name: &str) -> Value {
    let other = json!({ "apiVersion": "v1", "kind": "Other", "name": "other", "uid": "other" });
    let owners = if name == "cart-3" { json!([]) } else { json!([other, owner("ReplicaSet", "cart-rs")]) };
    let probe = json!({ "periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 1 });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "ownerReferences": owners },
        "spec": { "nodeName": "n1", "containers": [{ "name": "app", "image": "x", "livenessProbe": probe }] },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "app", "restartCount": 2 }, { "name": "side", "restartCount": 1 }],
            "initContainerStatuses": [{ "name": "first", "restartCount": 0 }],
        },
    })
}
