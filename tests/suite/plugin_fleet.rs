//! Several pods by one command: one at a time, and no other after the first that is not well.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::kubectl::{FLEET, Kubectl, PATIENT};
use crate::common::s3::S3Server;
use crate::common::tool::Ended;
use crate::common::waiting::wait_until;
use crate::plugin::{SHELLS, WITH_TAR, container, settings};
use crate::recipes::stored;

const BY_LABEL: &[&str] = &["-l", "app=cart", "shop", "cart", "prod"];
const BY_OWNER: &[&str] = &["deploy/cart", "--all-pods", "shop", "cart", "prod"];

/// The line that each pod has while the fleet runs.
fn lines(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("kubectl jmap-dump: ") && line.contains("/6 cart-")).collect()
}

#[track_caller]
fn assert_line(ended: &Ended, number: usize, parts: &[&str]) {
    let lines = lines(ended);
    let line = lines.get(number - 1).unwrap_or_else(|| panic!("no line {number}: {}", ended.stderr));
    for part in parts {
        assert!(line.contains(part), "'{part}' is not in '{line}': {}", ended.stderr);
    }
}

#[track_caller]
fn summary(ended: &Ended) -> &str {
    ended.stderr.lines().rfind(|line| line.contains("pods dumped")).unwrap_or_else(|| panic!("{}", ended.stderr))
}

/// The dumps that came here.
fn files(kubectl: &Kubectl) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(kubectl.work()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Six pods, of two JVMs in turn.
fn six(shell: &[&str], words: &[&str], before: impl Fn(&mut Kubectl)) -> Option<(Kubectl, Ended)> {
    let (one, other) = (container(WITH_TAR)?.start(), container(WITH_TAR)?.start());
    let mut kubectl = Kubectl::fleet(&[&one, &other]);
    before(&mut kubectl);
    let ended = kubectl.typed(shell, words).wait();
    for container in [one, other] {
        assert_eq!(container.say("ping"), "pong");
        let left = std::fs::read_dir(container.path("/tmp")).unwrap().flatten();
        assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("jmap-dump-tool")));
    }
    assert_eq!(kubectl.temporary(), [""; 0]);
    Some((kubectl, ended))
}

#[test]
fn fleet_of_six_is_dumped_one_after_the_other() {
    let Some((kubectl, ended)) = six(SHELLS[0], BY_LABEL, |kubectl| {
        kubectl.settle = 1;
        // The fifth is not Ready for a while after the second was dumped.
        let script = "sed -i 's/|True|/|False|/' cart-5/line\n\
                      (sleep 2; date +%s%N >healed; mv healed ../healed; sed -i 's/|False|/|True|/' cart-5/line) >/dev/null 2>&1 &\n";
        kubectl.then("cart-2", script);
    }) else {
        return;
    };
    let ended = ended.expect(0);
    assert_eq!(kubectl.touched(), FLEET);
    let dumps = kubectl.dumps();
    let order: Vec<_> = dumps.iter().map(|(what, pod, _)| format!("{what} {pod}")).collect();
    let expected: Vec<_> = FLEET.iter().flat_map(|pod| [format!("begin {pod}"), format!("end {pod}")]).collect();
    assert_eq!(order, expected);
    for pair in dumps[1..].chunks(2).filter(|pair| pair.len() == 2) {
        assert!(pair[1].2 - pair[0].2 >= 1_000_000_000, "{dumps:?}");
    }
    let healed = kubectl.read("healed").trim().parse::<u128>().unwrap();
    assert!(dumps[4].2 >= healed + 1_000_000_000, "{healed}: {dumps:?}");
    assert_eq!(lines(&ended).len(), 6, "{}", ended.stderr);
    for (number, pod) in (1..).zip(FLEET) {
        assert_line(
            &ended,
            number,
            &[&format!("{number}/6 {pod}: expected pause 1 s, liveness budget 21 s; "), "; all Ready"],
        );
    }
    assert_line(&ended, 2, &["; waiting for cart-5; all Ready"]);
    assert!(summary(&ended).ends_with("6 of 6 pods dumped"), "{}", ended.stderr);
    let (files, named) = (files(&kubectl), String::from_utf8(ended.stdout.clone()).unwrap());
    assert_eq!(named.lines().count(), 6, "{named}");
    for (pod, name) in FLEET.iter().zip(named.lines()) {
        assert!(name.ends_with(&format!("_{pod}.hprof.gz")), "{name}");
        assert_eq!(assert_complete(kubectl.work().join(name)).of("Marker"), 77);
    }
    assert_eq!(files.len(), 6, "{files:?}");
    assert_eq!(ended.stderr.matches("written to standard output").count(), 6, "all receipts: {}", ended.stderr);
}

