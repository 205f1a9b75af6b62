//! A multipart upload, as the stages see it. A channel of length one passes the parts to a thread of its own.

pub mod abort;
pub mod backend;
pub mod body;
mod certificates;
pub mod client;
mod completion;
pub mod dav;
mod expected_answer;
pub mod host_names;
pub mod http_error;
pub mod multipart;
pub mod object_error;
pub mod only_new;
mod opening;
pub mod page_filter;
pub mod part;
pub mod presigned;
mod put_request;
mod s3_client;
pub mod single_put;
pub mod stop;
pub mod token_answer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, mpsc, oneshot};

use super::settings::StoreSettings;
use super::url::Vendor;
use super::{Beside, Finished, StoreError};
use crate::base::deadline::Deadline;
use crate::base::faults::door;
use crate::base::panics;
use crate::base::waiting::{joined_within, until};
use crate::kept::journal::Journal;
use crate::object::key::{ObjectKey, content_type_of};
use crate::object::stored::{Digest, StoredObject};
use abort::ABORT_FOR;
use backend::build;
use multipart::{Failure, Job, Order};
use opening::{OPEN_FOR, SLACK};

/// Longest time for the worker to abort its upload and to end.
const LEAVES_WITHIN: Duration = ABORT_FOR.saturating_add(SLACK);

/// An upload, which its worker thread sends.
#[derive(Debug)]
pub struct RemoteUpload {
    orders: Option<mpsc::Sender<Order>>,
    worker: Option<JoinHandle<()>>,
    parts: usize,
    failure: Failure,
    url: String,
    key: ObjectKey,
    journal: Journal,
    deadline: Deadline,
    /// Tells the worker not to wait for the parts in flight.
    given_up: Arc<Notify>,
}

impl RemoteUpload {
    pub(super) fn open(
        settings: &StoreSettings,
        key: &ObjectKey,
        part_size: u64,
        deadline: &Deadline,
        journal: Journal,
    ) -> Result<Self, StoreError> {
        let (url, vendor) = (settings.url.of_key(&key.dump()), settings.url.vendor());
        let (orders, inbox) = mpsc::channel(1);
        let (opened, answer) = oneshot::channel();
        let (failure, given_up) = (Failure::default(), Arc::new(Notify::new()));
        let job = Job {
            probe: build(settings, part_size, OPEN_FOR.min(settings.retry_for))?,
            backend: build(settings, part_size, settings.retry_for)?,
            path: settings.url.location(&key.dump())?,
            url: url.clone(),
            is_azure: vendor == Some(Vendor::Az),
            // These stores return an MD5 for each part (Alibaba Cloud: "UploadPart"; Huawei Cloud: "Completing a
            // Multipart Upload", by the object's ETag).
            tells_md5: match vendor {
                Some(Vendor::Oss | Vendor::Obs) => settings.encryption.is_none() && settings.kms_key_id.is_none(),
                Some(Vendor::S3 | Vendor::Gs | Vendor::Az) | None => false,
            },
            strange: AtomicBool::new(false),
            retry_for: settings.retry_for,
            begun: Utc::now(),
            deadline: deadline.clone(),
            failure: failure.clone(),
            given_up: Arc::clone(&given_up),
            settings: settings.clone(),
            journal: journal.clone(),
        };
        let worker = Builder::new().spawn(move || job.run(opened, inbox)).map_err(StoreError::NoThread)?;
        let (orders, worker, key, deadline) = (Some(orders), Some(worker), key.clone(), deadline.clone());
        let mut upload = Self { orders, worker, parts: 0, failure, url, key, journal, deadline, given_up };
        upload.answer(answer)?;
        Ok(upload)
    }

    pub(super) fn has_parts(&self) -> bool {
        self.parts > 0
    }

    pub(super) fn put_part(
        &mut self,
        number: usize,
        part: Bytes,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        self.parts += 1;
        door("send a part", || Ok(())).map_err(StoreError::Spool)?;
        self.order(Order::Part(number, part), is_over)
    }

    pub(super) fn finish(mut self, digest: &Digest) -> Result<Finished, StoreError> {
        // The object in the store may have been compressed differently.
        let stored = self.journal.stored_before();
        let digest = stored.as_ref().unwrap_or(digest);
        self.journal.note_whole(digest);
        let (reply, answer) = oneshot::channel();
        self.order(Order::Finish { bytes: digest.bytes, reply }, &|| false)?;
        let verified = self.answer(answer)?;
        let object = StoredObject {
            url: self.url.clone(),
            key: self.key.dump(),
            bytes: digest.bytes,
            sha256: digest.sha256.clone(),
            verified,
        };
        Ok(Finished { object, beside: Beside::Remote(self) })
    }

    pub(super) fn put_beside(&mut self, tail: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let content_type = content_type_of(tail);
        self.order(Order::Beside { key: self.key.beside(tail), content_type, bytes, reply }, &|| false)?;
        self.answer(answer)?
    }

    /// Sends an order to the worker. Stops waiting once `is_over` says that nobody wants the object any more.
    fn order(&mut self, order: Order, is_over: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let orders = self.orders.as_ref().ok_or(StoreError::ClientEnded)?;
        let mut order = Some(order);
        let taken = until(self.patience(), || match orders.try_send(order.take()?) {
            Ok(()) => Some(true),
            Err(TrySendError::Closed(_)) => Some(false),
            Err(TrySendError::Full(_)) if is_over() => Some(false),
            Err(TrySendError::Full(back)) => {
                order = Some(back);
                None
            }
        });
        if taken == Some(true) { Ok(()) } else { Err(self.why()) }
    }

    fn answer<T>(&mut self, mut answer: oneshot::Receiver<T>) -> Result<T, StoreError> {
        let answered = until(self.patience(), || match answer.try_recv() {
            Ok(answer) => Some(Some(answer)),
            Err(TryRecvError::Closed) => Some(None),
            Err(TryRecvError::Empty) => None,
        });
        answered.flatten().ok_or_else(|| self.why())
    }

    /// Returns the longest wait for the worker. It sees the deadline itself, so one that is still there hangs at a
    /// disk.
    fn patience(&self) -> Duration {
        self.deadline.remaining() + LEAVES_WITHIN
    }

    /// Returns the reason why the worker ended. The worker sets it last of all, so its end is waited for.
    fn why(&mut self) -> StoreError {
        self.failure.take().unwrap_or_else(|| {
            let panicked = self.leave();
            self.failure.take().or(panicked).unwrap_or(StoreError::ClientEnded)
        })
    }
}

impl RemoteUpload {
    /// Ends the worker. Returns its panic, if it panicked.
    fn leave(&mut self) -> Option<StoreError> {
        self.given_up.notify_one();
        // When its inbox closes without a finished object, the worker aborts the upload, unless the journal says that it
        // stays.
        self.journal.decide(false);
        self.orders = None;
        match joined_within(self.worker.take()?, LEAVES_WITHIN) {
            Some(Ok(())) => None,
            Some(Err(panic)) => Some(StoreError::Panicked(panics::message(&*panic).to_owned())),
            None => {
                log::warn!("the thread that uploads to {} hangs, and is left to itself", self.url);
                None
            }
        }
    }
}

impl Drop for RemoteUpload {
    fn drop(&mut self) {
        // The end of the process reports a panic that no caller has read.
        let _ = self.leave();
    }
}
