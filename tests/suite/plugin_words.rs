//! What users of kubectl type at the plugin: against the stand-in, and through a real kubectl.

use std::process::Command;

use crate::common::api_server::ApiServer;
use crate::common::bed::skip;
use crate::common::kubectl::{FLEET, Kubectl};
use crate::common::pages::blocks;
use crate::common::tool::{Ended, Tool};
use crate::plugin::SHELLS;

/// /bin/sh of macOS is a bash, too.
const ALL_SHELLS: [&[&str]; 3] = [SHELLS[0], SHELLS[1], &["bash", "--posix"]];

/// The command lines of kubectl that ran a dump: what comes before `exec`, the pod and container, what the tool was given.
fn dumps(kubectl: &Kubectl) -> Vec<(String, String, String)> {
    let log = kubectl.log();
    let of_dump = |line: &&str| line.contains(" dump shop ") && !line.contains(" --pid 0");
    let parts = |line: &str| {
        let (flags, rest) = line.split_once("exec ").expect("an exec");
        let (place, given) = rest.split_once(" -- ").expect("a command");
        let (_, given) = given.split_once(" dump ").expect("a dump");
        (flags.trim().to_owned(), place.trim_start_matches("-i ").to_owned(), given.to_owned())
    };
    log.lines().filter(of_dump).map(parts).collect()
}

const LINKED: &str = "shop cart prod --link 24h --store s3://b/p";

/// What is typed beside `shop cart prod --store s3://b/p`, then what kubectl is told, pod and container, what the tool is told.
const FORMS: &[(&[&str], &str, &str, &str)] = &[
    (&["cart-2"], "", "cart-2 -c app", LINKED),
    (&["pod/cart-2"], "", "cart-2 -c app", LINKED),
    (&["pods/cart-2"], "", "cart-2 -c app", LINKED),
    (&["deploy/cart"], "", "cart-1 -c app", LINKED),
    (&["deployment/cart"], "", "cart-1 -c app", LINKED),
    (&["sts/cart"], "", "cart-1 -c app", LINKED),
    (&["ds/cart"], "", "cart-1 -c app", LINKED),
    (&["rs/cart"], "", "cart-1 -c app", LINKED),
    (&["svc/cart"], "", "cart-1 -c app", LINKED),
    (&["-n", "shop", "cart-2"], "--namespace shop", "cart-2 -c app", LINKED),
    (&["-nshop", "cart-2"], "--namespace shop", "cart-2 -c app", LINKED),
    (&["-n=shop", "cart-2"], "--namespace shop", "cart-2 -c app", LINKED),
    (&["cart-2", "--namespace", "shop"], "--namespace shop", "cart-2 -c app", LINKED),
    (&["--namespace=shop", "sts/cart"], "--namespace shop", "cart-1 -c app", LINKED),
    (&["--context", "it's a test", "cart-2"], "--context it's a test", "cart-2 -c app", LINKED),
    (&["--context=test", "-nshop", "cart-2"], "--context test --namespace shop", "cart-2 -c app", LINKED),
    (&["--kubeconfig=k", "--as", "me", "cart-2"], "--kubeconfig k --as me", "cart-2 -c app", LINKED),
    (&["-c", "side", "pod/cart-2"], "", "cart-2 -c side", LINKED),
    (&["-cside", "-nshop", "deploy/cart"], "--namespace shop", "cart-1 -c side", LINKED),
    (&["cart-2", "--container=side"], "", "cart-2 -c side", LINKED),
    (&["--redact", "cart-2"], "", "cart-2 -c app", "shop cart prod --link 24h --redact --store s3://b/p"),
    (&["--redact", "all", "cart-2"], "", "cart-2 -c app", "shop cart prod --link 24h --redact all --store s3://b/p"),
    (&["--redact=all", "cart-2"], "", "cart-2 -c app", "shop cart prod --link 24h --redact=all --store s3://b/p"),
    (&["cart-2", "--link", "2h", "-v"], "", "cart-2 -c app", "shop cart prod --link 2h -v --store s3://b/p"),
    (&["--reason=-1 day", "cart-2"], "", "cart-2 -c app", "shop cart prod --link 24h --reason=-1 day --store s3://b/p"),
    (&["-ojson", "cart-2"], "", "cart-2 -c app", "shop cart prod --link 24h --output=json --store s3://b/p"),
    (&["-o", "json", "cart-2"], "", "cart-2 -c app", "shop cart prod --link 24h --output json --store s3://b/p"),
    (&["cart-2", "--dry-run"], "", "cart-2 -c app", "shop cart prod --link 24h --store s3://b/p --dry-run"),
];

