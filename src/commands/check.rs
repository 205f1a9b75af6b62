//! `check`: tries every condition of a run without dumping.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::Serialize;

use super::dump::turn::Turn;
use super::{Answer, Failed, WatchSignals, start_clock};
use crate::attach::VirtualMachine;
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::base::units::{Bytes, Seconds};
use crate::cli::{CheckArgs, Flags};
use crate::compress::redaction::Redaction;
use crate::error::Error;
use crate::heap_dump::{self, Plan, PlanRequest};
use crate::jvm::mountinfo::Mount;
use crate::jvm::{Jvm, PROC, select};
use crate::object::key::ObjectKey;
use crate::object::part_size::PART_MIN;
use crate::object::pod::Pod;
use crate::settings::{CheckSettings, Output, Trial};
use crate::store::Upload;

/// Bytes that one core compresses in a second at the default level.
const GZIP_BYTES_PER_SECOND: u64 = 150 << 20;

/// YAML by which a pod tells its disk limits, which cannot be seen from inside a container.
const TELL_LIMITS: &str = "env:\n    - name: DISK_LIMIT\n      valueFrom: {resourceFieldRef: \
                           {resource: limits.ephemeral-storage}}\n    - {name: JMAP_DUMP_DISK_LIMIT, value: \
                           \"$(DISK_LIMIT),/dumps=SIZE\"}";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Unknown,
    Warning,
    Obstacle,
}

/// One condition, and what was found.
#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Seconds for which the application may stand still, for machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_seconds: Option<f64>,
}

/// All conditions that were tried so far, and the first obstacle.
#[derive(Default)]
struct Findings {
    lines: Vec<Line>,
    first: Option<Error>,
}

impl Findings {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.lines.push(Line { what, state: State::Ok, found: found.into(), remedy: None, pause_seconds: None });
    }

    fn other(&mut self, what: &'static str, state: State, found: impl Into<String>, remedy: &str) {
        self.lines.push(Line {
            what,
            state,
            found: found.into(),
            remedy: Some(remedy.to_owned()),
            pause_seconds: None,
        });
    }

    fn obstacle(&mut self, what: &'static str, error: impl Into<Error>) {
        let error = error.into();
        let (found, remedy) = (error.chain(), Some(error.hint("check")));
        self.lines.push(Line { what, state: State::Obstacle, found, remedy, pause_seconds: None });
        self.first.get_or_insert(error);
    }
}

pub fn run(args: &CheckArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = CheckSettings::of_check(args, flags)?;
    let deadline = start_clock(settings.deadline, watch_signals)?;
    let mut findings = Findings::default();
    match select(Path::new(PROC), &settings.target.selection) {
        Ok(jvm) => {
            findings.ok("jvm", jvm.describe());
            look_at(&jvm, &settings, &mut findings, &deadline);
        }
        Err(error) => findings.obstacle("jvm", error),
    }
    match &settings.trial {
        Some(trial) => try_store(trial, &mut findings, &deadline),
        None => findings.other("store", State::Unknown, "not tried", "name PROJECT APP ENV to try it"),
    }
    let text = match settings.output {
        Output::Text => findings.lines.iter().map(describe).collect(),
        Output::Json => serde_json::to_string(&findings.lines).unwrap_or_default() + "\n",
    };
    Answer::of(text).and(findings.first.map_or(Ok(()), Err))
}

fn look_at(jvm: &Jvm, settings: &CheckSettings, findings: &mut Findings, deadline: &Deadline) {
    match VirtualMachine::prospect(jvm) {
        Ok(()) => findings.ok("identity", format!("{}, which the JVM accepts", jvm.identity)),
        Err(error) => return findings.obstacle("attach", error),
    }
    if Turn::is_taken(jvm) {
        let remedy = "wait for it; a second run with the same aim reports the dump that it has stored";
        return findings.other("run", State::Warning, "another run is at this JVM: the rest was not tried", remedy);
    }
    if !settings.attach {
        return findings.other("attach", State::Unknown, "not tried", "leave out --no-attach to try it");
    }
    let begun = Instant::now();
    match VirtualMachine::attach(jvm, settings.target.attach_timeout, deadline) {
        Ok(vm) => {
            findings.ok("attach", format!("answered after {}", Seconds(begun.elapsed())));
            try_plan(&vm, settings, findings, deadline);
        }
        Err(error) => findings.obstacle("attach", error),
    }
}

