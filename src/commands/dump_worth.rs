//! `--if`: whether there is to be a dump.

use super::dump_run::Run;
use crate::attach::VirtualMachine;
use crate::condition::{Judged, Reading, judge, lacks_heap};
use crate::error::Error;
use crate::heap_dump;

impl<'a> Run<'a> {
    /// Asks the JVM only for what nothing else tells, and then stays attached.
    pub fn measure(&mut self) -> Result<(Judged, Option<VirtualMachine<'a>>), Error> {
        let conditions = &self.settings.conditions;
        let mut usage = heap_dump::usage(self.jvm);
        if !lacks_heap(conditions, &usage) {
            return Ok((judge(conditions, &usage), None));
        }
        let asked = self.attach().and_then(|vm| Ok((heap_dump::whole_heap(&vm, self.deadline)?, vm)));
        let vm = match asked {
            Ok((heap, vm)) => {
                usage.heap = heap;
                vm
            }
            // What the JVM does not tell is unknown, and such a dump is not wanted.
            Err(Error::Attach(error)) if !self.settings.dump_if_unknown => {
                log::warn!("{error}");
                return Ok((judge(conditions, &usage), None));
            }
            Err(error) => return Err(error),
        };
        if usage.heap != Reading::Unknown {
            self.receipt.warn("the JVM keeps no counters: heap is all of its heap that is in use, with the garbage");
        }
        Ok((judge(conditions, &usage), Some(vm)))
    }

    /// Whether there is to be a dump; the receipt says why.
    pub fn is_worth_it(&mut self, judged: Judged) -> bool {
        let conditions = &self.settings.conditions;
        let why_not = match judged {
            Judged::Worth if conditions.is_empty() => return true,
            Judged::Worth => {
                let conditions = conditions.iter().map(ToString::to_string).collect::<Vec<_>>();
                self.receipt.reason.get_or_insert(conditions.join(" or "));
                return true;
            }
            Judged::Unknown(what) if self.settings.dump_if_unknown => {
                self.receipt.warn(format!("{what}; it counts as if it were"));
                return true;
            }
            Judged::Unknown(what) => format!("{what}, and --if-unknown is skip"),
            Judged::NotWorth(why) => why,
        };
        self.receipt.nothing_done = Some(why_not);
        false
    }
}