#[test]
fn third_pod_that_fails_stops_the_fleet() {
    let (server, Some(builder)) = (S3Server::start(), container(WITH_TAR)) else { return };
    let container = builder.start();
    // It has no JVM.
    let idle = Container::builder("17").unwrap().applets(WITH_TAR).uid(1000).gid(1000).tmpfs("/tmp", "300m").busybox();
    let idle = idle.entry(&["/bin/busybox", "sleep", "600"]).start();
    for (shell, words) in SHELLS.iter().zip([BY_OWNER, &["-l=app=cart", "--output=json", "shop", "cart", "prod"]]) {
        let kubectl = Kubectl::fleet(&[&container]);
        kubectl.pod("cart-3", &idle.exec_line(), PATIENT);
        let before = stored(&server).len();
        let words = [&settings(&kubectl, &server)[..], words].concat();
        let ended = kubectl.typed(shell, &words).wait().expect(3);
        assert_eq!(kubectl.touched(), FLEET[..3], "{}", ended.stderr);
        assert_eq!(stored(&server).len(), before + 2);
        assert_line(&ended, 2, &["; stored s3://dumps/heaps/shop/cart/prod/", "; all Ready"]);
        assert_line(&ended, 3, &["; STOP: cart-3 ended with status 3"]);
        let told = summary(&ended);
        let expected = "2 of 6 pods dumped, stopped: cart-3 ended with status 3; not touched: cart-4 cart-5 cart-6";
        assert!(told.ends_with(expected), "{told}");
        assert!(ended.stderr.contains("error: no JVM"), "{}", ended.stderr);
        let receipts = String::from_utf8_lossy(&ended.stdout);
        if words.contains(&"--output=json") {
            let codes: Vec<_> = receipts
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["exit_code"].clone())
                .collect();
            assert_eq!(codes, [0, 0, 3], "{receipts}");
        } else {
            assert_eq!(receipts.lines().filter(|line| line.starts_with("stored s3://")).count(), 2, "{receipts}");
        }
    }
}

#[test]
fn pod_that_is_deleted_in_the_middle_stops_the_fleet() {
    let before = |kubectl: &mut Kubectl| kubectl.then("cart-3", "rm -r cart-5");
    let Some((kubectl, ended)) = six(&["bash", "--posix"], BY_OWNER, before) else { return };
    let ended = ended.expect(1);
    assert_eq!(kubectl.touched(), FLEET[..3], "{}", ended.stderr);
    assert_line(&ended, 3, &["; STOP: cart-5 is gone"]);
    let told = "3 of 6 pods dumped, stopped: cart-5 is gone; not touched: cart-4 cart-5 cart-6";
    assert!(summary(&ended).ends_with(told), "{}", ended.stderr);
    let files = files(&kubectl);
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| assert_complete(file).of("Marker") == 77));
}

#[test]
fn pod_that_never_gets_ready_stops_the_fleet() {
    let before = |kubectl: &mut Kubectl| kubectl.then("cart-2", "sed -i 's/|True|/|False|/' cart-2/line");
    let Some((kubectl, ended)) = six(SHELLS[0], BY_LABEL, before) else { return };
    let ended = ended.expect(1);
    assert_eq!(kubectl.touched(), FLEET[..2], "{}", ended.stderr);
    assert_line(&ended, 2, &["; waiting for cart-2; STOP: not Ready within 2 s: cart-2"]);
    let told = "2 of 6 pods dumped, stopped: not Ready within 2 s: cart-2; not touched: cart-3 cart-4 cart-5 cart-6";
    assert!(summary(&ended).ends_with(told), "{}", ended.stderr);
    assert_eq!(files(&kubectl).len(), 2);
}

