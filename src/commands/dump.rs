//! `dump`: settings, discovery, store, attach, plan, dump, pipeline, verdict, receipt.

use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use super::keep::keep;
use super::{Answer, Outcome, start_clock, tell};
use crate::attach::VirtualMachine;
use crate::cli::DumpArgs;
use crate::deadline::Deadline;
use crate::discovery::{Jvm, PROC, hsperfdata::PerfData, select};
use crate::error::Error;
use crate::heap_dump::{self, Capture, DumpError, HeapDump, Layout, NAME, Plan, PlanRequest, RoomError};
use crate::pipeline::{self, Effort, Piped, Source, Stream, Verdict};
use crate::pod::Pod;
use crate::progress::Progress;
use crate::run_id::run_id;
use crate::settings::{DumpSettings, Output};
use crate::single_run::{SingleRun, Turn};
use crate::spool::Spool;
use crate::store::key::ObjectKey;
use crate::store::receipt::{DumpFacts, JvmFacts, Receipt};
use crate::store::url::StoreUrl;
use crate::store::{StoreError, Upload, part_size};

/// The compressed dump's name beside the raw one.
const SPOOL: &str = "spool.hprof.gz";

/// The same in the object's order.
const IN_ORDER: &str = "in-order.hprof.gz";

/// A second dump is worth a second pause only when the first one was short.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);

/// More workers than this gain nothing: the JVM cannot write that fast.
const WORKERS_MAX: usize = 4;

pub fn run(args: &DumpArgs, watch_signals: &mut dyn FnMut(&Deadline)) -> Outcome {
    let settings = match DumpSettings::of_dump(args) {
        Ok(settings) => settings,
        Err(error) => return Outcome::failed(error),
    };
    let aside = settings.common.store.url == StoreUrl::Stdout;
    match start_clock(settings.common.deadline, watch_signals) {
        Ok(deadline) => match find_and_dump(&settings, &deadline) {
            Ok(outcome) => outcome,
            Err(error) => tell(new_receipt(&settings), Err(error), settings.common.output, aside).0,
        },
        Err(error) => Outcome::failed(error),
    }
}

fn find_and_dump(settings: &DumpSettings, deadline: &Deadline) -> Result<Outcome, Error> {
    let jvm = select(Path::new(PROC), &settings.target.selection)?;
    match SingleRun::take(&jvm, &wish(settings), deadline)? {
        Turn::Theirs(receipt) => retell(&receipt, settings),
        Turn::Ours(turn) => {
            let mut run = Run::new(settings, deadline, &jvm);
            let result = run.all_stages();
            drop(run.progress);
            let aside = settings.common.store.url == StoreUrl::Stdout;
            let (outcome, json) = tell(run.receipt, result, settings.common.output, aside);
            turn.tell(&json);
            Ok(outcome)
        }
    }
}

/// What this run is for: only another with the same wish can stand in for it. A dump that goes to our standard
/// output, and a dry run, are nobody else's.
fn wish(settings: &DumpSettings) -> String {
    let store = &settings.common.store;
    if store.url == StoreUrl::Stdout || settings.dry_run {
        return format!("of process {}", std::process::id());
    }
    let endpoint = store.endpoint.as_deref().unwrap_or_default();
    format!("{} {endpoint} {} live={}", store.url, settings.common.place, settings.target.live)
}

/// The receipt of the run that was faster, as our own.
fn retell(json: &str, settings: &DumpSettings) -> Result<Outcome, Error> {
    let receipt: Receipt = serde_json::from_str(json).map_err(|error| Error::Unexpected {
        what: "cannot read the other run's receipt".into(),
        source: std::io::Error::other(error),
    })?;
    let text = match settings.common.output {
        Output::Text => receipt.to_string(),
        Output::Json => format!("{json}\n"),
    };
    let code = receipt.exit_code;
    let result = if code == 0 { Ok(()) } else { Err(Error::OtherRun(code)) };
    Ok(Outcome { result, answer: Some(Answer { text, aside: false }) })
}

