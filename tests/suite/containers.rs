//! The static binary alone in containers without shell, libc or CA bundle.

use std::io::Write;

use crate::common::bed::VERSIONS;
use crate::common::container::Container;
use crate::common::hprof_check::{Census, assert_complete};
use crate::common::tool::binary;

pub const INSIDE: &str = "/jmap-dump-tool";

/// Checks a dump that came through standard output.
#[track_caller]
pub fn census_of(dump: &[u8]) -> Census {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(dump).unwrap();
    assert_complete(file.path())
}

/// What the JVM made for itself is not ours: its attach socket lives as long as it does.
pub fn files_but_the_socket(container: &Container) -> Vec<(String, u64)> {
    container.files().into_iter().filter(|(path, _)| !path.contains(".java_pid")).collect()
}

#[test]
fn the_binary_alone_dumps_each_jvm_of_a_distroless_container_as_root_and_as_user() {
    for version in VERSIONS.into_iter().chain(["17-musl"]) {
        for uid in [0, 1000] {
            let Some(container) = Container::builder(version) else { continue };
            let container = container.uid(uid).gid(uid).arg("markers=321").start();
            container.copy_in(binary(), INSIDE);
            let before = files_but_the_socket(&container);
            let ended = container.exec(&[INSIDE, "--store", "-", "shop", "cart", "prod"]);
            assert_eq!(ended.code, 0, "JDK {version}, uid {uid}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), 321, "JDK {version}, uid {uid}");
            assert_eq!(files_but_the_socket(&container), before, "JDK {version}, uid {uid}");
            assert!(!container.log().contains("Full thread dump"), "JDK {version}: {}", container.log());
            assert_eq!(container.say("ping"), "pong");
        }
    }
}
