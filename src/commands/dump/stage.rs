//! The stage that makes the dump and sends it through the pipeline into the spool.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::run::Run;
use crate::attach::VirtualMachine;
use crate::compress::compressor::Compression;
use crate::compress::cpu_share::CpuShare;
use crate::compress::source::{COMPRESSING, Scrutiny, Source, Stream};
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::delivery::{Context, Delivery, spooled};
use crate::error::Error;
use crate::files::entry::Entry;
use crate::heap_dump::{self, Capture, DumpError, HeapDump, Manner, Plan, Reframed, RoomError};
use crate::hprof::{Redactor, Summary};
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;
use crate::kept::journal::{Begin, FileState, Journal};
use crate::kept::names::{RAW, SPOOL};
use crate::kept::proof::Proof;
use crate::object::receipt::DumpFacts;
use crate::store::Upload;
use crate::store::url::StoreUrl;

/// Longest first dump after which a second one is made. After a longer pause, a second one is not worth it.
const AGAIN_WITHIN: Duration = Duration::from_secs(20);

/// Creates the spool before the JVM is asked for anything. The spool lies in the store if it can stay there.
fn create_spool(plan: &Plan, upload: Option<&mut Upload>) -> Result<(Spool, Spooled), Error> {
    if let Some((file, entry)) =
        upload.map(|upload| upload.spool_file(true)).transpose().map_err(Error::store)?.flatten()
    {
        let path = entry.path().display().to_string();
        return Ok((Spool::in_object(file), Spooled { path, in_store: Some(entry) }));
    }
    let path = format!("{}/{SPOOL}", plan.dir.here);
    match plan.dir.create_file(SPOOL) {
        Ok(file) => Ok((Spool::new(file), Spooled { path, in_store: None })),
        Err(source) => Err(RoomError::Io { what: "create the compressed dump", path, source }.into()),
    }
}

struct Spooled {
    path: String,
    /// The file in the store, where the spool will stay.
    in_store: Option<Entry>,
}

