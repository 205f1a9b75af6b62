//! The setting `notify`: tells an address how a run has ended. What comes of that never changes the run's end.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::base::deadline::Deadline;
use crate::base::printable::with_causes;
use crate::object::notice::notice;
use crate::object::receipt::Receipt;
use crate::settings::Settings;
use crate::store::Secret;
use crate::store::notice::post;

/// Time of all notices of one run, with their tries: at the end of a run somebody waits for it. A little less than 10 s,
/// so that the end of the client's threads is within these.
const ALL_WITHIN: Duration = Duration::from_millis(9_800);

/// Time of the notices of a run that a signal has stopped: whoever sent it waits for less.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

/// The notices of one run.
pub struct Notifier<'a> {
    pub settings: &'a Settings,
    deadline: &'a Deadline,
    /// Time that is left for notices. None once one was not taken.
    left: Cell<Duration>,
}

impl<'a> Notifier<'a> {
    pub fn new(settings: &'a Settings, deadline: &'a Deadline) -> Self {
        Self { settings, deadline, left: Cell::new(ALL_WITHIN) }
    }

    /// Returns the notice of a run with this receipt, if it is to be sent.
    pub fn notice_of(&self, receipt: &Receipt) -> Option<String> {
        notice(receipt, self.settings.notify.as_ref()?.classes)
    }

    /// Sends a notice. Returns the reason if it was not taken.
    pub fn send(&self, notice: &str) -> Option<String> {
        let address = &self.settings.notify.as_ref()?.address;
        let (begun, is_stopped) = (Instant::now(), self.deadline.cancel().reason().is_some());
        let left = self.left.get().min(if is_stopped { STOPPED_WITHIN } else { ALL_WITHIN });
        let sent = self.post(address, notice, left.min(self.deadline.remaining()), is_stopped);
        self.left.set(if sent.is_ok() { left.saturating_sub(begun.elapsed()) } else { Duration::ZERO });
        sent.err()
    }

    fn post(&self, address: &Secret, notice: &str, within: Duration, is_stopped: bool) -> Result<(), String> {
        if within.is_zero() {
            return Err("no time is left for it".to_owned());
        }
        // A run that was stopped has an end of its own for its notices.
        let deadline = match is_stopped {
            true => Deadline::after(within).map_err(|error| error.to_string())?,
            false => self.deadline.clone(),
        };
        let sent = post(&self.settings.store, address, notice, within, &deadline);
        sent.map_err(|error| with_causes(&error))
    }
}
