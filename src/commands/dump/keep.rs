//! Keeps a run's dump that could not be stored, with the journal by which it is stored later.

use super::run::Run;
use super::turn::name_of;
use crate::base::deadline::slowly;
use crate::compress::spool::Spool;
use crate::delivery::Delivery;
use crate::delivery::resume_command::kept_in;
use crate::heap_dump::Plan;
use crate::kept::journal::{Begin, DumpOf, FORMAT, FileState, Journal};
use crate::kept::names::{KEPT, RAW, SORTED, SPOOL};
use crate::object::receipt::Receipt;

impl Run<'_> {
    /// Returns the beginning of a journal, for a compressed dump whose pieces are in this order.
    pub fn begin(&self, file: FileState, order: Vec<(u64, u64)>) -> Begin {
        Begin {
            format: FORMAT,
            key: self.key.clone(),
            file,
            part_size: self.part_size(),
            order,
            truncated: false,
            delete: true,
            receipt: self.receipt.for_journal(),
            redact: None,
            context: self.context.clone(),
            dump_of: Some(self.dump_of()),
        }
    }

    /// Returns the facts that a run which waited for this one compares with its own wish.
    pub fn dump_of(&self) -> DumpOf {
        let redact = self.settings.common.redact.clone();
        DumpOf { process: name_of(self.jvm), live: self.live, redact }
    }

    /// Returns the beginning of a journal for the raw dump, which says what is still to be redacted.
    pub fn begin_raw(&self, file: FileState) -> Begin {
        let begin = self.begin(file, Vec::new());
        let receipt = Receipt { redacted: None, ..begin.receipt };
        Begin { receipt, redact: self.settings.common.redact.clone(), ..begin }
    }

    /// Keeps the compressed dump in the order of the object, under the object's name.
    pub fn keep_spool(&mut self, delivery: &Delivery, plan: &Plan) {
        let Some(spool) = &delivery.spool else { return };
        match self.in_order(spool, plan) {
            Ok(file) => {
                let begin = |state| self.begin(state, Vec::new());
                let name = self.key.dump_name();
                if plan.dir.keep_as((file, SPOOL), &name, &self.journal, begin).is_ok() {
                    return self.tell_kept(plan, &name);
                }
                let _ = plan.dir.remove_file(SORTED);
            }
            Err(why) => self.receipt.warn_of_this_run(format!(
                "its head is behind its heap, and 'upload' alone puts it in order: it was not sorted, {why}"
            )),
        }
        self.keep_as_sealed(spool, plan);
    }

    /// Keeps the compressed dump of an object that the store has only acknowledged. The file's name and the missing
    /// journal keep every later run from removing it or storing it again.
    pub fn keep_unverified(&mut self, delivery: &Delivery, plan: &Plan) {
        let Some(spool) = &delivery.spool else {
            return self.receipt.warn_of_this_run(
                "nobody can tell that it is stored, and --no-disk keeps nothing: look at the object",
            );
        };
        let file = match self.in_order(spool, plan) {
            Ok(file) => file,
            Err(why) => {
                self.receipt
                    .warn_of_this_run(format!("nobody can tell that it is stored, and its copy was not sorted: {why}"));
                return self.keep_as_sealed(spool, plan);
            }
        };
        let name = format!("{KEPT}{}", self.key.dump_name());
        match plan.dir.keep_unverified(file, &name) {
            Ok(()) => {
                self.tell_kept(plan, &name);
                self.receipt.warn_of_this_run(format!(
                    "nobody can tell that it is stored: {}/{name} stays; remove it when you have seen the object",
                    plan.dir.here
                ));
            }
            Err(error) => {
                self.receipt.warn_of_this_run(format!("what is kept in {} could not be named: {error}", plan.dir.here));
            }
        }
    }

    /// Keeps the file as it was sealed, with the journal that it got then, or gets now.
    fn keep_as_sealed(&mut self, spool: &Spool, plan: &Plan) {
        if !plan.dir.has_journal(SPOOL) {
            let begin = spool.metadata().map(|meta| self.begin(FileState::of(&meta), spool.pieces()));
            let written = begin.and_then(|begin| plan.dir.write_journal(&self.journal, SPOOL, &begin));
            written.unwrap_or_else(|error| {
                let here = &plan.dir.here;
                log::warn!("no journal beside {here}/{SPOOL}: its upload begins at its start: {error}");
            });
        }
        self.keep_apart(plan, SPOOL);
    }

    /// Returns the file of the dump in the order of the object: the spool, or a copy. Until the copy is whole, it has a
    /// name that no run looks for.
    fn in_order(&self, spool: &Spool, plan: &Plan) -> Result<&'static str, String> {
        if spool.is_in_order() {
            return Ok(SPOOL);
        }
        self.deadline.check("sorting it").map_err(|stopped| stopped.to_string())?;
        let sorted = plan
            .dir
            .create_file(SORTED)
            .and_then(|file| spool.copy_to(&file).and_then(|()| slowly(|| file.sync_all())));
        sorted.map(|()| SORTED).map_err(|error| {
            let _ = plan.dir.remove_file(SORTED);
            error.to_string()
        })
    }

    /// Keeps the raw dump, and a journal to go on with.
    pub fn keep_raw(&mut self, plan: &Plan) {
        let (name, journal) = (self.key.raw_name(), Journal::default());
        match plan.dir.keep_as((RAW, RAW), &name, &journal, |state| self.begin_raw(state)) {
            Ok(()) => self.tell_kept(plan, &name),
            Err(_) => self.keep_apart(plan, RAW),
        }
    }

    /// Keeps `file` under its own name, if it has a journal. Without a journal that name means nothing, so the file
    /// gets one that no other run removes.
    fn keep_apart(&mut self, plan: &Plan, file: &str) {
        plan.dir.keep();
        let apart = format!("{KEPT}{file}");
        let is_apart = !plan.dir.has_journal(file) && plan.dir.rename_file(file, &apart).is_ok();
        self.tell_kept(plan, if is_apart { &apart } else { file });
    }

    fn tell_kept(&mut self, plan: &Plan, name: &str) {
        self.receipt.kept = Some(kept_in(&plan.dir, name, &self.settings.common));
    }
}
