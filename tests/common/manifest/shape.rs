//! A container as the runtime would be told to make it for a container of a manifest.

use k8s_openapi::api::core::v1::{Container, EnvVar, SecurityContext};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Pod;
use crate::common::container::builder::Builder;

impl Pod {
    /// User, groups, root, capabilities, seccomp, limits, environment and mounts. The command is not set.
    #[track_caller]
    pub fn shape(&self, name: &str, builder: Builder) -> Builder {
        let container = self.container(name);
        let builder = self.identity(container, builder);
        let builder = hardening(container.security_context.as_ref(), builder);
        let builder = self.mounts(container, limits(container, builder));
        self.environment(container).iter().fold(builder, |builder, (name, value)| builder.env(name, value))
    }

    /// The variables of a container with their values; `$(NAME)` stands for one before it.
    #[track_caller]
    pub fn environment(&self, container: &Container) -> Vec<(String, String)> {
        let mut known: Vec<(String, String)> = Vec::new();
        for source in container.env_from.iter().flatten() {
            let of_settings = source.config_map_ref.iter().flat_map(|_| &self.cluster.settings);
            let of_secret = source.secret_ref.iter().flat_map(|_| &self.cluster.secret);
            known.extend(of_settings.chain(of_secret).map(|(name, value)| (name.clone(), value.clone())));
        }
        for variable in container.env.iter().flatten() {
            let value = self.value(container, variable);
            known.push((variable.name.clone(), expand(&value, &known)));
        }
        known
    }

    /// What the container says is stronger than what the pod says.
    fn identity(&self, container: &Container, builder: Builder) -> Builder {
        let ours = container.security_context.clone().unwrap_or_default();
        let pods = self.spec.security_context.clone().unwrap_or_default();
        let id = |ours: Option<i64>, pods: Option<i64>| u32::try_from(ours.or(pods).unwrap_or(0)).expect("an id");
        let (uid, gid) = (id(ours.run_as_user, pods.run_as_user), id(ours.run_as_group, pods.run_as_group));
        let profile = ours.seccomp_profile.or(pods.seccomp_profile);
        let builder = builder.uid(uid).gid(gid).groups(&self.fs_group().into_iter().collect::<Vec<_>>());
        if profile.is_some_and(|profile| profile.type_ == "RuntimeDefault") {
            builder.seccomp_default()
        } else {
            builder
        }
    }

    fn mounts(&self, container: &Container, builder: Builder) -> Builder {
        container.volume_mounts.iter().flatten().fold(builder, |builder, mount| {
            let host = self.volume(&mount.name);
            if mount.read_only == Some(true) {
                builder.bind_read_only(host, &mount.mount_path)
            } else {
                builder.bind(host, &mount.mount_path)
            }
        })
    }

    fn value(&self, container: &Container, variable: &EnvVar) -> String {
        let Some(source) = &variable.value_from else { return variable.value.clone().unwrap_or_default() };
        if let Some(field) = &source.field_ref {
            return format!("the-{}", field.field_path.replace('.', "-").to_lowercase());
        }
        let resource =
            source.resource_field_ref.as_ref().unwrap_or_else(|| panic!("{variable:?} is of an unknown kind"));
        let of = resource.container_name.as_ref().map_or(container, |name| self.container(name));
        let limit = resource.resource.strip_prefix("limits.").expect("a limit");
        let limits = of.resources.as_ref().and_then(|resources| resources.limits.as_ref()).expect("limits");
        quantity(&limits[limit]).to_string()
    }
}

/// `$(NAME)` stands for the value of a variable.
pub fn expand(text: &str, environment: &[(String, String)]) -> String {
    environment.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}

fn hardening(context: Option<&SecurityContext>, mut builder: Builder) -> Builder {
    let Some(context) = context else { return builder };
    if context.read_only_root_filesystem == Some(true) {
        builder = builder.read_only_root();
    }
    if context.allow_privilege_escalation == Some(false) {
        builder = builder.no_new_privs();
    }
    let dropped = context.capabilities.as_ref().and_then(|capabilities| capabilities.drop.as_deref());
    if dropped.is_some_and(|list| list.iter().any(|name| name == "ALL")) { builder.drop_caps() } else { builder }
}

fn limits(container: &Container, mut builder: Builder) -> Builder {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    if let Some(memory) = limits.and_then(|limits| limits.get("memory")) {
        builder = builder.memory_limit(quantity(memory));
    }
    if let Some(cpu) = limits.and_then(|limits| limits.get("cpu")) {
        let cpus = match cpu.0.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<f64>().expect("a number") / 1000.0,
            None => cpu.0.parse().expect("a number"),
        };
        builder = builder.cpu_quota(cpus);
    }
    builder
}

/// In bytes; only the suffixes that the manifests use.
fn quantity(quantity: &Quantity) -> u64 {
    let text = quantity.0.as_str();
    let (number, shift) = [("Ki", 10), ("Mi", 20), ("Gi", 30)]
        .iter()
        .find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, *shift)))
        .unwrap_or((text, 0));
    number.parse::<u64>().unwrap_or_else(|e| panic!("{text}: {e}")) << shift
}
