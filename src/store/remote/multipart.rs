//! The worker thread of a multipart upload, with an async runtime of its own. Two parts are in flight, so that the link
//! is always busy and memory stays small.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{Attribute, Attributes, MultipartId, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::{Notify, mpsc, oneshot};

use super::abort::ABORT_FOR;
use super::backend::Backend;
use super::object_error::ObjectError;
use super::opening::{Found, SLACK};
use super::stop::{CHECK_EVERY, Stop};
use crate::base::deadline::Deadline;
use crate::kept::journal::{Journal, SentPart};
use crate::object::stored::Verified;
use crate::store::{StoreError, StoreSettings};

/// Parts in flight at a time.
const IN_FLIGHT: usize = 2;

/// The reason why the worker ended early, shared with the thread that gives it orders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<StoreError>>>);

impl Failure {
    /// Returns the failure before.
    pub fn replace(&self, failure: Option<StoreError>) -> Option<StoreError> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), failure)
    }

    pub fn take(&self) -> Option<StoreError> {
        self.replace(None)
    }
}

#[derive(Debug)]
pub(crate) enum Order {
    /// The number of the part, and its bytes.
    Part(usize, Bytes),
    Finish {
        bytes: u64,
        reply: oneshot::Sender<Verified>,
    },
    Beside {
        key: String,
        content_type: &'static str,
        bytes: Vec<u8>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// The upload of one worker.
pub(crate) struct Job {
    /// A client that gives up early, because opening the upload is the probe of the store.
    pub probe: Arc<dyn Backend>,
    pub backend: Arc<dyn Backend>,
    pub path: Path,
    pub url: String,
    pub is_azure: bool,
    /// True if the store answers a part with its MD5.
    pub tells_md5: bool,
    /// True if the answer to a part was another value twice. The bucket then encrypts with a key of a key service, or
    /// the network damages data.
    pub strange: AtomicBool,
    pub retry_for: Duration,
    /// Start of this upload. An older object is another one.
    pub begun: DateTime<Utc>,
    pub deadline: Deadline,
    pub failure: Failure,
    /// Signals that nobody waits for the parts in flight any more.
    pub given_up: Arc<Notify>,
    pub settings: StoreSettings,
    pub journal: Journal,
}

impl Job {
    pub fn run(self, opened: oneshot::Sender<()>, inbox: mpsc::Receiver<Order>) {
        let failure = self.failure.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = match runtime {
            Ok(runtime) => {
                let outcome = runtime.block_on(self.upload(opened, inbox));
                // A lookup of a name may still run. Nobody needs it any more.
                runtime.shutdown_background();
                outcome
            }
            Err(source) => Err(StoreError::Local { what: "start", path: "the store's client".into(), source }),
        };
        if let Err(error) = outcome {
            failure.replace(Some(error));
        }
    }

    async fn upload(self, opened: oneshot::Sender<()>, mut inbox: mpsc::Receiver<Order>) -> Result<(), StoreError> {
        let stop = Stop { deadline: self.deadline.clone(), waiting_for: format!("waiting for {}", self.url) };
        // A single request may take longer than this, if a server accepts it and never answers.
        let found = tokio::time::timeout(self.opens_within() + SLACK, stop.or(self.find())).await;
        // The failure of an earlier try says more than the silence of the last one.
        let silent = || StoreError::Silent { url: self.url.clone(), after: self.opens_within() };
        let found = found.map_err(|_| self.failure.take().unwrap_or_else(silent))??;
        // If the receiver is gone, nobody wants the upload any more. The closed inbox shows it as well.
        let _ = opened.send(());
        let finished = self.take_orders(&found, &mut inbox, &stop).await;
        if let Err(error) = finished {
            // The sender must not wait for the clean-up, so it gets the error first.
            self.failure.replace(Some(error));
            inbox.close();
            self.give_up(&found).await;
            return Ok(());
        }
        if !matches!(finished, Ok(true)) {
            self.give_up(&found).await;
        }
        self.journal.settle();
        while let Some(order) = inbox.recv().await {
            if let Order::Beside { key, content_type, bytes, reply } = order {
                let _ = reply.send(stop.or(self.put_beside(&key, content_type, bytes)).await);
            }
        }
        Ok(())
    }

    /// Aborts the upload, unless its owner decides that a later run goes on with it.
    async fn give_up(&self, found: &Found) {
        let Found::Multipart(id) = found else { return };
        let stays = loop {
            match self.journal.stays() {
                Some(stays) => break stays,
                None => tokio::time::sleep(CHECK_EVERY).await,
            }
        };
        if !stays {
            self.abort(id).await;
        }
    }

    /// Executes the orders. Returns true if the object was completed, false if the upload was given up.
    async fn take_orders(
        &self,
        found: &Found,
        inbox: &mut mpsc::Receiver<Order>,
        stop: &Stop,
    ) -> Result<bool, StoreError> {
        let mut flying = FuturesUnordered::new();
        let mut parts: BTreeMap<usize, SentPart> = BTreeMap::new();
        loop {
            tokio::select! {
                stopped = stop.tripped() => return Err(stopped.into()),
                () = self.given_up.notified() => return Ok(false),
                Some(part) = flying.next(), if !flying.is_empty() => parts.extend([part?]),
                order = inbox.recv(), if flying.len() < IN_FLIGHT => match order {
                    Some(Order::Part(number, bytes)) => match found {
                        Found::Multipart(id) => flying.push(self.put_part(id, number, bytes)),
                        Found::Object(_) => parts.extend([(number, SentPart::not_sent(&bytes))]),
                    },
                    Some(Order::Finish { bytes, reply }) => {
                        while let Some(part) = stop.or(async { Ok(flying.next().await) }).await? {
                            parts.extend([part?]);
                        }
                        let in_order: Vec<_> = parts.into_values().collect();
                        let verified = match found {
                            Found::Multipart(id) => {
                                stop.or(self.complete(id, in_order, bytes)).await?
                            }
                            Found::Object(there) => self.same_object(there, &in_order, bytes)?,
                        };
                        // A receiver that is gone does not change what is stored.
                        let _ = reply.send(verified);
                        return Ok(true);
                    }
                    Some(Order::Beside { key, content_type, bytes, reply }) => {
                        let _ = reply.send(stop.or(self.put_beside(&key, content_type, bytes)).await);
                    }
                    None => return Ok(false),
                },
            }
        }
    }

    /// Stores a text beside the object. Beside a foreign object, an existing text stays. Not every store supports
    /// conditions, so the store is asked first.
    async fn put_beside(&self, key: &str, content_type: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        let path = self.settings.url.location(key)?;
        let put = |mode| {
            let options = PutOptions { attributes: attributes.clone(), mode, ..PutOptions::default() };
            self.backend.put_opts(&path, bytes.clone().into(), options)
        };
        let failed = |error: object_store::Error| self.error("store something beside", error.into());
        if !self.journal.may_replace_beside() {
            use object_store::Error as E;
            let taken = || StoreError::Beside { url: self.settings.url.of_key(key) };
            match self.backend.head(&path).await {
                Err(E::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
                Ok(_) => return Err(taken()),
            }
            match put(PutMode::Create).await {
                Ok(_) => return Ok(()),
                Err(E::AlreadyExists { .. } | E::Precondition { .. }) => return Err(taken()),
                Err(error) => {
                    let error = ObjectError::from(error);
                    if !error.lacks_conditions() {
                        return Err(self.error("store something beside", error));
                    }
                }
            }
        }
        put(PutMode::Overwrite).await.map(drop).map_err(failed)
    }

    async fn abort(&self, id: &MultipartId) {
        let aborted = tokio::time::timeout(ABORT_FOR, self.probe.abort_multipart(&self.path, id)).await;
        if !matches!(aborted, Ok(Ok(()))) {
            log::warn!(
                "the unfinished upload to {} could not be aborted; a lifecycle rule of the bucket removes it",
                self.url
            );
        }
    }

    pub(crate) fn error(&self, what: &'static str, source: ObjectError) -> StoreError {
        StoreError::Remote { what, url: self.url.clone(), source }
    }
}
