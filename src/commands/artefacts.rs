//! Takes artefacts of a JVM and stores each as an object of its own: for `take`, and for a watcher that has no room for a
//! heap dump.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

use crate::artefact::{self, ArtefactError, Kind, Text};
use crate::attach::{AttachError, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::base::units::Bytes;
use crate::compress::compressor::{Compression, PipelineError};
use crate::compress::cpu_share::{CpuShare, processors};
use crate::compress::source::SourceError;
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::delivery::temporary::nameless_in_or_elsewhere;
use crate::delivery::{Context, Delivery, spooled, tell_stored};
use crate::error::Error;
use crate::files::entry::HeldDir;
use crate::jvm::Jvm;
use crate::object::key::ObjectKey;
use crate::object::part_size::part_size;
use crate::object::receipt::Receipt;
use crate::object::stored::StoredObject;
use crate::settings::Settings;
use crate::store::{StoreError, Upload};
use crate::terminal::progress::Progress;

/// The JVM and the run for which artefacts are taken.
#[derive(Debug)]
pub struct Taking<'a> {
    pub jvm: &'a Jvm,
    pub settings: &'a Settings,
    /// How long the JVM may take to answer the attach.
    pub attach_timeout: Duration,
    pub progress: &'a Progress,
    pub deadline: &'a Deadline,
    /// The key of the run. Each artefact has its own end of it.
    pub key: &'a ObjectKey,
    /// The receipt of the run. Each artefact has a copy with its own facts.
    pub receipt: &'a Receipt,
}

/// The receipt of one artefact, and the result.
pub type Taken = (Receipt, Result<(), Error>);

/// The JVM, attached when the first kind needs it. The attach is tried once, and its failure is kept as text.
type Attached<'a> = Result<Box<VirtualMachine<'a>>, String>;

impl<'a> Taking<'a> {
    /// Takes the kinds in their order. A kind that fails does not keep the others from being stored. `vm` is the JVM if
    /// it is attached already.
    pub fn all(&self, kinds: &[Kind], vm: Option<VirtualMachine<'a>>) -> Vec<Taken> {
        let mut attached: Option<Attached<'a>> = vm.map(|vm| Ok(Box::new(vm)));
        let shares = (1..=kinds.len()).rev();
        let taken = kinds.iter().zip(shares).map(|(kind, share)| {
            // A JVM that does not answer to one kind leaves time for the others.
            let share = u32::try_from(share).unwrap_or(u32::MAX);
            let deadline = self.deadline.at_most(self.deadline.remaining() / share);
            let mut receipt = Receipt { artefact: Some(kind.artefact()), ..self.receipt.clone() };
            let result = self.one(*kind, &mut attached, &mut receipt, &deadline);
            (receipt, result)
        });
        taken.collect()
    }

    fn one(
        &self,
        kind: Kind,
        attached: &mut Option<Attached<'a>>,
        receipt: &mut Receipt,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let name = kind.artefact().taken_name().unwrap_or_default();
        let key = self.key.clone().of_other(name);
        self.progress.stage("opening the store", None);
        let upload = self.open_store(&key, receipt, deadline)?;
        let first = self.reach(kind, attached, receipt, deadline);
        let begun = Instant::now();
        let mut text = self.ask(kind, attached.as_ref(), first, receipt, deadline)?;
        let finished = self.deliver(kind, &mut text, upload, deadline)?;
        receipt.time(kind.word(), begun.elapsed());
        if text.cut() > 0 {
            receipt.warn(format!("the text is longer than what is stored: {} of it were left out", Bytes(text.cut())));
        }
        tell_stored(receipt, finished, &key, None);
        if receipt.object.as_ref().is_some_and(StoredObject::is_unverified) {
            receipt.warn("nobody can tell that it is stored, and nothing is kept: look at the object");
        }
        Ok(())
    }

    /// Opens the upload. If the store cannot be used, nothing is asked of the JVM.
    fn open_store(&self, key: &ObjectKey, receipt: &mut Receipt, deadline: &Deadline) -> Result<Upload, Error> {
        let begun = Instant::now();
        let opened = Upload::open(&self.settings.store, key, part_size(None), deadline);
        receipt.time("store", begun.elapsed());
        opened.map_err(Error::store)
    }

