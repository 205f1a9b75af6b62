//! `kubectl` as far as the plugin needs it: a script that answers for one pod and really execs into its container.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::container::Container;
use super::tool::{Run, binary, install};

pub const POD: &str = "cart-7d9f";

/// The streams go through other processes, as those of kubectl go through the API server: they can be cut.
const SCRIPT: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"$DIR/log"
while :; do
    case $1 in
        --context | --namespace) shift 2 ;;
        *) break ;;
    esac
done
case $1,$2,$3 in
    get,node,*) printf amd64; exit ;;
    get,pod,$POD) cat "$DIR/facts"; exit ;;
    exec,*) ;;
    *) echo "Error from server (NotFound): $2 $3" >&2; exit 1 ;;
esac
while [ "$1" != -- ]; do shift; done
shift
trap 'exit 0' USR1
streams=$(mktemp -d "$DIR/streams.XXXXXX")
mkfifo "$streams/out" "$streams/err"
exec 3<&0
held() {
    head -c 65536
    while [ -e "$DIR/hold" ]; do sleep 0.1; done
    exec cat
}
case "$* " in
    *" --store - "*) held <"$streams/out" & ;;
    *) cat "$streams/out" & ;;
esac
out=$!
cat "$streams/err" >&2 &
err=$!
env --default-signal $EXEC "$@" <&3 >"$streams/out" 2>"$streams/err" &
command=$!
echo "$out $err $command $$" >"$DIR/last.new"
mv "$DIR/last.new" "$DIR/last"
wait $command
code=$?
wait $out $err
exit $code
"#;

/// A machine with kubectl on it, and a cluster with one pod.
pub struct Kubectl {
    dir: TempDir,
    exec: String,
}

impl Kubectl {
    /// `facts` are what the plugin asks the API server for, after the node.
    pub fn of(container: &Container, facts: &str) -> Kubectl {
        let dir = tempfile::tempdir().expect("a directory for kubectl");
        for name in ["bin", "binaries", "work", "tmp"] {
            fs::create_dir(dir.path().join(name)).expect("a directory for kubectl");
        }
        let script = dir.path().join("kubectl.sh");
        fs::write(&script, SCRIPT).expect("kubectl");
        install(&script, &dir.path().join("bin/kubectl"));
        fs::write(dir.path().join("facts"), format!("node n1\n{facts}")).expect("the pod");
        symlink(binary(), dir.path().join("binaries/jmap-dump-tool-x86_64-linux-musl")).expect("the binary");
        Kubectl { dir, exec: container.exec_line() }
    }

    /// The plugin's `PROJECT APP ENV`, with options before them and flags of the tool after them, run by this shell.
    pub fn plugin(&self, shell: &[&str], options: &[&str], flags: &[&str]) -> Run {
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubectl-jmap_dump");
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(plugin).arg(POD).args(options).arg("--binary-dir").arg(self.binaries());
        command.args(["shop", "cart", "prod", "--"]).args(flags);
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Run {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.dir.path().join("bin").display());
        command.env_clear().env("PATH", path).env("POD", POD).env("DIR", self.dir.path()).env("EXEC", &self.exec);
        command.env("TMPDIR", self.dir.path().join("tmp")).current_dir(self.work());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Run { child: command.spawn().expect("the plugin can be started"), verbosity: 3, heard: None }
    }

    pub fn binaries(&self) -> PathBuf {
        self.dir.path().join("binaries")
    }

    /// Where the plugin is run.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// What the plugin keeps on the caller's machine while it runs.
    pub fn temporary(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("tmp")).expect("tmp").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// All command lines of kubectl so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// From now on, of a dump that comes here by `--store -` no more than its first bytes pass.
    pub fn hold(&self) {
        fs::write(self.dir.path().join("hold"), "").expect("a file that holds");
    }

    /// The connection of the last exec breaks; what runs in the container is not told.
    #[track_caller]
    pub fn cut(&self) {
        self.end(Signal::KILL);
    }

    /// The same; kubectl ends with 0 and without a word, as the real one does (kubernetes/kubectl #1208).
    #[track_caller]
    pub fn cut_in_silence(&self) {
        self.end(Signal::USR1);
    }

    /// The streams of the last exec break, then kubectl gets this signal.
    #[track_caller]
    fn end(&self, signal: Signal) {
        let last = fs::read_to_string(self.dir.path().join("last")).expect("an exec");
        let pids: Vec<Pid> = last.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        let (kubectl, streams) = pids.split_last().expect("an exec");
        // One may have ended with another.
        let _ = kill_process(*kubectl, signal);
        for stream in streams {
            let _ = kill_process(*stream, Signal::KILL);
        }
    }
}
