//! The default seccomp profile of the container tools, from their format to that of the runtime.

use std::fs;

use serde_json::{Map, Value, json};

const PROFILE: &str = "/usr/share/containers/seccomp.json";

/// Rules depend on the capabilities that the container has.
pub(super) fn default_profile(caps: &[String]) -> Value {
    let text = fs::read_to_string(PROFILE).unwrap_or_else(|e| panic!("{PROFILE}: {e}; run tests/bed/install.sh"));
    let profile: Value = serde_json::from_str(&text).expect("the seccomp profile is no JSON");
    let rules = profile["syscalls"].as_array().expect("no syscalls");
    let syscalls: Vec<Value> = rules.iter().filter(|rule| applies(rule, caps)).map(runtime_rule).collect();
    let mut result = json!({
        "defaultAction": profile["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": syscalls,
    });
    if profile["defaultErrnoRet"].is_u64() {
        result["defaultErrnoRet"] = profile["defaultErrnoRet"].clone();
    }
    result
}

fn applies(rule: &Value, caps: &[String]) -> bool {
    let includes = &rule["includes"];
    let excludes = &rule["excludes"];
    let has_cap = |name: &str| caps.iter().any(|cap| cap == name);
    let is_arch = |name: &str| matches!(name, "amd64" | "x86" | "x32");
    strings(&includes["caps"]).all(has_cap)
        && (includes["arches"].is_null() || strings(&includes["arches"]).any(is_arch))
        && !strings(&excludes["caps"]).any(has_cap)
        && !strings(&excludes["arches"]).any(is_arch)
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn runtime_rule(rule: &Value) -> Value {
    let mut result = Map::new();
    for key in ["names", "action", "errnoRet", "args"] {
        if !rule[key].is_null() {
            result.insert(key.to_owned(), rule[key].clone());
        }
    }
    result.into()
}
