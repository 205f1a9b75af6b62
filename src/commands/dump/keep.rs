//! Keeps a run's dump that could not be stored, with the journal by which it is stored later.

use std::io;

use super::run::Run;
use super::turn::name_of;
use crate::base::deadline::slowly;
use crate::commands::keep::{keep, write_journal};
use crate::compress::spool::Spool;
use crate::delivery::Delivery;
use crate::heap_dump::Plan;
use crate::kept::journal::{self, Begin, DumpOf, FORMAT, FileState, Journal};
use crate::kept::ledger::Ledger;
use crate::kept::names::KEPT;
use crate::kept::names::{PROOF, RAW, SORTED, SPOOL};
use crate::object::receipt::{Kept, Receipt};

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

    /// Keeps the compressed dump in the order of the object, under the object's name. If the run is killed here, a file
    /// and its journal stay, and perhaps a journal without a file.
    pub fn keep_spool(&mut self, delivery: &Delivery, plan: &mut Plan, ledger: Option<&Ledger>) {
        let Some(spool) = &delivery.spool else { return };
        if let Err(why) = self.put_in_order(spool, plan) {
            self.receipt.warn_of_this_run(format!(
                "its head is behind its heap, and 'upload' alone puts it in order: it was not sorted, {why}"
            ));
            return self.keep_as_sealed(spool, plan, ledger);
        }
        let file = if spool.is_in_order() { SPOOL } else { SORTED };
        let (sealed, name) = (journal::name_for(SPOOL), self.key.dump_name());
        let journal = self.journal(plan, file, |state| self.begin(state, Vec::new()), &name, ledger);
        if self.keep_as(plan, file, &name, journal, &sealed) {
            let _ = plan.dir.remove_file(SPOOL);
            return;
        }
        let _ = plan.dir.remove_file(SORTED);
        self.keep_as_sealed(spool, plan, ledger);
    }

    /// Keeps the compressed dump of an object that the store has only acknowledged. The file's name and the missing
    /// journal keep every later run from removing it or storing it again.
    pub fn keep_unverified(&mut self, delivery: &Delivery, plan: &mut Plan) {
        let Some(spool) = &delivery.spool else { return };
        if let Err(why) = self.put_in_order(spool, plan) {
            self.receipt
                .warn_of_this_run(format!("nobody can tell that it is stored, and its copy was not sorted: {why}"));
            return self.keep_as_sealed(spool, plan, None);
        }
        let file = if spool.is_in_order() { SPOOL } else { SORTED };
        let kept = keep(&mut plan.dir, file, &format!("{KEPT}{}", self.key.dump_name()), &self.settings.common);
        for surplus in
            [&journal::name_for(SPOOL), SPOOL, PROOF].into_iter().filter(|name| kept.is_ok() && *name != file)
        {
            let _ = plan.dir.remove_file(surplus);
        }
        if let Ok(kept) = &kept {
            self.receipt.warn_of_this_run(format!(
                "nobody can tell that it is stored: {} stays; remove it when you have seen the object",
                kept.path
            ));
        }
        self.tell_kept(kept, plan);
    }

    /// Keeps the file as it was sealed, with the journal that it got then, or gets now.
    fn keep_as_sealed(&mut self, spool: &Spool, plan: &mut Plan, ledger: Option<&Ledger>) {
        if !plan.dir.has(&journal::name_for(SPOOL)) {
            self.journal(plan, SPOOL, |state| self.begin(state, spool.pieces()), SPOOL, ledger);
        }
        self.keep_apart(plan, SPOOL);
    }

    /// Copies the dump into a file in the order of the object. Until the file is whole, it has a name that no run looks
    /// for.
    fn put_in_order(&self, spool: &Spool, plan: &Plan) -> Result<(), String> {
        if spool.is_in_order() {
            return Ok(());
        }
        self.deadline.check("sorting it").map_err(|stopped| stopped.to_string())?;
        let sorted = plan
            .dir
            .create_file(SORTED)
            .and_then(|file| spool.copy_to(&file).and_then(|()| slowly(|| file.sync_all())));
        sorted.map_err(|error| {
            let _ = plan.dir.remove_file(SORTED);
            error.to_string()
        })
    }

    /// Keeps the raw dump, and a journal to go on with. The journal that it had before goes last.
    pub fn keep_raw(&mut self, plan: &mut Plan) {
        let (before, name) = (journal::name_for(RAW), self.key.raw_name());
        let journal = self.journal(plan, RAW, |state| self.begin_raw(state), &name, None);
        if !self.keep_as(plan, RAW, &name, journal, &before) {
            self.keep_apart(plan, RAW);
        }
    }

    /// Keeps `file` as `name`, with its new journal instead of the one called `before`. If that fails, returns false,
    /// and all is as it was. Without any journal, `name` still tells more than the name of an unfinished file.
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
                let _ = plan.dir.remove_file(&journal::name_for(name));
                false
            }
        }
    }

    /// Keeps `file` under its own name, if it has a journal. Without a journal that name means nothing, so the file
    /// gets one that no other run removes.
    fn keep_apart(&mut self, plan: &mut Plan, file: &str) {
        let has_journal = plan.dir.has(&journal::name_for(file));
        let name = if has_journal { file.to_owned() } else { format!("{KEPT}{file}") };
        let kept = keep(&mut plan.dir, file, &name, &self.settings.common);
        self.tell_kept(kept.or_else(|_| keep(&mut plan.dir, file, file, &self.settings.common)), plan);
    }

    fn tell_kept(&mut self, kept: io::Result<Kept>, plan: &Plan) {
        match kept {
            Ok(kept) => self.receipt.kept = Some(kept),
            Err(error) => self.receipt.warn(format!("what is kept in {} could not be named: {error}", plan.dir.here)),
        }
    }

    /// Writes the journal of `file`, which is to be called `name`. The journal stays locked, so that no process uses
    /// the file before it is complete.
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
