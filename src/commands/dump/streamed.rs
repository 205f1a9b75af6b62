//! The stage that makes the dump without a disk, straight into the store.

use super::run::Run;
use crate::attach::VirtualMachine;
use crate::compress::cpu_share::CpuShare;
use crate::delivery::streamed;
use crate::delivery::{Context, Delivery};
use crate::error::Error;
use crate::heap_dump::{Pipe, PipePair, Plan};
use crate::hprof::Histogram;
use crate::kept::names::RAW;
use crate::store::Upload;

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
            .map_err(|error| error.of_dump(&path));
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
}