fn try_plan(vm: &VirtualMachine<'_>, settings: &CheckSettings, findings: &mut Findings, deadline: &Deadline) {
    let run_id = run_id();
    let request = PlanRequest {
        store_dir: settings.trial.as_ref().and_then(|trial| trial.store.url.local_dir()),
        whole: settings.redact.as_ref().is_some_and(Redaction::needs_whole_dump),
        ..settings.target.plan_request(&run_id)
    };
    match heap_dump::plan(vm, &request, deadline) {
        Ok(plan) => tell_plan(&plan, settings, findings),
        Err(error) => findings.obstacle("room", error),
    }
}

fn tell_plan(plan: &Plan, settings: &CheckSettings, findings: &mut Findings) {
    let room = format!("{}: {} can be used ({})", plan.dir.here, Bytes(plan.room.free), plan.room.limit);
    if plan.warnings.is_empty() {
        findings.ok("room", room);
    }
    for warning in &plan.warnings {
        findings.other("room", State::Warning, warning, "mount a larger volume and name it with --dir");
    }
    let on_node_disk = plan.dir.mount.as_ref().is_some_and(Mount::is_node_disk);
    if on_node_disk && !settings.target.disk_limits.is_told_for(&plan.dir.inside) {
        findings.other(
            "disk limit",
            State::Unknown,
            "an ephemeral-storage limit and an emptyDir's sizeLimit cannot be seen from inside",
            TELL_LIMITS,
        );
    }
    let Some(estimate) = plan.estimate else { return };
    const AMPLE: &str = "give it a directory with ample room by --dir";
    let no_bound = plan.no_bound.unwrap_or_default();
    let Some((raw, longest)) = estimate.raw_upper.zip(estimate.pause()) else {
        return findings.other("size", State::Unknown, no_bound, AMPLE);
    };
    let found =
        format!("the dump has at most {}, and pauses the JVM for at most about {}", Bytes(raw), Seconds(longest));
    if plan.no_bound.is_some() {
        let likely =
            format!("{no_bound}; it may have about {}, and pause the JVM for about {}", Bytes(raw), Seconds(longest));
        return findings.other("size", State::Unknown, likely, AMPLE);
    }
    let pause_seconds = Some(longest.as_secs_f64());
    findings.lines.push(Line { what: "size", state: State::Ok, found, remedy: None, pause_seconds });
    let whole = longest + Duration::from_secs_f64(raw as f64 / GZIP_BYTES_PER_SECOND as f64);
    if whole > settings.deadline {
        let found = format!("the run may take {}, and the deadline is {}", Seconds(whole), Seconds(settings.deadline));
        findings.other("time", State::Warning, found, "give more time with --deadline");
    } else {
        findings.ok(
            "time",
            format!("at most about {} of {}, uploading not counted", Seconds(whole), Seconds(settings.deadline)),
        );
    }
}

/// Opens an upload at a key of its own, and gives it up again. The upload needs the same rights as a run, and leaves
/// nothing behind.
fn try_store(settings: &Trial, findings: &mut Findings, deadline: &Deadline) {
    let key = ObjectKey::new(&settings.place, Utc::now(), &Pod::current().name, 0, &run_id());
    match Upload::open(&settings.store, &key, PART_MIN, deadline) {
        Ok(_) if settings.store.url.is_presigned() => findings.other(
            "store",
            State::Unknown,
            format!("{} answers; whether the signature is good is seen when there is a dump", settings.store.url),
            "have it signed by 'presign' shortly before",
        ),
        Ok(_) => findings.ok("store", format!("takes uploads to {}", settings.store.url.of_key(&key.dump()))),
        Err(error) => findings.obstacle("store", Error::store(error)),
    }
}

fn describe(line: &Line) -> String {
    let state = match line.state {
        State::Ok => "ok",
        State::Unknown => "unknown",
        State::Warning => "warning",
        State::Obstacle => "OBSTACLE",
    };
    let remedy =
        line.remedy.as_ref().map(|remedy| format!("{:22}{}\n", "", remedy.replace('\n', "\n                      ")));
    format!("{:<10} {:<10} {}\n{}", state, line.what, printable(&line.found), remedy.unwrap_or_default())
}