/// What may happen to any pod of the owner, dumped or not, with the label or without.
#[test]
fn whatever_befalls_a_pod_stops_the_fleet() {
    let rows = [
        ("sed -i 's/uid-cart-1/other/' cart-1/line", "cart-1 was replaced"),
        ("sed -i 's/0 0 0/0 1 0/' cart-2/line", "cart-2 was restarted"),
        ("sed -i 's/Running|True/Failed|False/' cart-6/line", "cart-6 has failed"),
        ("sed -i 's/True||/True|2026-11-30T00:00:00Z|/' cart-4/line", "cart-4 is being deleted"),
        ("rm -r canary", "canary is gone"),
        ("sed -i 's/True/False/' canary/line", "not Ready within 2 s: canary"),
        ("rm -r cart-3 cart-4", "cart-3 is gone, cart-4 is gone"),
        ("cp -r cart-6 cart-7; sed -i 's/cart-6/cart-7/; s/True/False/' cart-7/line", "not Ready within 2 s: cart-7"),
        ("touch ../down", "all pods, which cannot be listed"),
    ];
    for (row, (script, told)) in rows.iter().enumerate() {
        let kubectl = Kubectl::echoing(&FLEET);
        // Of the same Deployment, and without the label that was asked for.
        kubectl.pod("canary", "false", PATIENT);
        kubectl.write("pods/canary/selectors", "app=cart,canary=true\n");
        kubectl.write("workloads/Deployment.v1.apps/cart", "app=cart,canary=true,\n");
        kubectl.then("cart-2", script);
        let ended = kubectl.typed(SHELLS[row % 2], &[BY_LABEL, &["--store=s3://b/p"]].concat()).wait().expect(1);
        assert_eq!(kubectl.touched(), FLEET[..2], "{script}: {}", ended.stderr);
        assert_line(&ended, 2, &["STOP: ", told]);
        assert!(summary(&ended).contains("2 of 6 pods dumped"), "{script}: {}", ended.stderr);
    }
}

/// Its pods are known by its uid then, among all of the namespace.
#[test]
fn owner_that_may_not_be_read_is_watched_all_the_same() {
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.remove("workloads/ReplicaSet.v1.apps/cart-rs");
    for (name, owner) in [("canary", "uid-rs"), ("stranger", "uid-other")] {
        kubectl.pod(name, "false", PATIENT);
        kubectl.write(&format!("pods/{name}/selectors"), "");
        kubectl
            .write(&format!("pods/{name}/line"), &format!("{name}|u|Running|True||{owner}|apps/v1 ReplicaSet r|0\n"));
    }
    kubectl.then("cart-1", "rm -r stranger");
    kubectl.then("cart-2", "rm -r canary");
    let ended = kubectl.typed(SHELLS[0], &[BY_LABEL, &["--store=s3://b/p"]].concat()).wait().expect(1);
    assert_eq!(kubectl.touched(), FLEET[..2], "{}", ended.stderr);
    assert_line(&ended, 2, &["STOP: canary is gone"]);
}

#[test]
fn fleet_with_a_pod_that_is_not_ready_is_not_begun() {
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.write("pods/cart-6/line", "cart-6|u|Pending|False||uid-rs|apps/v1 ReplicaSet cart-rs|\n");
    let ended = kubectl.typed(SHELLS[0], BY_OWNER).wait().expect(1);
    assert!(kubectl.touched().is_empty(), "{}", ended.stderr);
    assert!(ended.stderr.contains("waiting until these pods are Ready: cart-6"), "{}", ended.stderr);
    assert!(summary(&ended).contains("0 of 6 pods dumped, stopped: not Ready"), "{}", ended.stderr);
}

/// Pods that have ended, and one that is just being deleted, are no part of it.
#[test]
fn pods_that_have_ended_are_no_part_of_a_fleet() {
    let kubectl = Kubectl::echoing(&FLEET[..4]);
    kubectl.write("pods/cart-1/line", "cart-1|u1|Failed|False||||\n");
    kubectl.write("pods/cart-2/line", "cart-2|u2|Succeeded|False||||\n");
    kubectl.write("pods/cart-3/line", "cart-3|u3|Running|False|2026-11-30T00:00:00Z|||0\n");
    kubectl.then("cart-4", "rm -r cart-1 cart-2 cart-3");
    let ended = kubectl.typed(SHELLS[0], &[BY_LABEL, &["--store=s3://b/p"]].concat()).wait().expect(0);
    assert_eq!(kubectl.touched(), ["cart-4"], "{}", ended.stderr);
    kubectl.pod("cart-1", "false", PATIENT);
    kubectl.write("pods/cart-1/selectors", "");
    kubectl.write("pods/cart-4/selectors", "");
    let ended = kubectl.typed(SHELLS[0], BY_LABEL).wait().expect(1);
    assert!(ended.stderr.contains("no pod that runs has the labels app=cart"), "{}", ended.stderr);
}

