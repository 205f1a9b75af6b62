//! One dump from the store's probe to the receipt: store, attach, plan, dump, verdict, object.

use std::io;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::context::context;
use super::keep::{keep, still_there, write_journal};
use super::link::add_link;
use super::{new_receipt, tell_stored};
use crate::attach::VirtualMachine;
use crate::deadline::Deadline;
use crate::discovery::{Jvm, hsperfdata::PerfData};
use crate::error::Error;
use crate::heap_dump::{self, Estimate, NAME, Plan, PlanRequest, SORTED, SPOOL};
use crate::journal::{self, Begin, FileState, Journal};
use crate::pipeline::{Piped, Verdict};
use crate::progress::Progress;
use crate::settings::DumpSettings;
use crate::spool::Spool;
use crate::store::key::ObjectKey;
use crate::store::receipt::{JvmFacts, Kept, Receipt};
use crate::store::{Ledger, PUT_MAX, StoreError, Upload, part_size};
use crate::units::{Bytes, Seconds};

/// One dump on its way.
pub(super) struct Run<'a> {
    pub settings: &'a DumpSettings,
    pub deadline: &'a Deadline,
    pub jvm: &'a Jvm,
    run_id: String,
    pub key: ObjectKey,
    pub progress: Progress,
    pub receipt: Receipt,
    /// Of what is kept already, while the store is down.
    pub journal: Option<Journal>,
    /// Live objects only: what was asked for, unless there is no time for the collection before it.
    pub live: bool,
    /// What was asked of the JVM besides.
    pub context: Option<String>,
}

/// A dump is seldom smaller than this part of the heap that it is of: gzip makes it a third, and it may be larger than
/// the heap.
const COMPRESSED_TO: u64 = 4;

/// Less time than this is all for the dump.
const CONTEXT_FROM: Duration = Duration::from_secs(10);

impl<'a> Run<'a> {
    pub fn new(settings: &'a DumpSettings, deadline: &'a Deadline, jvm: &'a Jvm) -> Self {
        let receipt = Receipt {
            jvm: Some(facts_of(jvm)),
            reason: settings.reason.clone(),
            redacted: settings.common.redact.as_ref().map(|redact| redact.word().to_owned()),
            ..new_receipt(&settings.common.place)
        };
        let run_id = receipt.run_id.clone();
        let key = ObjectKey::new(&settings.common.place, Utc::now(), &receipt.pod.name, jvm.pid(), &run_id);
        Self {
            settings,
            deadline,
            jvm,
            run_id,
            key,
            progress: Progress::start(),
            receipt,
            journal: None,
            live: settings.target.live,
            context: None,
        }
    }