#[test]
fn each_form_of_kubectl_reaches_its_pod() {
    for (row, (typed, flags, place, given)) in FORMS.iter().enumerate() {
        let kubectl = Kubectl::echoing(&FLEET);
        let shell = ALL_SHELLS[row % ALL_SHELLS.len()];
        let words = [typed, &["shop", "cart", "prod", "--store", "s3://b/p"][..]].concat();
        let ended = kubectl.typed(shell, &words).wait().expect(0);
        let expected = ((*flags).to_owned(), (*place).to_owned(), (*given).to_owned());
        assert_eq!(dumps(&kubectl), [expected], "{typed:?}: {}", ended.stderr);
        let log = kubectl.log();
        assert!(log.lines().all(|line| line.starts_with(flags)), "{typed:?}: {log}");
        let (pod, container) = place.split_once(" -c ").unwrap();
        let told = format!("pod {pod}, container {container}: expected pause 2 s, liveness budget ");
        assert!(ended.stderr.contains(&told), "{typed:?}: {}", ended.stderr);
    }
}

/// A pod that is called take is dumped, for `take` needs more words.
#[test]
fn take_is_passed_on_without_a_link_or_an_estimate() {
    let takes = |kubectl: &Kubectl| {
        let log = kubectl.log();
        let given = log.lines().filter_map(|line| Some(line.split_once(" take ")?.1.to_owned()));
        (given.collect::<Vec<_>>(), log.contains(" check ") || log.contains("--link"))
    };
    let store = ["--store", "s3://b/p"];
    for (row, (typed, times)) in [
        (&["take", "threads,info", "cart-2", "shop", "cart", "prod"][..], 1),
        (&["-nshop", "take", "threads,info", "deploy/cart", "shop", "cart", "prod"], 1),
        (&["-l", "app=cart", "take", "threads,info", "shop", "cart", "prod"], FLEET.len()),
    ]
    .into_iter()
    .enumerate()
    {
        let kubectl = Kubectl::echoing(&FLEET);
        kubectl.typed(ALL_SHELLS[row], &[typed, &store[..]].concat()).wait().expect(0);
        assert_eq!(takes(&kubectl), (vec!["threads,info shop cart prod --store s3://b/p".to_owned(); times], false));
    }
    let kubectl = Kubectl::echoing(&["take"]);
    kubectl.typed(SHELLS[0], &[&["take", "shop", "cart", "prod"], &store[..]].concat()).wait().expect(0);
    assert_eq!(dumps(&kubectl)[0].1, "take -c app");
    let kubectl = Kubectl::echoing(&FLEET);
    let here = ["take", "threads", "cart-2", "shop", "cart", "prod", "--store", "-"];
    let refused = kubectl.typed(SHELLS[0], &here).wait().expect(2);
    assert!(refused.stderr.contains("take wants a store"), "{}", refused.stderr);
    let few = kubectl.typed(SHELLS[0], &["take", "threads", "shop", "cart", "prod"]).wait().expect(2);
    assert!(few.stderr.contains("POD, PROJECT, APP and ENV are needed"), "{}", few.stderr);
}

#[test]
fn flags_come_before_between_and_after_the_words() {
    let words =
        ["--redact", "-nshop", "cart-2", "--store=s3://b/p", "shop", "--all", "cart", "-c", "app", "prod", "--link"];
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.typed(SHELLS[0], &[&words[..], &["1h", "--", "--force", "--dry-run"]].concat()).wait().expect(0);
    let given = "shop cart prod --redact --store=s3://b/p --all --link 1h --force --dry-run".to_owned();
    assert_eq!(dumps(&kubectl), [("--namespace shop".to_owned(), "cart-2 -c app".to_owned(), given)]);
}