#[test]
fn more_than_ten_pods_need_yes() {
    let names: Vec<String> = (10..21).map(|number| format!("cart-{number}")).collect();
    let pods: Vec<&str> = names.iter().map(String::as_str).collect();
    let words = [BY_LABEL, &["--store=s3://b/p"]].concat();
    let kubectl = Kubectl::echoing(&pods);
    let ended = kubectl.typed(SHELLS[0], &words).wait().expect(2);
    assert!(ended.stderr.contains("11 pods are more than 10: say --yes"), "{}", ended.stderr);
    assert!(kubectl.touched().is_empty());
    let ended = kubectl.typed(SHELLS[0], &[&words[..], &["--yes"]].concat()).wait().expect(0);
    assert_eq!(kubectl.touched(), pods, "{}", ended.stderr);
    assert!(summary(&ended).ends_with("11 of 11 pods dumped"));
    let ten = Kubectl::echoing(&pods[..10]);
    ten.typed(SHELLS[1], &words).wait().expect(0);
    assert_eq!(ten.touched(), &pods[..10]);
}

#[test]
fn dry_run_of_a_fleet_shows_the_plan_and_touches_no_pod() {
    let of_set = &["sts/cart", "--all-pods", "shop", "cart", "prod"];
    for (shell, words) in SHELLS.iter().cycle().zip([BY_LABEL, BY_OWNER, of_set]) {
        let kubectl = Kubectl::echoing(&FLEET);
        kubectl.pod("cart-3", "false", "shared \ndefault side\ncontainer app 10 3 1\ncontainer side   \n");
        kubectl.write("pods/cart-4/line", "cart-4|u|Pending|False||uid-rs|apps/v1 ReplicaSet cart-rs|\n");
        let ended = kubectl.typed(shell, &[words, &["--dry-run"]].concat()).wait().expect(0);
        let plan = String::from_utf8_lossy(&ended.stdout);
        for line in [
            "6 pods, one at a time",
            "  cart-1  container app, liveness budget 21 s, Running\n",
            "  cart-3  container side, liveness budget none, Running\n",
            "  cart-4  container app, liveness budget 21 s, Pending, not Ready\n",
        ] {
            assert!(plan.contains(line), "'{line}' is missing: {plan}");
        }
        assert!(kubectl.touched().is_empty(), "{}", kubectl.log());
    }
}

#[test]
fn pause_that_is_too_long_stops_the_fleet() {
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.write("pods/cart-2/facts", "node n1\nshared \ndefault \ncontainer app 1 1 1\n");
    let ended = kubectl.typed(SHELLS[0], &[BY_LABEL, &["--store=s3://b/p"]].concat()).wait().expect(2);
    assert_eq!(kubectl.touched(), FLEET[..2], "{}", ended.stderr);
    assert_line(
        &ended,
        2,
        &["2/6 cart-2: expected pause 2 s, liveness budget 1 s; ", "STOP: cart-2 ended with status 2"],
    );
    assert!(ended.stderr.contains("would kill it during its dump"), "{}", ended.stderr);
}

#[test]
fn signal_ends_a_fleet_and_tells_what_was_done() {
    for (shell, signal, code) in [(SHELLS[0], Signal::TERM, 143), (SHELLS[1], Signal::INT, 130)] {
        let kubectl = Kubectl::echoing(&FLEET);
        kubectl.then("cart-1", "touch ../hold");
        let run = kubectl.typed(shell, &[BY_LABEL, &["--store=s3://b/p"]].concat());
        wait_until("the second dump", || kubectl.dumps().len() == 3);
        run.signal(signal);
        let ended = run.wait().expect(code);
        kubectl.remove("hold");
        assert_eq!(kubectl.touched(), FLEET[..2], "{}", ended.stderr);
        assert!(kubectl.log().contains("exec cart-2 -c app -- rm -f /tmp/jmap-dump-tool-"), "{}", kubectl.log());
        assert_line(&ended, 2, &["STOP: a dump that has begun goes on in the container"]);
        assert!(summary(&ended).contains("1 of 6 pods dumped"), "{}", ended.stderr);
        assert_eq!(String::from_utf8_lossy(&ended.stdout).matches("given shop cart prod").count(), 1, "{ended:?}");
        assert_eq!(kubectl.temporary(), [""; 0]);
    }
}
