//! The worker thread of a multipart upload, with an async runtime of its own. Two parts are in flight, so that the link
//! is always busy and memory stays small.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartId, ObjectMeta, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
    PutPayload,
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::abort::ABORT_FOR;
use super::backend::Backend;
use super::object_error::ObjectError;
use super::part::is_e_tag_of;
use super::stop::{LOOK, Stop};
use crate::base::deadline::Deadline;
use crate::guard::{self, Undo};
use crate::kept::journal::{Journal, SentPart};
use crate::object::stored::Verified;
use crate::store::retry::Retry;
use crate::store::url::StoreUrl;
use crate::store::{OpenMultipart, StoreError, StoreSettings};

/// Parts in flight at a time.
const IN_FLIGHT: usize = 2;

/// Time after which a store that cannot open an upload counts as unusable.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(8);

/// Extra time, so that the error of the last try comes before our own time-out.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

/// Largest difference between a store's clock and ours (AWS: "Error responses", RequestTimeTooSkewed).
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(15);

/// Longest id of an upload, which becomes a part of URLs. Those of Amazon have about 130 bytes.
const ID_MAX: usize = 4096;

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

/// The state of the object in the store.
enum Found {
    /// The whole object: an earlier process completed it but could not note that.
    Object(Box<ObjectMeta>),
    Multipart(MultipartId),
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

    /// Finds the upload that an earlier process has left, or opens a new one.
    async fn find(&self) -> Result<Found, StoreError> {
        if self.journal.is_resumed() {
            match self.probe.head(&self.path).await.map_err(ObjectError::from) {
                Ok(meta) => {
                    self.journal.found();
                    return Ok(Found::Object(Box::new(meta)));
                }
                Err(error) => log::info!("{} is not there yet: {error}", self.url),
            }
        }
        let store = self.settings.url.to_string();
        if let Some(id) = self.journal.open_in(&store) {
            return Ok(Found::Multipart(id));
        }
        let id = self.create().await?;
        let open = OpenMultipart { settings: self.settings.clone(), path: self.path.to_string(), id: id.clone() };
        self.journal.noted(guard::note(Undo::Upload(open.to_json()), &[]));
        log::debug!("multipart upload {id} is open");
        self.journal.opened(&store, &id);
        Ok(Found::Multipart(id))
    }