    pub fn all_stages(&mut self) -> Result<(), Error> {
        let (judged, vm) = self.measure()?;
        if !self.is_worth_it(judged) {
            return Ok(());
        }
        log::info!("dumping {}", self.jvm.describe());
        let mut upload = self.open_store()?;
        let vm = vm.map_or_else(|| self.attach(), Ok)?;
        let mut plan = self.plan(&vm)?;
        if self.settings.dry_run {
            self.receipt.nothing_done = Some(format!("dry run; the dump would go through {}", plan.dir.here));
            return Ok(());
        }
        self.plan_size(&plan)?;
        self.ask_besides(&vm)?;
        self.plan_time(&plan)?;
        if self.settings.no_disk {
            // A store that is down ends such a run: there is nothing to keep.
            let mut upload = upload.map_err(Error::StoreDown)?;
            let piped = self.dump_straight(&vm, &plan, &mut upload)?;
            return self.finish_straight(&piped, upload);
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

    fn plan(&mut self, vm: &VirtualMachine<'_>) -> Result<Plan, Error> {
        let settings = self.settings;
        let request = PlanRequest {
            dirs: &settings.target.dirs,
            live: settings.target.live,
            force: settings.force,
            disk_limit: settings.target.disk_limit,
            no_disk: settings.no_disk,
            run_id: &self.run_id,
        };
        let plan = heap_dump::plan(vm, &request, self.deadline)?;
        for warning in &plan.warnings {
            self.receipt.warn(warning.as_str());
        }
        Ok(plan)
    }

    /// A collection that would cost the dump its time is left out; a dump that cannot be finished is not begun.
    fn plan_time(&mut self, plan: &Plan) -> Result<(), Error> {
        let Some(estimate) = plan.estimate.filter(|_| !self.settings.force) else { return Ok(()) };
        let left = self.deadline.remaining();
        if estimate.shortest() > left {
            let (pid, needed) = (self.jvm.pid(), estimate.shortest());
            return Err(Error::TooLate { pid, needed: Seconds(needed), left: Seconds(left) });
        }
        let room_for_all = Estimate::new(estimate.heap_used, false).lower <= plan.room.free;
        if self.live && estimate.likely_with_collection() > left && (room_for_all || self.settings.no_disk) {
            self.live = false;
            self.receipt.warn("there is no time for a collection before the dump: it has unreachable objects, too");
        }
        Ok(())
    }

    /// One PUT has a limit.
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
        let spooled_in_store = upload.as_ref().ok().and_then(Upload::spooled_at);
        let ledger = upload.as_ref().ok().and_then(Upload::ledger);
        // What the store has of a whole dump stays there, for whoever goes on.
        if let Some(ledger) = &ledger {
            ledger.decide(true);
            ledger.note_receipt(&self.receipt);
        }
        let stored = piped.sent.and(upload).and_then(|upload| upload.finish(&verdict, &piped.digest, spool));
        self.receipt.time("finish", begun.elapsed());
        match stored {
            Ok(finished) => {
                tell_stored(&mut self.receipt, finished, &self.key, self.context.as_deref());
                self.add_link();
                Ok(())
            }
            Err(error) => {
                match spooled_in_store {
                    Some(_) if matches!(error, StoreError::Unsorted { .. }) => {}
                    Some(path) => self.receipt.kept = Some(still_there(&path, &self.settings.common)),
                    None => self.keep_spool(spool, plan, ledger.as_ref()),
                }
                Err(Error::not_stored(error))
            }
        }
    }

    pub fn add_link(&mut self) {
        add_link(&mut self.receipt, &self.key.dump(), self.settings, self.deadline);
    }

    /// What a journal begins with, for a compressed dump whose pieces are in this order.
    pub fn begin(&self, file: FileState, order: Vec<(u64, u64)>) -> Begin {
        Begin {
            key: self.key.clone(),
            file,
            part_size: self.part_size(),
            order,
            truncated: false,
            delete: true,
            receipt: self.receipt.clone(),
            redact: None,
            context: self.context.clone(),
        }
    }

    /// The same for the raw dump, which says what is still to be taken out.
    pub fn begin_raw(&self, file: FileState) -> Begin {
        let begin = self.begin(file, Vec::new());
        let receipt = Receipt { redacted: None, ..begin.receipt };
        Begin { receipt, redact: self.settings.common.redact.clone(), ..begin }
    }

    /// The compressed dump, in the order of the object, under the name that it would have had. Whoever is killed here
    /// leaves a file and its journal, and perhaps a journal without a file.
    fn keep_spool(&mut self, spool: &Spool, plan: &mut Plan, ledger: Option<&Ledger>) {
        if let Err(why) = self.put_in_order(spool, plan) {
            self.receipt.warn(format!(
                "its head is behind its heap, and 'upload' alone puts it in order: it was not sorted, {why}"
            ));
            return self.keep_as_sealed(spool, plan, ledger);
        }
        let file = if spool.is_in_order() { SPOOL } else { SORTED };
        let (sealed, name) = (format!("{SPOOL}{}", journal::SUFFIX), self.key.dump_name());
        let journal = self.journal(plan, file, |state| self.begin(state, Vec::new()), &name, ledger);
        if self.keep_as(plan, file, &name, journal, &sealed) {
            let _ = plan.dir.remove_file(SPOOL);
            return;
        }
        let _ = plan.dir.remove_file(SORTED);
        self.keep_as_sealed(spool, plan, ledger);
    }

    /// As it was when it was sealed, with the journal that it got then, or now.
    fn keep_as_sealed(&mut self, spool: &Spool, plan: &mut Plan, ledger: Option<&Ledger>) {
        if !plan.dir.has(&format!("{SPOOL}{}", journal::SUFFIX)) {
            self.journal(plan, SPOOL, |state| self.begin(state, spool.pieces()), SPOOL, ledger);
        }
        self.keep_apart(plan, SPOOL);
    }

    /// Under a name that nobody looks for, until it is whole.
    fn put_in_order(&self, spool: &Spool, plan: &Plan) -> Result<(), String> {
        if spool.is_in_order() {
            return Ok(());
        }
        self.deadline.check("sorting it").map_err(|stopped| stopped.to_string())?;
        let sorted = plan.dir.create_file(SORTED).and_then(|file| spool.copy_to(&file).and_then(|()| file.sync_all()));
        sorted.map_err(|error| {
            let _ = plan.dir.remove_file(SORTED);
            error.to_string()
        })
    }

    /// Keeps the raw dump, and what is needed to go on with it. The journal that it had goes last.
    pub fn keep_raw(&mut self, plan: &mut Plan) {
        let (before, name) = (format!("{NAME}{}", journal::SUFFIX), self.key.raw_name());
        let journal = self.journal(plan, NAME, |state| self.begin_raw(state), &name, None);
        if !self.keep_as(plan, NAME, &name, journal, &before) {
            self.keep_apart(plan, NAME);
        }
    }

    /// Keeps `file` as `name`, with its new journal instead of the one `before`; false when that fails, and all is as it
    /// was. Without any journal, its own name tells more than that of a file on its way.
    fn keep_as(&mut self, plan: &mut Plan, file: &str, name: &str, journal: Option<Journal>, before: &str) -> bool {
        if journal.is_none() && plan.dir.has(before) {
            return false;
        }
        match keep(&mut plan.dir, file, name, &self.settings.common) {
            Ok(kept) => {
                self.receipt.kept = Some(kept);
                let _ = plan.dir.remove_file(before);
                true
            }
            Err(error) => {
                log::warn!("cannot rename {}/{file}: {error}", plan.dir.here);
                let _ = plan.dir.remove_file(&format!("{name}{}", journal::SUFFIX));
                false
            }
        }
    }

    /// Under its own name, which means nothing without a journal: then under one that no other run removes.
    fn keep_apart(&mut self, plan: &mut Plan, file: &str) {
        let has_journal = plan.dir.has(&format!("{file}{}", journal::SUFFIX));
        let name = if has_journal { file.to_owned() } else { format!("kept-{file}") };
        let kept = keep(&mut plan.dir, file, &name, &self.settings.common);
        self.tell_kept(kept.or_else(|_| keep(&mut plan.dir, file, file, &self.settings.common)), plan);
    }

    fn tell_kept(&mut self, kept: io::Result<Kept>, plan: &Plan) {
        match kept {
            Ok(kept) => self.receipt.kept = Some(kept),
            Err(error) => self.receipt.warn(format!("what is kept in {} could not be named: {error}", plan.dir.here)),
        }
    }

    /// For `file`, which is to be called `name`. Held, so that nobody is at it before it is complete.
    pub fn journal(
        &self,
        plan: &Plan,
        file: &str,
        begin: impl FnOnce(FileState) -> Begin,
        name: &str,
        ledger: Option<&Ledger>,
    ) -> Option<Journal> {
        let state = plan.dir.open_file(file).and_then(|file| Ok(FileState::of(&file.metadata()?)));
        let written = state.and_then(|state| write_journal(&plan.dir, name, &begin(state), ledger));
        let warn = |error: &io::Error| {
            log::warn!("no journal beside {}/{name}: its upload begins at its start: {error}", plan.dir.here);
        };
        written.inspect_err(warn).ok()
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
