//! `--if`: decides whether there is to be a dump.

use super::run::Run;
use crate::attach::VirtualMachine;
use crate::error::Error;
use crate::heap_dump::{self, Measured};
use crate::jvm::condition::{Judged, Reading, judge, lacks_heap};

impl<'a> Run<'a> {
    /// Measures what the conditions ask for. The run attaches only for values that nothing else tells, and then stays
    /// attached.
    pub fn measure(&mut self) -> Result<(Judged, Option<VirtualMachine<'a>>), Error> {
        let conditions = &self.settings.conditions;
        let mut usage = heap_dump::usage(self.jvm);
        if !lacks_heap(conditions, &usage) {
            return Ok((judge(conditions, &usage), None));
        }
        let asked = self.attach().and_then(|vm| Ok((heap_dump::heap_in_use(&vm, self.deadline)?, vm)));
        let ((heap, measured), vm) = match asked {
            Ok(asked) => asked,
            // A value that the JVM does not tell is unknown. The user wants no dump then.
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

    /// Returns whether there is to be a dump. The receipt says why.
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

    /// Adds a reason to the receipt, behind the reason that the user gave.
    fn add_reason(&mut self, why: &str) {
        let reason = &mut self.receipt.reason;
        *reason = Some(reason.take().map_or_else(|| why.to_owned(), |reason| format!("{reason} ({why})")));
    }
}