fn new_receipt(settings: &DumpSettings) -> Receipt {
    Receipt {
        tool: format!("jmap-dump-tool {}", crate::VERSION),
        run_id: run_id(),
        place: Some(settings.common.place.to_string()),
        started: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        pod: Pod::current(),
        ..Receipt::default()
    }
}

/// One dump on its way.
struct Run<'a> {
    settings: &'a DumpSettings,
    deadline: &'a Deadline,
    jvm: &'a Jvm,
    run_id: String,
    key: ObjectKey,
    progress: Progress,
    receipt: Receipt,
}

impl<'a> Run<'a> {
    fn new(settings: &'a DumpSettings, deadline: &'a Deadline, jvm: &'a Jvm) -> Self {
        let receipt = Receipt { jvm: Some(facts_of(jvm)), ..new_receipt(settings) };
        let run_id = receipt.run_id.clone();
        let key = ObjectKey::new(&settings.common.place, Utc::now(), &receipt.pod.name, jvm.pid(), &run_id);
        Self { settings, deadline, jvm, run_id, key, progress: Progress::start(), receipt }
    }

    fn all_stages(&mut self) -> Result<(), Error> {
        log::info!("dumping {}", self.jvm.describe());
        let mut upload = self.open_store()?;
        let vm = self.attach()?;
        let mut plan = self.plan(&vm)?;
        if self.settings.dry_run {
            self.receipt.nothing_done = Some(format!("dry run; the dump would go through {}", plan.dir.here));
            return Ok(());
        }
        let (piped, spool) = self.dump(&vm, &mut plan, upload.as_mut().ok())?;
        self.finish(piped, &spool, upload, &mut plan)
    }

    /// The probe: nothing is done to the JVM when the store cannot be used, unless the dump is to be kept here.
    fn open_store(&mut self) -> Result<Result<Upload, StoreError>, Error> {
        let begun = Instant::now();
        self.progress.stage("opening the store", None);
        let store = &self.settings.common.store;
        // How large the dump will be is not known before the JVM is asked; its resident memory bounds it well.
        let part_size = self.part_size();
        let opened = Upload::open(store, &self.key, part_size, self.deadline);
        self.receipt.time("store", begun.elapsed());
        match opened {
            Err(StoreError::Stopped(stopped)) => Err(stopped.into()),
            Err(error @ StoreError::Settings(_)) => Err(Error::store(error)),
            Err(error) if !self.settings.keep_when_store_is_down => Err(Error::StoreDown(error)),
            Err(error) => {
                self.receipt.warn("the store cannot be used; the dump will be kept here");
                Ok(Err(error))
            }
            Ok(upload) => Ok(Ok(upload)),
        }
    }

    /// Large enough parts for a dump of three times the JVM's memory.
    fn part_size(&self) -> u64 {
        part_size(Some(self.jvm.resident_bytes.saturating_mul(3)))
    }

