//! A mistyped verb: an error at a terminal, a warning elsewhere.

use std::path::Path;

use crate::common::tool::{Tool, binary};

/// The oldest contract: three words dump. None of these finds a JVM, and 3 says that a dump was to be.
#[test]
fn near_verb_warns_and_dumps_without_a_terminal() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    for (project, verb) in [
        ("lst", "list"),
        ("fetc", "fetch"),
        ("wach", "watch"),
        ("dmup", "dump"),
        ("List", "list"),
        ("uplaod", "upload"),
    ] {
        let none = ["--pid", "4000000", "--store", store];
        let ended = Tool::new(&[&[project, "cart", "prod"][..], &none].concat()).run().expect(3);
        let first = ended.stderr.lines().next().unwrap_or_default();
        let warning = format!(
            "WARN ] did you mean '{verb}'? '{project}' is no verb; for a project of that name type `dump {project} …`; this \
             dumps"
        );
        assert!(first.ends_with(&warning), "{}", ended.stderr);
        // Whoever says dump means it.
        let ended = Tool::new(&[&["dump", project, "cart", "prod"][..], &none].concat()).run().expect(3);
        assert!(!ended.stderr.contains("did you mean"), "{}", ended.stderr);
    }
    // Neither short verbs nor other words.
    for project in ["pss", "amr", "shop", "watcher", "helm", "lists-of-all"] {
        let ended = Tool::new(&[project, "cart", "prod", "--pid", "4000000", "--store", store]).run().expect(3);
        assert!(!ended.stderr.contains("did you mean"), "{}", ended.stderr);
    }
    for verb in ["list", "ps", "watch", "help"] {
        let ended = Tool::new(&["dump", verb, "cart", "prod", "--pid", "4000000", "--store", store]).run().expect(3);
        assert!(!ended.stderr.contains("verb"), "{}", ended.stderr);
    }
}

#[test]
fn near_verb_at_a_terminal_dumps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let command = |redirected: &str| {
        let run = format!("{} lst cart prod --pid 4000000 --store /tmp {redirected}", binary().display());
        let script = ["-qec", &run, "/dev/null"];
        Tool::of(Path::new("script"), &script).env("PATH", "/usr/bin:/bin").run()
    };
    let aside = dir.path().join("stdout");
    let message = "error: did you mean 'list'? 'lst' is no verb; for a project of that name type `dump lst …`";
    for redirected in ["", "</dev/null", &format!(">{}", aside.display())] {
        let ended = command(redirected);
        let seen = String::from_utf8_lossy(&ended.stdout).replace('\r', "");
        assert_eq!((ended.code, seen.trim_end()), (2, message), "{redirected}");
    }
    // Neither of both is a terminal: standard error alone does not count.
    assert_eq!(command(&format!("</dev/null >{}", aside.display())).code, 3);
}
