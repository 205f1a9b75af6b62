//! The pod of this process, by the Downward API or the host name.

use serde::{Deserialize, Serialize};

/// The pod's identity. The variables are convention, set by `fieldRef` in the pod's manifest
/// (Kubernetes: "Expose Pod Information to Containers Through Environment Variables").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The pod's name, or the host name, which is the same by default.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Pod {
    /// Reads the environment and the host name of this process.
    pub fn current() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            name: variable("POD_NAME").unwrap_or_else(host),
            pod_namespace: variable("POD_NAMESPACE"),
            node: variable("NODE_NAME"),
        }
    }
}
