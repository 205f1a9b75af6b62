//! A misspelt field is an error here, as with `kubectl apply --validate=strict`: what the types of Kubernetes read
//! and write again must be what was there.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Debug)]
pub enum Document {
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
    ConfigMap(Box<ConfigMap>),
    Secret(Box<Secret>),
    Role(Box<Role>),
    NetworkPolicy(Box<NetworkPolicy>),
    /// Of another kind, of which nothing is asked but that it can be read.
    Other,
    /// A part of one, which `kubectl debug --custom` takes.
    Container(Box<Container>),
}

/// The documents of a file, or of what kustomize prints.
pub fn read_all(yaml: &str) -> Result<Vec<Document>, String> {
    yaml.split("\n---\n").map(read).collect()
}

pub fn read(yaml: &str) -> Result<Document, String> {
    let input: Value = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    match input["kind"].as_str() {
        Some("Deployment") => typed(&input, &[]).map(|read| Document::Deployment(Box::new(read))),
        Some("StatefulSet") => typed(&input, &[]).map(|read| Document::StatefulSet(Box::new(read))),
        Some("ConfigMap") => typed(&input, &[]).map(|read| Document::ConfigMap(Box::new(read))),
        Some("Secret") => typed(&input, &[]).map(|read| Document::Secret(Box::new(read))),
        Some("Role") => typed(&input, &[]).map(|read| Document::Role(Box::new(read))),
        Some("NetworkPolicy") => typed(&input, &[]).map(|read| Document::NetworkPolicy(Box::new(read))),
        Some("RoleBinding") => typed::<RoleBinding>(&input, &[]).map(|_| Document::Other),
        Some("ClusterRole") => typed::<ClusterRole>(&input, &[]).map(|_| Document::Other),
        Some("ClusterRoleBinding") => typed::<ClusterRoleBinding>(&input, &[]).map(|_| Document::Other),
        Some(other) => Err(format!("kind {other} is not known here")),
        None => typed(&input, &["name"]).map(|read| Document::Container(Box::new(read))),
    }
}

/// `absent`: fields that need not be there although the type wants them.
fn typed<T: DeserializeOwned + Serialize>(input: &Value, absent: &[&str]) -> Result<T, String> {
    let typed: T = T::deserialize(input).map_err(|error| error.to_string())?;
    let mut output = serde_json::to_value(&typed).map_err(|error| error.to_string())?;
    for field in absent {
        output.as_object_mut().and_then(|fields| fields.remove(*field));
    }
    let mut found = Vec::new();
    compare(input, &output, "", &mut found);
    if found.is_empty() { Ok(typed) } else { Err(found.join("; ")) }
}

fn compare(input: &Value, output: &Value, path: &str, found: &mut Vec<String>) {
    match (input, output) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let unknown = ours.keys().filter(|key| !theirs.contains_key(*key));
            found.extend(unknown.map(|key| format!("{path}.{key} is no field")));
            let missing = theirs.keys().filter(|key| !ours.contains_key(*key));
            found.extend(missing.map(|key| format!("{path}.{key} is missing")));
            for (key, ours, theirs) in ours.iter().filter_map(|(key, ours)| Some((key, ours, theirs.get(key)?))) {
                compare(ours, theirs, &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                compare(ours, theirs, &format!("{path}[{index}]"), found);
            }
        }
        _ if input == output => {}
        _ => found.push(format!("{path} is {input}, read as {output}")),
    }
}