impl Run<'_> {
    /// Makes the dump, and passes it through the pipeline into the spool. Where the layout allows that, the dump is
    /// read while the JVM writes it.
    pub fn dump(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &mut Plan,
        mut upload: Option<&mut Upload>,
    ) -> Result<Delivery, Error> {
        let total = plan.estimate.map(|estimate| estimate.heap_used);
        self.progress.stage_of_about("the JVM stands still and dumps", total);
        self.jvm_writes = true;
        if plan.manner == Manner::Whole {
            return self.dump_then_read(vm, plan, upload);
        }
        let begun = Instant::now();
        let captured = self.capture(vm, plan, upload.as_deref_mut());
        let again = matches!(captured, Err(Error::Dump(DumpError::Merged { .. }))) && begun.elapsed() < AGAIN_WITHIN;
        // Parts of the first dump that have gone out would be the start of the second.
        if !again || !plan.may_be_whole() || upload.as_ref().is_some_and(|upload| upload.has_parts()) {
            return captured;
        }
        self.receipt.warn("the JVM was faster than this tool: it dumps once more, and is read when it is done");
        plan.dir.clear().map_err(|source| RoomError::Io { what: "empty", path: plan.dir.here.clone(), source })?;
        self.dump_then_read(vm, plan, upload)
    }

    fn dump_then_read(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &mut Plan,
        mut upload: Option<&mut Upload>,
    ) -> Result<Delivery, Error> {
        let live = self.live;
        let spool = create_spool(plan, upload.as_deref_mut())?;
        let (file, dump) = heap_dump::dump(vm, &plan.dir, plan.layout, live, &self.progress, self.deadline)?;
        self.tell_dump(&dump);
        let _journal = self.outlive_raw(plan);
        let len = file.metadata().map_err(|source| DumpError::Read { path: dump.path.clone(), source })?.len();
        let piped = self
            .redactor_of(vm, &file, &dump.path)
            .and_then(|redactor| {
                self.progress.stage(COMPRESSING, Some(len));
                // Bytes that are added to the file from now on are not the JVM's dump.
                let mut raw = Stream::new(file.take(len), Scrutiny::Dump);
                self.pipe(&mut raw, &dump.path, spool, (plan, redactor), upload)
            })
            .and_then(|piped| self.verified(piped, &dump));
        self.or_keep_raw(piped, plan)
    }

    /// Makes the raw dump outlive this process, even before it is compressed: the JVM has called it whole. The journal
    /// is held, so that no other process takes it up.
    fn outlive_raw(&self, plan: &Plan) -> Option<Journal> {
        let warn = |error: &io::Error| {
            log::warn!("no journal beside {}/{RAW}: its upload begins at its start: {error}", plan.dir.here);
        };
        plan.dir.outlive_raw(|state| self.begin_raw(state)).inspect_err(warn).ok()
    }

    fn capture(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &mut Plan,
        mut upload: Option<&mut Upload>,
    ) -> Result<Delivery, Error> {
        let path = format!("{}/{RAW}", plan.dir.here);
        let spool = create_spool(plan, upload.as_deref_mut())?;
        let (live, waits) = (self.live, plan.cpu_share().waits());
        let redactor = self.redactor(vm);
        let mut capture = Capture::begin(vm, &plan.dir, plan.layout, live, waits, self.deadline)?;
        if self.needs_head_first() {
            capture = capture.with_head_first();
        }
        let piped = match plan.layout {
            Layout::Patched => {
                self.pipe(&mut Reframed::new(&mut capture, &path), &path, spool, (plan, redactor), upload)
            }
            _ => self.pipe(&mut capture, &path, spool, (plan, redactor), upload),
        };
        if !capture.releases() {
            self.receipt
                .warn_of_this_run("the file system kept what was read until the end: the disk held the whole dump");
        }
        // The JVM's own words tell more than their effect on the pipeline.
        let answered = capture.is_written();
        self.jvm_writes = !answered;
        let dump = match (&piped, capture.finish()) {
            (Err(Error::Stopped(_)), _) => return piped,
            // The pipeline has noticed the end of the JVM.
            (Err(_), Err(_)) if !answered => return piped,
            (_, dump) => dump?,
        };
        self.tell_dump(&dump);
        match piped {
            // A part that was released while the JVM copied it looks damaged.
            Err(Error::Dump(DumpError::Malformed { .. })) if plan.layout == Layout::Parts => {
                Err(DumpError::Merged { path }.into())
            }
            piped => self.verified(piped?, &dump),
        }
    }

    pub fn tell_dump(&mut self, dump: &HeapDump) {
        self.jvm_writes = false;
        self.receipt.time("dump", dump.took);
        self.receipt.dump = Some(DumpFacts {
            live_only: Some(self.live),
            walk: None,
            words: Some(dump.words.clone()),
            pause: dump.pause_seconds,
            ..DumpFacts::default()
        });
    }

    fn pipe(
        &mut self,
        raw: &mut dyn Source,
        path: &str,
        (spool, spooled): (Spool, Spooled),
        (plan, redactor): (&Plan, Option<Redactor>),
        upload: Option<&mut Upload>,
    ) -> Result<Delivery, Error> {
        let compression = self.compression(plan.cpu_share(), redactor);
        let mut begin = None;
        let seal = Seal { run: self, dir: &plan.dir, spooled: &spooled };
        let sealed = |spool: &Spool, walk: &Summary, good: bool| begin = seal.outlive(spool, walk, good);
        let context = Context { progress: &self.progress, deadline: self.deadline };
        let piped = spooled::run(raw, spool, upload, compression, context, sealed)
            .map_err(|error| Error::from_pipeline(error, path, &spooled.path))?;
        if let Some(begin) = begin {
            self.leave_to_others(&spooled, &plan.dir, begin, &piped);
        }
        self.receipt.time("compress", piped.took);
        if let Some(sending) = piped.sending {
            self.receipt.time("upload", sending);
        }
        Ok(piped)
    }

    /// Lets a run that waits send the same dump now. That run finds the journal, or root's proof.
    fn leave_to_others(&self, spooled: &Spooled, dir: &DumpDir, begin: Begin, delivery: &Delivery) {
        if spooled.in_store.is_none()
            && let Err(error) = Proof::write(dir, begin, &delivery.digest)
        {
            log::info!("a run that waits will dump once more: cannot write into {}: {error}", dir.here);
        }
        // Nobody knows how long a reader of standard output takes, so this run gives up its turn.
        if self.settings.common.store.url == StoreUrl::Stdout {
            self.turn.take();
        }
    }

    pub fn compression(&self, cpu_share: CpuShare, redactor: Option<Redactor>) -> Compression {
        Compression { cpu_share, level: self.settings.common.level, part_size: self.part_size(), redactor }
    }

    fn verified(&mut self, piped: Delivery, dump: &HeapDump) -> Result<Delivery, Error> {
        self.verify(&piped, dump).map(|()| piped)
    }

    pub fn verify(&mut self, piped: &Delivery, dump: &HeapDump) -> Result<(), Error> {
        self.receipt.warn_of_blanked(piped.blanked, "leave --no-disk out");
        self.receipt.warn_of_cut_arrays(piped.walk.records.cut_arrays);
        if let Some(facts) = &mut self.receipt.dump {
            facts.walk = Some(piped.walk.clone());
        }
        match Verdict::of(&piped.walk) {
            Some(_) => Ok(()),
            None => Err(DumpError::truncated(dump.path.clone(), &piped.walk).into()),
        }
    }

    /// Keeps the raw dump if the pipeline fails. A dump that the JVM called whole is not lost because the disk is full
    /// or the time is over.
    fn or_keep_raw(&mut self, piped: Result<Delivery, Error>, plan: &mut Plan) -> Result<Delivery, Error> {
        let damaged =
            |error: &Error| matches!(error, Error::Dump(DumpError::Truncated { .. } | DumpError::Malformed { .. }));
        let worth_keeping = piped.as_ref().is_err_and(|error| !damaged(error));
        // The spool is a copy of part of what is kept, or the raw dump of what is spooled: one of them goes.
        let surplus = if worth_keeping { SPOOL } else { RAW };
        if let Err(error) = plan.dir.remove_file(surplus) {
            log::debug!("cannot remove {surplus} in {}: {error}", plan.dir.here);
        }
        if worth_keeping {
            self.receipt.redacted = None;
            self.keep_raw(plan);
        }
        piped
    }
}