    /// Attaches if this is the first kind that asks the JVM. Returns the whole error if that fails.
    fn reach(
        &self,
        kind: Kind,
        attached: &mut Option<Attached<'a>>,
        receipt: &mut Receipt,
        deadline: &Deadline,
    ) -> Option<AttachError> {
        if attached.is_some() {
            return None;
        }
        let (vm, error) = match self.attach(kind, receipt, deadline) {
            Ok(vm) => (Ok(Box::new(vm)), None),
            Err(error) => (Err(error.to_string()), Some(error)),
        };
        *attached = Some(vm);
        error
    }

    /// Returns the text of an artefact, which the JVM may still be writing. `first` is the error of the attach, if this
    /// kind was the first that needed it.
    fn ask(
        &self,
        kind: Kind,
        attached: Option<&Attached<'a>>,
        first: Option<AttachError>,
        receipt: &mut Receipt,
        deadline: &Deadline,
    ) -> Result<Text<'a>, Error> {
        self.progress.stage(&format!("asking for {}", kind.word()), None);
        match (attached, first) {
            (Some(Ok(vm)), _) => Ok(artefact::ask(kind, vm, deadline)?),
            (Some(Err(why)), _) if kind.needs_no_attach() => {
                receipt.warn(format!("the JVM was not asked: {why}"));
                Ok(artefact::memory(self.jvm, Err(why), deadline)?)
            }
            (_, Some(error)) => Err(error.into()),
            (other, None) => {
                let why = other.and_then(|vm| vm.as_ref().err()).cloned().unwrap_or_default();
                Err(Error::NotAttached { kind: kind.word(), why })
            }
        }
    }

    fn attach(
        &self,
        kind: Kind,
        receipt: &mut Receipt,
        deadline: &Deadline,
    ) -> Result<VirtualMachine<'a>, AttachError> {
        let begun = Instant::now();
        self.progress.stage("attaching", None);
        // A kind that the kernel alone tells keeps time for that.
        let share = if kind.needs_no_attach() { 2 } else { 1 };
        let deadline = deadline.at_most(deadline.remaining() / share);
        let vm = VirtualMachine::attach(self.jvm, self.attach_timeout, &deadline);
        receipt.time("attach", begun.elapsed());
        vm
    }

    /// Compresses the text into a spool, sends it, and completes the object. The JVM writes to the spool and not to the
    /// store: from JDK 24 on it prints while it stands still.
    fn deliver(
        &self,
        kind: Kind,
        text: &mut Text<'_>,
        mut upload: Upload,
        deadline: &Deadline,
    ) -> Result<crate::store::Finished, Error> {
        let spool = Spool::new(self.spool_file(&mut upload)?);
        let (level, part_size) = (self.settings.level, part_size(None));
        let compression = Compression { cpu_share: CpuShare::of(processors()), level, part_size, redactor: None };
        let context = Context { progress: self.progress, deadline };
        let delivered = spooled::run(text, spool, Some(&mut upload), compression, context, |_, _, _| {});
        let mut delivery: Delivery = delivered.map_err(|error| of_pipeline(error, kind))?;
        text.must_be_whole()?;
        // The JVM has written all of the text.
        let verdict = Verdict::of_remains();
        delivery.complete(upload, &verdict, self.progress).map_err(|error| match error {
            StoreError::Stopped(stopped) => stopped.into(),
            error => Error::ArtefactLost { kind: kind.word(), source: error },
        })
    }

    /// Returns an empty file: in the store, or without a name. Memory is the last place: a text of this kind is small
    /// when it is compressed.
    fn spool_file(&self, upload: &mut Upload) -> Result<File, Error> {
        if let Some((file, _)) = upload.spool_file(false).map_err(Error::store)? {
            return Ok(file);
        }
        let here = HeldDir::named(Path::new("."));
        nameless_in_or_elsewhere(here, 0, 0, &self.settings.disk_limits).or_else(|error| {
            let memory = rustix::fs::memfd_create("jmap-dump-tool", MemfdFlags::CLOEXEC);
            memory.map(File::from).map_err(|_| error)
        })
    }
}

fn of_pipeline(error: PipelineError, kind: Kind) -> Error {
    match error {
        PipelineError::Source(SourceError::Maker(failure)) => match failure.downcast::<ArtefactError>() {
            Ok(failure) => (*failure).into(),
            Err(failure) => {
                let what = format!("cannot read the {}", kind.word());
                Error::Unexpected { what, source: io::Error::other(failure) }
            }
        },
        error => Error::from_pipeline(error, kind.word(), "the compressed text"),
    }
}
