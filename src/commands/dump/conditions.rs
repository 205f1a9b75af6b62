//! `--if`: whether there is to be a dump.

use super::run::Run;
use crate::attach::VirtualMachine;
use crate::error::Error;
use crate::heap_dump::{self, Measured};
use crate::jvm::condition::{Judged, Reading, judge, lacks_heap};

impl<'a> Run<'a> {
    /// Asks the JVM only for what nothing else tells, and then stays attached.
    pub fn measure(&mut self) -> Result<(Judged, Option<VirtualMachine<'a>>), Error> {
        let conditions = &self.settings.conditions;
        let mut usage = heap_dump::usage(self.jvm);
        if !lacks_heap(conditions, &usage) {
            return Ok((judge(conditions, &usage), None));
        }
        let asked = self.attach().and_then(|vm| Ok((heap_dump::heap_in_use(&vm, self.deadline)?, vm)));
        let ((heap, measured), vm) = match asked {
            Ok(asked) => asked,
            // What the JVM does not tell is unknown, and such a dump is not wanted.
            Err(Error::Attach(error)) if !self.settings.dump_if_unknown => {
                log::warn!("{error}");
                return Ok((judge(conditions, &usage), None));
            }
            Err(error) => return Err(error),
        };
        usage.heap = heap;
        if usage.heap != Reading::Unknown {
            let what = match measured {
                Measured::OldGeneration => "what its old generation holds",
                Measured::WholeHeap => "all of its heap that is in use",
            };
            self.receipt.warn(format!("the JVM keeps no counters: heap is {what}, with the garbage"));
        }
        Ok((judge(conditions, &usage), Some(vm)))
    }

    /// Whether there is to be a dump; the receipt says why.
    pub fn is_worth_it(&mut self, judged: Judged) -> bool {
        let why_not = match judged {
            Judged::Unconditional => return true,
            Judged::Worth(why) => {
                self.add_reason(&why);
                return true;
            }
            Judged::Unknown(what) if self.settings.dump_if_unknown => {
                self.add_reason(&what);
                self.receipt.warn(format!("{what}; it counts as if it were"));
                return true;
            }
            Judged::Unknown(what) => format!("{what}, and --if-unknown is skip"),
            Judged::NotWorth(why) => why,
        };
        self.receipt.nothing_done = Some(why_not);
        false
    }

    /// What the user says comes first.
    fn add_reason(&mut self, why: &str) {
        let reason = &mut self.receipt.reason;
        *reason = Some(reason.take().map_or_else(|| why.to_owned(), |reason| format!("{reason} ({why})")));
    }
}
