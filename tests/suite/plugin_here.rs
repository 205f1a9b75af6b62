//! Dumps that the plugin brings to the caller's machine.

use std::os::unix::fs::PermissionsExt;

use crate::common::hprof_check::assert_complete;
use crate::common::kubectl::{Kubectl, POD};
use crate::common::tool::binary;
use crate::common::waiting::wait_until;
use crate::containers::{census_of, files_but_the_socket};
use crate::plugin::{FACTS, SHELLS, WITH_TAR, container, text};

#[test]
fn with_store_dash_the_dump_comes_here_and_is_verified() {
    for shell in SHELLS {
        let Some(builder) = container(WITH_TAR) else { return };
        let container = builder.start();
        let kubectl = Kubectl::of(&container, FACTS);
        let ended = kubectl.plugin(shell, &[], &["--store", "-", "--store-down", "keep"]).wait().expect(0);
        let name = text(&ended).trim().to_owned();
        assert!(name.starts_with("shop_cart_prod_20") && name.ends_with("Z.hprof.gz"), "{ended:?}");
        let file = kubectl.work().join(name);
        assert_eq!(assert_complete(&file).of("Marker"), 77);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(kubectl.work()).unwrap().count(), 1, "only the dump");
        assert!(ended.stderr.contains("written to standard output") && ended.stderr.contains(": whole"), "{ended:?}");
    }
}

/// As the first word of a new user would have it.
#[test]
fn without_any_store_the_dump_comes_here_and_is_verified() {
    let Some(builder) = container(WITH_TAR) else { return };
    let container = builder.start();
    let kubectl = Kubectl::of(&container, FACTS);
    let ended = kubectl.typed(SHELLS[0], &[POD, "shop", "cart", "prod"]).wait().expect(0);
    let file = kubectl.work().join(text(&ended).trim());
    assert_eq!(assert_complete(&file).of("Marker"), 77);
    for told in
        ["pod cart-7d9f, container app: expected pause 1 s, liveness budget none", "no store is named", ": whole"]
    {
        assert!(ended.stderr.contains(told), "'{told}' is missing: {}", ended.stderr);
    }
}

#[test]
fn store_that_the_container_knows_is_used() {
    let Some(builder) = container(WITH_TAR) else { return };
    let container = builder.env("JMAP_DUMP_STORE", "/tmp/stored").start();
    let kubectl = Kubectl::of(&container, FACTS);
    let ended = kubectl.typed(SHELLS[0], &[POD, "shop", "cart", "prod"]).wait().expect(0);
    assert!(text(&ended).starts_with("stored /tmp/stored/shop/cart/prod/"), "{ended:?}");
    assert_eq!(std::fs::read_dir(kubectl.work()).unwrap().count(), 0);
}

/// The sum of the receipt is that of what was sent: gzip alone does not notice that members are missing.
#[test]
fn dump_whose_bytes_changed_on_the_way_is_no_success() {
    let Some(builder) = container(WITH_TAR) else { return };
    let container = builder.start();
    let kubectl = Kubectl::of(&container, FACTS);
    kubectl.write("spoil", "");
    let ended = kubectl.typed(SHELLS[0], &[POD, "shop", "cart", "prod", "--store=-"]).wait().expect(1);
    assert!(ended.stderr.contains("when it was sent"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

/// In silence, or with a status of its own.
#[test]
fn dump_cut_on_its_way_here_fails_and_can_be_resumed() {
    for cut in [Kubectl::cut, Kubectl::cut_in_silence] {
        let Some(builder) = container(WITH_TAR) else { return };
        let container = builder.arg("mb=100").start();
        let kubectl = Kubectl::of(&container, FACTS);
        kubectl.hold();
        let run = kubectl.plugin(SHELLS[0], &[], &["--store", "-"]);
        let part =
            || std::fs::read_dir(kubectl.work()).unwrap().flatten().find(|e| e.metadata().is_ok_and(|m| m.len() > 0));
        wait_until("the first bytes", || part().is_some());
        cut(&kubectl);
        let ended = run.wait().expect(1);
        for told in ["is not whole", "pauses the application once more", "jmap-dump-tool-RUN", "upload --resume DIR"] {
            assert!(ended.stderr.contains(told), "'{told}' is missing: {}", ended.stderr);
        }
        assert!(part().unwrap().file_name().to_string_lossy().ends_with(".part"));
        // What the last line says, with the places filled in.
        container.copy_in(binary(), "/tmp/tool");
        let told = ended.stderr.lines().rfind(|line| line.contains("upload --store - ")).unwrap();
        let (_, words) = told.split_once(" -- TOOL ").unwrap();
        let is_kept = |path: &str| path.ends_with(".hprof.gz") && !path.ends_with("/spool.hprof.gz");
        let kept = || files_but_the_socket(&container).into_iter().find(|(path, _)| is_kept(path));
        wait_until("the dump that is kept", || kept().is_some());
        let words = words.split(' ').take_while(|word| !word.contains("RUN"));
        let path = kept().unwrap().0;
        assert!(path.starts_with("/tmp/jmap-dump-tool-"), "{path}");
        let command = [&["/tmp/tool"], &words.collect::<Vec<_>>()[..], &[path.as_str()]].concat();
        let mut ended = container.exec(&command);
        // The run that keeps it may still be at it.
        wait_until("the end of that run", || {
            let is_busy = ended.code == 2 && ended.stderr.contains("another process");
            if is_busy {
                ended = container.exec(&command);
            }
            !is_busy
        });
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), 77);
    }
}
