//! The stage that makes the dump without a disk, straight into the store.

use std::time::Instant;

use super::run::Run;
use crate::attach::VirtualMachine;
use crate::commands::tell_stored;
use crate::compress::cpu_share::CpuShare;
use crate::compress::verdict::Verdict;
use crate::delivery::streamed;
use crate::delivery::{Context, Delivery};
use crate::error::Error;
use crate::heap_dump::{Pipe, PipePair, Plan};
use crate::hprof::Histogram;
use crate::kept::names::RAW;
use crate::object::stored::StoredObject;
use crate::store::{StoreError, Upload};

impl Run<'_> {
    /// Makes the dump, and sends it through pipes into the store's parts. If that fails, the dump is lost.
    pub fn dump_straight(
        &mut self,
        vm: &VirtualMachine<'_>,
        plan: &Plan,
        pipes: PipePair,
        upload: &mut Upload,
    ) -> Result<Delivery, Error> {
        let settings = self.settings;
        let path = format!("{}/{RAW}", plan.dir.here);
        let about = plan.estimate.map(|estimate| estimate.heap_used);
        self.progress.stage_of_about("the JVM stands still and dumps into the store", about);
        let (live, redactor) = (self.live, self.redactor(vm));
        let mut pipe = Pipe::begin(vm, plan, pipes, live, settings.max_pause, self.deadline)?;
        if self.needs_head_first() {
            pipe = pipe.with_head_first();
        }
        // The names of classes cannot be read again from a dump that lies nowhere here. So the receipt has no largest
        // classes.
        let context = Context { progress: &self.progress, deadline: self.deadline };
        let compression = self.compression(CpuShare::streaming(plan.processors), redactor);
        let mut histogram = Histogram::new();
        let piped = streamed::run(&mut pipe, upload, compression, context, &mut histogram)
            .map_err(|error| Error::from_stream(error, &path));
        // If the JVM still dumps, it is let go first: nobody reads what it writes.
        if piped.is_err() && !pipe.is_answered() {
            return piped;
        }
        // The JVM's own words tell more than their effect on the stages.
        let dump = pipe.finish()?;
        self.tell_dump(&dump);
        let piped = piped?;
        self.receipt.time("compress", piped.took);
        self.verify(&piped, &dump)?;
        Ok(piped)
    }

    pub fn finish_straight(&mut self, mut piped: Delivery, upload: Upload) -> Result<(), Error> {
        let begun = Instant::now();
        // The dump was verified, or there would be nothing to finish.
        let Some(verdict) = Verdict::of(&piped.walk) else { return Ok(()) };
        let finished = piped.complete(upload, &verdict, &self.progress);
        self.receipt.time("finish", begun.elapsed());
        match finished {
            Ok(finished) => {
                tell_stored(&mut self.receipt, finished, &self.key, self.context.as_deref());
                if self.receipt.object.as_ref().is_some_and(StoredObject::is_unverified) {
                    self.receipt
                        .warn("nobody can tell that it is stored, and --no-disk keeps nothing: look at the object");
                }
                self.add_link();
                Ok(())
            }
            Err(StoreError::Stopped(stopped)) => Err(stopped.into()),
            Err(error) => Err(Error::StoreLost(error)),
        }
    }
}
