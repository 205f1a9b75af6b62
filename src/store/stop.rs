//! The run's end among the futures of a store's client.

use std::time::Duration;

use super::StoreError;
use crate::deadline::{Deadline, Stopped};

/// How often the run's end is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// The run's end, as a future.
pub(super) struct Stop {
    pub deadline: Deadline,
    pub waiting_for: String,
}

impl Stop {
    pub async fn tripped(&self) -> Stopped {
        loop {
            if let Err(stopped) = self.deadline.check(&self.waiting_for) {
                return stopped;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `work`, unless the run ends first.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::select! {
            outcome = work => outcome,
            stopped = self.tripped() => Err(stopped.into()),
        }
    }
}