#[test]
fn ready_pod_of_a_deployment_is_chosen() {
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.write("pods/cart-1/line", "cart-1|u1|Running|False|||0\n");
    kubectl.write("pods/cart-2/line", "cart-2|u2|Failed|False|||0\n");
    kubectl.write("pods/cart-3/line", "cart-3|u3|Running|True|2026-11-30T00:00:00Z||0\n");
    let ended =
        kubectl.typed(SHELLS[1], &["deploy/cart", "shop", "cart", "prod", "--store", "s3://b/p"]).wait().expect(0);
    assert_eq!(kubectl.touched(), ["cart-4"], "{}", ended.stderr);
}

#[test]
fn wrong_words_are_refused_before_any_pod_is_touched() {
    let rows: &[(&[&str], &str)] = &[
        (&["cart-2", "shop", "cart"], "are needed"),
        (&["cart-2", "shop", "cart", "prod", "more"], "one word too many"),
        (&["-l", "app=cart", "cart-2", "shop", "cart", "prod"], "with -l no pod is named"),
        (&["-l", "app=cart", "deploy/cart", "shop", "cart"], "is no name"),
        (&["cart-2", "sh op", "cart", "prod"], "is no name"),
        (&["cart-2", "shop", "cart", "prod", "--no-such-flag"], "--no-such-flag is not known"),
        (&["cart-2", "shop", "cart", "prod", "--store"], "--store wants a value"),
        (&["cart-2", "shop", "cart", "prod", "--all=yes"], "--all takes no value"),
        (&["cart-2", "shop", "cart", "prod", "--all-pods"], "--all-pods wants"),
        (&["a/b/c", "shop", "cart", "prod"], "neither POD nor KIND/NAME"),
        (&["-A", "cart-2", "shop", "cart", "prod"], "-A is not known"),
    ];
    for (typed, told) in rows {
        let kubectl = Kubectl::echoing(&FLEET);
        let ended = kubectl.typed(SHELLS[0], typed).wait().expect(2);
        assert!(ended.stderr.contains(told), "{typed:?}: {}", ended.stderr);
        assert_eq!(kubectl.log(), "", "{typed:?}");
    }
    for (typed, told) in [("no-such", "cannot look at pod no-such"), ("deploy/no", "cannot look at deploy/no")] {
        let kubectl = Kubectl::echoing(&FLEET);
        let ended = kubectl.typed(SHELLS[0], &[typed, "shop", "cart", "prod"]).wait().expect(1);
        assert!(ended.stderr.contains(told) && kubectl.touched().is_empty(), "{}", ended.stderr);
    }
}

/// The plugin has to know which words are values.
#[test]
fn plugin_knows_each_flag_of_a_dump() {
    let help = Tool::new(&["dump", "--help"]).run().expect(0);
    let help = String::from_utf8(help.stdout).unwrap();
    let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let ours = ["--help", "--force", "--dry-run", "--config"];
    let mut flags: Vec<&str> = Vec::new();
    for option in options {
        let long = option.split(' ').find(|word| word.starts_with("--")).unwrap();
        let name = long.split(['[', '=', '.']).next().unwrap();
        if !ours.contains(&name) {
            flags.push(name);
            flags.extend(option.contains(&format!("{name} <")).then_some("value"));
        }
    }
    assert!(flags.len() > 60, "{flags:?}");
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.typed(SHELLS[0], &[&["cart-2"], &flags[..], &["shop", "cart", "prod"]].concat()).wait().expect(0);
    assert_eq!(dumps(&kubectl)[0].2, format!("shop cart prod {}", flags.join(" ")));
}