    fn attach(&mut self) -> Result<VirtualMachine<'a>, Error> {
        let begun = Instant::now();
        self.progress.stage("attaching", None);
        let vm = VirtualMachine::attach(self.jvm, self.settings.target.attach_timeout, self.deadline);
        self.receipt.time("attach", begun.elapsed());
        Ok(vm?)
    }

    fn plan(&mut self, vm: &VirtualMachine<'_>) -> Result<Plan, Error> {
        let settings = self.settings;
        let request = PlanRequest {
            dirs: &settings.target.dirs,
            live: settings.target.live,
            force: settings.force,
            disk_limit: settings.target.disk_limit,
            run_id: &self.run_id,
        };
        let plan = heap_dump::plan(vm, &request, self.deadline)?;
        for warning in &plan.warnings {
            self.receipt.warn(warning.as_str());
        }
        Ok(plan)
    }

    /// The dump, through the pipeline into the spool: while the JVM writes it, where its layout allows that.
    fn dump(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &mut Plan,
        mut upload: Option<&mut Upload>,
    ) -> Result<(Piped, Spool), Error> {
        let total = plan.estimate.map(|estimate| estimate.raw_upper);
        self.progress.stage("the JVM is dumping", total);
        if !plan.can_be_captured() {
            return self.dump_then_read(vm, plan, upload);
        }
        let begun = Instant::now();
        let captured = self.capture(vm, plan, upload.as_deref_mut());
        let again = matches!(captured, Err(Error::Dump(DumpError::Merged { .. }))) && begun.elapsed() < AGAIN_WITHIN;
        // What has gone out of the first dump would be the start of the second.
        if !again || upload.as_ref().is_some_and(|upload| upload.has_parts()) {
            return captured;
        }
        self.receipt.warn("the JVM was faster than this tool: it dumps once more, and is read when it is done");
        plan.dir.remove_file(SPOOL).map_err(|source| RoomError::Io {
            what: "remove the compressed dump",
            path: format!("{}/{SPOOL}", plan.dir.here),
            source,
        })?;
        self.dump_then_read(vm, plan, upload)
    }

    fn dump_then_read(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &mut Plan,
        upload: Option<&mut Upload>,
    ) -> Result<(Piped, Spool), Error> {
        let live = self.settings.target.live;
        let (file, dump) = heap_dump::dump(vm, &plan.dir, live, &self.progress, self.deadline)?;
        self.tell_dump(&dump);
        self.progress.stage("compressing", file.metadata().ok().map(|meta| meta.len()));
        let piped = self.pipe(&mut Stream(file), &dump.path, plan, upload).and_then(|piped| self.verify(piped, &dump));
        self.or_keep_raw(piped, plan)
    }

    fn capture(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &mut Plan,
        upload: Option<&mut Upload>,
    ) -> Result<(Piped, Spool), Error> {
        let path = format!("{}/{NAME}", plan.dir.here);
        let mut capture = Capture::begin(vm, &plan.dir, plan.layout, self.settings.target.live, self.deadline)?;
        let piped = self.pipe(&mut capture, &path, plan, upload);
        if !capture.releases() {
            self.receipt.warn("the file system kept what was read until the end: the disk held the whole dump");
        }
        // The JVM's own words tell more than what its words did to the pipeline.
        let dump = match (&piped, capture.finish()) {
            (Err(Error::Stopped(_)), _) => return piped,
            (_, dump) => dump?,
        };
        self.tell_dump(&dump);
        match piped {
            // A part that was released while the JVM copied it looks damaged.
            Err(Error::Dump(DumpError::Malformed { .. })) if plan.layout == Layout::Parts => {
                Err(DumpError::Merged { path }.into())
            }
            piped => self.verify(piped?, &dump),
        }
    }

    fn tell_dump(&mut self, dump: &HeapDump) {
        self.receipt.time("dump", dump.took);
        self.receipt.dump = Some(DumpFacts {
            live_only: Some(self.settings.target.live),
            walk: None,
            words: Some(dump.words.clone()),
            pause: dump.pause_seconds,
        });
    }

    fn pipe(
        &mut self,
        raw: &mut impl Source,
        path: &str,
        plan: &Plan,
        upload: Option<&mut Upload>,
    ) -> Result<(Piped, Spool), Error> {
        let spool_path = format!("{}/{SPOOL}", plan.dir.here);
        let spool = plan.dir.create_file(SPOOL).map(Spool::new).map_err(|source| RoomError::Io {
            what: "create the compressed dump",
            path: spool_path.clone(),
            source,
        })?;
        // One processor is the JVM's: while it dumps, the application waits for it.
        let workers = available_parallelism().map_or(1, usize::from).saturating_sub(1).clamp(1, WORKERS_MAX);
        let effort = Effort { level: self.settings.common.level, workers, part_size: self.part_size() };
        let piped = pipeline::run(raw, &spool, upload, effort, &self.progress, self.deadline)
            .map_err(|error| Error::from_pipeline(error, path, &spool_path))?;
        self.receipt.time("compress", piped.took);
        Ok((piped, spool))
    }

    fn verify(&mut self, piped: (Piped, Spool), dump: &HeapDump) -> Result<(Piped, Spool), Error> {
        if let Some(facts) = &mut self.receipt.dump {
            facts.walk = Some(piped.0.walk.clone());
        }
        match Verdict::of(&piped.0.walk) {
            Some(_) => Ok(piped),
            None => Err(DumpError::Truncated { path: dump.path.clone(), bytes: piped.0.walk.bytes }.into()),
        }
    }

    /// A dump that the JVM called whole is not lost because the disk is full or the time is over.
    fn or_keep_raw(&mut self, piped: Result<(Piped, Spool), Error>, plan: &mut Plan) -> Result<(Piped, Spool), Error> {
        let damaged =
            |error: &Error| matches!(error, Error::Dump(DumpError::Truncated { .. } | DumpError::Malformed { .. }));
        let worth_keeping = piped.as_ref().is_err_and(|error| !damaged(error));
        // The spool is a copy of part of what is kept, or the raw dump of what is spooled: one of them goes.
        let surplus = if worth_keeping { SPOOL } else { NAME };
        if let Err(error) = plan.dir.remove_file(surplus) {
            log::debug!("cannot remove {surplus} in {}: {error}", plan.dir.here);
        }
        if worth_keeping {
            self.keep(plan, NAME, &self.key.raw_name());
        }
        piped
    }

    fn finish(
        &mut self,
        piped: Piped,
        spool: &Spool,
        upload: Result<Upload, StoreError>,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        self.progress.stage("finishing the upload", None);
        // The pipeline's caller has seen the end of the dump, or there would be no spool.
        let Some(verdict) = Verdict::of(&piped.walk) else { return Ok(()) };
        let stored = piped.sent.and(upload).and_then(|upload| upload.finish(&verdict, &piped.digest, spool));
        self.receipt.time("finish", begun.elapsed());
        match stored {
            Ok(finished) => {
                self.receipt.object = Some(finished.object.clone());
                let json = self.receipt.to_json().unwrap_or_default();
                if let Err(error) = finished.put_receipt(json.into_bytes()) {
                    self.receipt
                        .warn(format!("the dump is stored, its receipt is not: {}", Error::Store(error).chain()));
                }
                Ok(())
            }
            Err(error) => {
                self.keep_spool(spool, plan);
                Err(match error {
                    StoreError::Stopped(stopped) => stopped.into(),
                    other => Error::NotStored(other),
                })
            }
        }
    }

    /// The compressed dump, in the order of the object, under the name that it would have had.
    fn keep_spool(&mut self, spool: &Spool, plan: &mut Plan) {
        let name = self.key.dump_name();
        if spool.is_in_order() {
            return self.keep(plan, SPOOL, &name);
        }
        let copied = plan.dir.create_file(IN_ORDER).and_then(|file| spool.copy_to(&file));
        match copied.and_then(|()| plan.dir.remove_file(SPOOL)) {
            Ok(()) => self.keep(plan, IN_ORDER, &name),
            Err(error) => {
                plan.dir.keep();
                let warning = format!(
                    "{}/{SPOOL} holds the dump with its head behind its heap; no room to sort it",
                    plan.dir.here
                );
                self.receipt.warn(format!("{warning}: {error}"));
            }
        }
    }

    fn keep(&mut self, plan: &mut Plan, file: &str, name: &str) {
        match keep(&mut plan.dir, file, name, &self.settings.common) {
            Ok(kept) => self.receipt.kept = Some(kept),
            Err(error) => self.receipt.warn(format!("what is kept in {} could not be named: {error}", plan.dir.here)),
        }
    }
}

fn facts_of(jvm: &Jvm) -> JvmFacts {
    JvmFacts {
        pid: jvm.pid(),
        ns_pid: jvm.ns_pid,
        uid: jvm.identity.uid,
        version: jvm.perf_data.as_ref().and_then(PerfData::vm_version).map(str::to_owned),
        main_class: jvm.main_class.clone(),
    }
}
