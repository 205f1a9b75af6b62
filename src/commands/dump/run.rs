//! One dump from the store's probe to the receipt: store, attach, plan, dump, verdict, object.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use chrono::Utc;

use super::context::context;
use super::destination::Destination;
use super::turn::Turn;
use crate::attach::VirtualMachine;
use crate::base::deadline::Deadline;
use crate::base::units::{Bytes, Seconds};
use crate::commands::link::add_link;
use crate::compress::verdict::Verdict;
use crate::delivery::resume_command::still_there;
use crate::delivery::{Delivery, tell_stored};
use crate::error::Error;
use crate::heap_dump::{self, PipePair, Plan, PlanRequest};
use crate::jvm::Jvm;
use crate::jvm::hsperfdata::PerfData;
use crate::kept::journal::Journal;
use crate::object::key::ObjectKey;
use crate::object::part_size::part_size;
use crate::object::receipt::{JvmFacts, Receipt};
use crate::object::stored::StoredObject;
use crate::settings::DumpSettings;
use crate::store::{PUT_MAX, StoreError, Upload};
use crate::terminal::progress::Progress;

/// One dump, from its beginning to its receipt.
pub(crate) struct Run<'a> {
    pub settings: &'a DumpSettings,
    pub deadline: &'a Deadline,
    pub jvm: &'a Jvm,
    run_id: String,
    pub key: ObjectKey,
    pub progress: Progress,
    pub receipt: Receipt,
    /// The journal of this run's upload.
    pub journal: Journal,
    /// True for live objects only, as the user asked for. The run changes it to false if there is no time for a
    /// collection.
    pub live: bool,
    /// The text with the answers to `--with`.
    pub context: Option<String>,
    /// True while the JVM writes a dump that it cannot be stopped from writing.
    pub jvm_writes: bool,
    /// The turn of this run on the JVM. The run may give it up before the end.
    pub turn: Cell<Option<Turn>>,
    /// Time when this run began to wait for another one, if it did.
    pub waited_since: Option<SystemTime>,
}

/// A dump is seldom smaller than its heap divided by this number. gzip makes it a third, and it may be larger than the
/// heap.
const COMPRESSED_TO: u64 = 4;

/// If less time than this is left, all of it is for the dump.
const CONTEXT_FROM: Duration = Duration::from_secs(10);

impl<'a> Run<'a> {
    pub fn new(settings: &'a DumpSettings, deadline: &'a Deadline, jvm: &'a Jvm, turn: Turn) -> Self {
        let receipt = Receipt {
            jvm: Some(facts_of(jvm)),
            reason: settings.reason.clone(),
            redacted: settings.common.redact.as_ref().map(|redact| redact.word().to_owned()),
            ..settings.common.new_receipt()
        };
        let run_id = receipt.run_id.clone();
        let key = ObjectKey::new(&settings.common.place, Utc::now(), &receipt.pod.name, jvm.pid(), &run_id);
        let mut run = Self {
            settings,
            deadline,
            jvm,
            run_id,
            key,
            progress: Progress::start(),
            receipt,
            journal: Journal::default(),
            live: settings.target.live,
            context: None,
            jvm_writes: false,
            waited_since: turn.waited_since,
            turn: Cell::new(Some(turn)),
        };
        run.receipt.wish = run.wish();
        run
    }

    pub fn all_stages(&mut self) -> Result<(), Error> {
        if self.tell_stored_meanwhile()? {
            return Ok(());
        }
        let (judged, vm) = self.measure()?;
        if !self.is_worth_it(judged) {
            return Ok(());
        }
        log::info!("dumping {}", self.jvm.describe());
        let pipes = self.settings.no_disk.then(|| PipePair::open(self.jvm, self.deadline)).transpose()?;
        let mut destination = self.open_store()?;
        if let Some((sealed, spool)) = self.sealed_meanwhile()? {
            return self.send_sealed(&sealed, spool, destination.into_upload());
        }
        let vm = vm.map_or_else(|| self.attach(), Ok)?;
        let mut plan = self.plan(&vm, destination.is_store())?;
        if self.settings.dry_run {
            self.receipt.nothing_done = Some(format!("dry run; the dump would go through {}", plan.dir.here));
            return Ok(());
        }
        self.plan_size(&plan)?;
        self.ask_besides(&vm)?;
        self.plan_time(&plan)?;
        if let Some(pipes) = pipes {
            // If the store is down, a run without a disk ends: there is nothing to keep.
            let mut upload = destination.into_upload().map_err(Error::StoreDown)?;
            let delivery = self.dump_straight(&vm, &plan, pipes, &mut upload)?;
            return self.finish(delivery, Destination::Store(upload), &plan);
        }
        let delivery = self.dump(&vm, &mut plan, destination.upload_mut())?;
        self.finish(delivery, destination, &plan)
    }

    /// Probes the store by opening the upload. If the store cannot be used, nothing is done to the JVM, unless the dump
    /// is to be kept here.
    fn open_store(&mut self) -> Result<Destination, Error> {
        let begun = Instant::now();
        self.progress.stage("opening the store", None);
        let store = &self.settings.common.store;
        // The size of the dump is not known before the JVM is asked. The JVM's resident memory is a good bound.
        let part_size = self.part_size();
        let journal = Journal::default();
        let opened = Upload::go_on(store, &self.key, part_size, self.deadline, journal.clone());
        self.receipt.time("store", begun.elapsed());
        match opened {
            Err(StoreError::Stopped(stopped)) => Err(stopped.into()),
            Err(error @ StoreError::Settings(_)) => Err(Error::store(error)),
            Err(error) if !self.settings.keep_when_store_is_down => Err(Error::StoreDown(error)),
            Err(error) => {
                self.receipt.warn_of_this_run("the store cannot be used; the dump will be kept here");
                Ok(Destination::Here(error))
            }
            Ok(upload) => {
                self.journal = journal;
                Ok(Destination::Store(upload))
            }
        }
    }