/// What each form asks of the API server, by way of a real kubectl, which finds the plugin in the PATH.
#[test]
fn real_kubectl_understands_what_the_plugin_asks() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        return skip("there is no kubectl");
    }
    let rows: &[(&[&str], i32, &[&str])] = &[
        (&["-n", "shop", "cart-2"], 4, &["/shop/pods/cart-2", "/shop/pods/cart-2/exec", "container=app"]),
        (&["-nshop", "pod/cart-2", "-c", "side"], 4, &["/shop/pods/cart-2/exec", "container=side"]),
        (&["--namespace=shop", "deploy/cart"], 4, &["/shop/deployments/cart", "/shop/pods/cart-1/exec"]),
        (&["sts/cart", "--context", "other"], 4, &["/other/statefulsets/cart", "/other/pods/cart-1/exec"]),
        (&["-nshop", "svc/cart"], 4, &["labelSelector=app%3Dcart%2Ctier%3Da&", "/shop/pods/cart-1/exec"]),
        (&["--context=other", "-nshop", "deploy/cart"], 4, &["/shop/pods/cart-1/exec"]),
        (
            &["-nshop", "-l", "app=cart", "--dry-run"],
            0,
            &["labelSelector=app%3Dcart&", "/shop/replicasets/cart-rs", "/shop/deployments/cart", "/shop/pods/cart-3"],
        ),
        (&["-n=shop", "deploy/cart", "--all-pods", "--dry-run", "--redact"], 0, &["/shop/deployments/cart"]),
    ];
    let server = ApiServer::start();
    for (typed, status, asked) in rows {
        let ended = server.kubectl(&[&["jmap-dump"], *typed, &["shop", "cart", "prod"]].concat());
        assert_eq!(ended.code, *status, "{typed:?}: {ended:?}");
        let requests = server.requests();
        for part in *asked {
            assert!(requests.iter().any(|request| request.contains(part)), "{typed:?}, {part}: {requests:#?}");
        }
        let is_fleet = *status == 0;
        assert_eq!(requests.iter().any(|request| request.contains("/exec")), !is_fleet, "{typed:?}: {requests:#?}");
        if is_fleet {
            plan_is_told(&ended);
        }
    }
    // All operators that a workload may have.
    let selector = "app%3Dcart%2Ctier+in+%28a%2Cb%29%2C%21old%2Cnew%2Czone+notin+%28c%29&";
    server.kubectl(&["jmap-dump", "-nshop", "deploy/odd", "--all-pods", "--dry-run", "shop", "cart", "prod"]);
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.contains(selector)), "{requests:#?}");
}

const GUIDE: &str = include_str!("../../docs/plugin.md");

fn commands(beginning: &str) -> Vec<Vec<String>> {
    let lines = blocks(GUIDE, "console").into_iter().filter(|line| line.starts_with(beginning));
    lines.map(|line| line.split(' ').skip(1).map(str::to_owned).collect()).collect()
}

#[test]
fn each_command_of_the_guide_is_understood() {
    let commands = commands("kubectl jmap-dump ");
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let kubectl = Kubectl::echoing(&FLEET[..2]);
        kubectl.write("work/settings.toml", "");
        let words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        let ended = kubectl.typed(ALL_SHELLS[2], &words).wait().expect(0);
        let makes_none = words.contains(&"--dry-run") || words.contains(&"take");
        assert_eq!(dumps(&kubectl).is_empty(), makes_none, "{words:?}: {}", ended.stderr);
    }
}

/// What takes a pod out of its service and removes it.
#[test]
fn recipe_relabels_and_deletes_the_pod() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        return skip("there is no kubectl");
    }
    let server = ApiServer::start();
    for (beginning, request) in [("kubectl label ", "PATCH"), ("kubectl delete ", "DELETE")] {
        let commands = commands(beginning);
        let [command] = commands.as_slice() else { panic!("{commands:?}") };
        let ended = server.kubectl(&command.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "{ended:?}");
        let (requests, wanted) = (server.requests(), format!("{request} /api/v1/namespaces/shop/pods/cart-1"));
        assert!(requests.iter().any(|request| request.starts_with(&wanted)), "{requests:#?}");
    }
}

#[track_caller]
fn plan_is_told(ended: &Ended) {
    let plan = String::from_utf8_lossy(&ended.stdout);
    for pod in ["cart-1", "cart-2", "cart-3"] {
        let line = format!("  {pod}  container app, liveness budget 21 s, Running");
        assert!(plan.lines().any(|l| l == line), "{plan}");
    }
    assert!(plan.starts_with("3 pods, one at a time") && plan.contains("No pod was touched"), "{plan}");
}