    /// Aborts the upload, unless its owner decides that a later run goes on with it.
    async fn give_up(&self, found: &Found) {
        let Found::Multipart(id) = found else { return };
        let stays = loop {
            match self.journal.stays() {
                Some(stays) => break stays,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        if !stays {
            self.abort(id).await;
        }
    }

    /// Opens a multipart upload. Failures are tried again, because not every client of object_store does so. Opening
    /// twice does no harm.
    async fn create(&self) -> Result<MultipartId, StoreError> {
        let mut retry = Retry::from_now(self.opens_within());
        let id = loop {
            let created = self.probe.create_multipart_opts(&self.path, self.options()).await;
            match created.map_err(ObjectError::from) {
                Ok(id) if id.len() <= ID_MAX => break id,
                Ok(_) => return Err(StoreError::LongAnswer { url: self.url.clone(), what: "the id of the upload" }),
                Err(source) => {
                    let Some(pause) = retry.pause(!source.is_final()) else {
                        return Err(self.error("open an upload to", source));
                    };
                    log::info!("opening {} failed, trying again: {source}", self.url);
                    self.failure.replace(Some(self.error("open an upload to", source)));
                    tokio::time::sleep(pause).await;
                }
            }
        };
        self.failure.take();
        if self.is_azure {
            // On Azure, opening sends no request, so a block is sent as probe. A block that is in no list vanishes by
            // itself.
            let probe = self.probe.put_part(&self.path, &id, 0, PutPayload::from_static(b"probe")).await;
            probe.map_err(|error| self.error("open an upload to", error.into()))?;
        }
        Ok(id)
    }

    /// Returns the options of the upload. object_store accepts no attributes for Azure.
    fn options(&self) -> PutMultipartOptions {
        let attributes = Attributes::from_iter([(Attribute::ContentType, "application/gzip")]);
        let attributes = if self.is_azure { Attributes::new() } else { attributes };
        PutMultipartOptions { attributes, ..PutMultipartOptions::default() }
    }

    fn opens_within(&self) -> Duration {
        OPEN_FOR.min(self.retry_for)
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
                    Some(Order::Beside { .. }) | None => return Ok(false),
                },
            }
        }
    }

    /// Checks the object that was there before this process. Unless a journal says that an earlier process sent it,
    /// only its ETag proves that it is ours.
    fn same_object(&self, there: &ObjectMeta, parts: &[SentPart], bytes: u64) -> Result<Verified, StoreError> {
        let of_size = self.same_size(there.size, bytes)?;
        Ok(match is_e_tag_of(parts, there.e_tag.as_deref()) {
            true => Verified::Checksum,
            false if self.journal.is_by_us() => of_size,
            false => Verified::Acknowledged,
        })
    }

    fn same_size(&self, there: u64, expected: u64) -> Result<Verified, StoreError> {
        let differs = || StoreError::SizeDiffers { url: self.url.clone(), there, expected };
        if there == expected { Ok(Verified::Size) } else { Err(differs()) }
    }

    async fn complete(&self, id: &MultipartId, parts: Vec<SentPart>, bytes: u64) -> Result<Verified, StoreError> {
        let ids = parts.iter().map(|part| PartId { content_id: part.id.clone() }).collect();
        let completed = self.backend.complete_multipart(&self.path, id, ids).await.map_err(ObjectError::from);
        let theirs = match completed {
            Ok(result) => result.e_tag,
            Err(error) if error.may_be_done() => return self.find_completed(error, &parts, bytes).await,
            Err(error) => return Err(self.error("complete", error)),
        };
        self.journal.wrote();
        match self.backend.head(&self.path).await.map_err(ObjectError::from) {
            Ok(meta) => self.same_size(meta.size, bytes)?,
            Err(error) if error.is_not_found() => return Err(self.error("find", error)),
            Err(error) => {
                log::info!("{} cannot be looked at: {error}", self.url);
                return Ok(Verified::Acknowledged);
            }
        };
        // With `tells_md5`, each part was compared when it was sent.
        let checked = self.tells_md5 && !parts.is_empty() && !self.strange.load(Ordering::Relaxed);
        let same = is_e_tag_of(&parts, theirs.as_deref());
        Ok(if same || checked { Verified::Checksum } else { Verified::Size })
    }

    /// Looks for the object after the answer to its completion was lost: it may be complete all the same.
    ///
    /// Another object of the same size must not count. The ETag shows whose object it is; or the time, where ETags are
    /// no MD5.
    async fn find_completed(&self, error: ObjectError, parts: &[SentPart], bytes: u64) -> Result<Verified, StoreError> {
        let found = self.backend.head(&self.path).await.ok().filter(|meta| meta.size == bytes);
        match found {
            Some(meta) if is_e_tag_of(parts, meta.e_tag.as_deref()) => {
                self.journal.wrote();
                Ok(Verified::Checksum)
            }
            Some(meta) if !self.tells_e_tag(parts) && meta.last_modified >= self.begun - CLOCKS_APART => {
                Ok(Verified::Acknowledged)
            }
            _ => Err(self.error("complete", error)),
        }
    }

    /// Returns whether the object's ETag can be computed: S3 builds it from the MD5s of the parts, if these are the
    /// parts' ETags.
    fn tells_e_tag(&self, parts: &[SentPart]) -> bool {
        matches!(self.settings.url, StoreUrl::S3 { .. }) && parts.iter().all(SentPart::is_told_by_md5)
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
                Err(E::NotImplemented { .. } | E::NotSupported { .. }) => {}
                Err(E::AlreadyExists { .. } | E::Precondition { .. }) => return Err(taken()),
                other => return other.map(drop).map_err(failed),
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