    /// Returns a size of parts that is large enough for a dump of three times the JVM's memory.
    pub fn part_size(&self) -> u64 {
        part_size(Some(self.jvm.resident_bytes.saturating_mul(3)))
    }

    pub fn attach(&mut self) -> Result<VirtualMachine<'a>, Error> {
        let begun = Instant::now();
        self.progress.stage("attaching", None);
        let vm = VirtualMachine::attach(self.jvm, self.settings.target.attach_timeout, self.deadline);
        self.receipt.time("attach", begun.elapsed());
        Ok(vm?)
    }

    /// Plans the dump. A store that is no directory, or cannot be used, takes no spool.
    fn plan(&mut self, vm: &VirtualMachine<'_>, has_store: bool) -> Result<Plan, Error> {
        let settings = self.settings;
        let request = PlanRequest {
            force: settings.force,
            store_dir: settings.common.store.url.local_dir().filter(|_| has_store),
            whole: self.redacts_whole_dump(),
            no_disk: settings.no_disk,
            ..settings.target.plan_request(&self.run_id)
        };
        let plan = heap_dump::plan(vm, &request, self.deadline)?;
        for warning in &plan.warnings {
            self.receipt.warn_of_this_run(warning.as_str());
        }
        Ok(plan)
    }

    /// Leaves out a collection that would cost the dump its time. Fails if the dump cannot be finished in time.
    fn plan_time(&mut self, plan: &Plan) -> Result<(), Error> {
        let Some(estimate) = plan.estimate.filter(|_| !self.settings.force) else { return Ok(()) };
        let left = self.deadline.remaining();
        if estimate.shortest() > left {
            let (pid, needed) = (self.jvm.pid(), estimate.shortest());
            return Err(Error::TooLate { pid, needed: Seconds(needed), left: Seconds(left) });
        }
        let room_for_all = estimate.lower_of_all() <= plan.room.free;
        if self.live && estimate.likely_with_collection() > left && (room_for_all || self.settings.no_disk) {
            self.live = false;
            self.receipt.warn("there is no time for a collection before the dump: it has unreachable objects, too");
        }
        Ok(())
    }

    /// Fails if the dump is likely to exceed the limit of one PUT.
    fn plan_size(&self, plan: &Plan) -> Result<(), Error> {
        let Some(estimate) = plan.estimate.filter(|_| !self.settings.force) else { return Ok(()) };
        let likely = estimate.heap_used / COMPRESSED_TO;
        if self.settings.common.store.url.is_presigned() && likely > PUT_MAX {
            return Err(Error::TooLarge { pid: self.jvm.pid(), likely: Bytes(likely), most: Bytes(PUT_MAX) });
        }
        Ok(())
    }

    fn ask_besides(&mut self, vm: &VirtualMachine<'_>) -> Result<(), Error> {
        if self.deadline.remaining() < CONTEXT_FROM {
            return Ok(());
        }
        let reason = self.receipt.reason.clone().unwrap_or_else(|| "asked for".into());
        self.progress.stage("asking for threads and flags", None);
        self.context = context(vm, &self.settings.with, &reason, self.deadline)?;
        Ok(())
    }

    fn finish(&mut self, mut delivery: Delivery, destination: Destination, plan: &Plan) -> Result<(), Error> {
        let begun = Instant::now();
        if !destination.is_store() {
            self.progress.stage("keeping the dump", None);
        }
        // The caller has checked that the dump is whole, or there would be nothing to finish.
        let Some(verdict) = Verdict::of(&delivery.walk) else { return Ok(()) };
        let spooled_in_store = destination.upload().and_then(Upload::spooled_at);
        // The parts of a whole dump stay in the store, for the run that continues the upload.
        self.journal.decide(true);
        self.journal.note_receipt(&self.receipt);
        let stored = destination.into_upload().and_then(|upload| delivery.complete(upload, &verdict, &self.progress));
        self.receipt.time("finish", begun.elapsed());
        match stored {
            Ok(finished) => {
                tell_stored(&mut self.receipt, finished, &self.key, self.context.as_deref());
                if self.receipt.object.as_ref().is_some_and(StoredObject::is_unverified) {
                    self.keep_unverified(&delivery, plan);
                }
                self.add_link();
                Ok(())
            }
            Err(StoreError::Stopped(stopped)) if delivery.spool.is_none() => Err(stopped.into()),
            Err(error) if delivery.spool.is_none() => Err(Error::StoreLost(error)),
            Err(error) => {
                match spooled_in_store {
                    Some(_) if matches!(error, StoreError::Unsorted { .. }) => {}
                    Some(entry) => self.receipt.kept = Some(still_there(&entry, &self.settings.common, false, false)),
                    None => self.keep_spool(&delivery, plan),
                }
                Err(Error::not_stored(error))
            }
        }
    }

    pub fn add_link(&mut self) {
        add_link(&mut self.receipt, &self.key.dump(), self.settings, self.deadline);
    }
}

pub fn facts_of(jvm: &Jvm) -> JvmFacts {
    JvmFacts {
        pid: jvm.pid(),
        ns_pid: jvm.ns_pid,
        uid: jvm.identity.uid,
        version: jvm.perf_data.as_ref().and_then(PerfData::vm_version).map(str::to_owned),
        main_class: jvm.main_class.clone(),
    }
}