/// Marks the compressed dump as worth keeping once it is sealed, even if this process is killed.
struct Seal<'a> {
    run: &'a Run<'a>,
    dir: &'a DumpDir,
    spooled: &'a Spooled,
}

impl Seal<'_> {
    /// Writes the journal of the sealed dump, and tells the guard to leave the dump. Returns `None` if that fails, or
    /// there is nothing to keep.
    fn outlive(&self, spool: &Spool, walk: &Summary, good: bool) -> Option<Begin> {
        if !good || Verdict::of(walk).is_none() {
            return None;
        }
        let warn = |error: &io::Error| {
            let path = &self.spooled.path;
            log::warn!("a killed run would lose its dump: cannot write a journal beside {path}: {error}");
        };
        self.seal(spool).inspect_err(warn).ok()
    }

    fn seal(&self, spool: &Spool) -> io::Result<Begin> {
        let (begin, journal) = (self.run.begin(FileState::of(&spool.metadata()?), spool.pieces()), &self.run.journal);
        match &self.spooled.in_store {
            Some(entry) => {
                journal.write_beside(entry, &begin)?;
                // The raw dump in the directory is the same object.
                self.dir.give_way();
            }
            None => self.dir.seal(journal, &begin)?,
        }
        // The guard learns of the dump before the upload. If it takes over in between, it aborts only an upload that
        // can be begun again.
        journal.settle();
        Ok(begin)
    }
}
