//! The end of the run, for the futures of a store's client.

use std::ops::Deref;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::base::deadline::{Deadline, Stopped};
use crate::store::StoreError;

/// Interval of checking for the end of the run.
pub(crate) const CHECK_EVERY: Duration = Duration::from_millis(50);

/// The end of the run, as a future.
pub(crate) struct Stop {
    pub deadline: Deadline,
    pub waiting_for: String,
}

impl Stop {
    pub async fn tripped(&self) -> Stopped {
        loop {
            if let Err(stopped) = self.deadline.check(&self.waiting_for) {
                return stopped;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Runs `work`, unless the run ends first.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::select! {
            outcome = work => outcome,
            stopped = self.tripped() => Err(stopped.into()),
        }
    }
}

/// The runtime of a client that blocking code uses. Dropping it does not wait for a lookup of a name that still runs.
#[derive(Debug)]
pub(crate) struct ClientRuntime(Option<Runtime>);

impl ClientRuntime {
    pub fn start() -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let error = |source| StoreError::Local { what: "start", path: "the store's client".into(), source };
        Ok(Self(Some(runtime.map_err(error)?)))
    }
}

impl Deref for ClientRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("there is one until it is dropped")
    }
}

impl Drop for ClientRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
