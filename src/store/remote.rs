//! A multipart upload, seen from the stages: parts go to a thread of its own through a channel of one.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use object_store::path::Path;
use tokio::sync::{mpsc, oneshot};

use super::backend::build;
use super::key::{ObjectKey, content_type_of};
use super::multipart::{Failure, Job, OPEN_FOR, Order};
use super::settings::StoreSettings;
use super::url::StoreUrl;
use super::{Beside, Digest, Finished, Ledger, StoreError, StoredObject};
use crate::deadline::Deadline;

/// The way to the thread that uploads.
#[derive(Debug)]
pub struct RemoteUpload {
    orders: Option<mpsc::Sender<Order>>,
    worker: Option<JoinHandle<()>>,
    parts: usize,
    failure: Failure,
    url: String,
    key: ObjectKey,
    ledger: Ledger,
}

impl RemoteUpload {
    pub(super) fn open(
        settings: &StoreSettings,
        key: &ObjectKey,
        part_size: u64,
        deadline: &Deadline,
        ledger: Ledger,
    ) -> Result<Self, StoreError> {
        let url = settings.url.of_key(&key.dump());
        let (orders, inbox) = mpsc::channel(1);
        let (opened, answer) = oneshot::channel();
        let failure = Failure::default();
        let job = Job {
            probe: build(settings, part_size, OPEN_FOR.min(settings.retry_for))?,
            backend: build(settings, part_size, settings.retry_for)?,
            path: Path::from(settings.url.object_path(&key.dump())),
            url: url.clone(),
            is_azure: matches!(settings.url, StoreUrl::Az { .. }),
            // Alibaba Cloud: "UploadPart"; Huawei Cloud: "Completing a Multipart Upload", by the object's ETag.
            tells_md5: matches!(settings.url, StoreUrl::Oss { .. } | StoreUrl::Obs { .. })
                && settings.encryption.is_none()
                && settings.kms_key_id.is_none(),
            strange: AtomicBool::new(false),
            retry_for: settings.retry_for,
            deadline: deadline.clone(),
            failure: Arc::clone(&failure),
            settings: settings.clone(),
            ledger: ledger.clone(),
        };
        let worker = std::thread::spawn(move || job.run(opened, inbox));
        let mut upload =
            Self { orders: Some(orders), worker: Some(worker), parts: 0, failure, url, key: key.clone(), ledger };
        answer.blocking_recv().map_err(|_| upload.why())?;
        Ok(upload)
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    pub(super) fn has_parts(&self) -> bool {
        self.parts > 0
    }

    pub(super) fn put_part(&mut self, number: usize, part: Bytes) -> Result<(), StoreError> {
        self.parts += 1;
        self.order(Order::Part(number, part))
    }

    pub(super) fn finish(mut self, digest: &Digest) -> Result<Finished, StoreError> {
        // What is there may have been compressed another way.
        let stored = self.ledger.stored_before();
        let digest = stored.as_ref().unwrap_or(digest);
        self.ledger.note_whole(digest);
        let (reply, answer) = oneshot::channel();
        self.order(Order::Finish { bytes: digest.bytes, reply })?;
        let verified = answer.blocking_recv().map_err(|_| self.why())?;
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
        self.order(Order::Beside { key: self.key.beside(tail), content_type, bytes, reply })?;
        answer.blocking_recv().map_err(|_| self.why())?
    }

    fn order(&mut self, order: Order) -> Result<(), StoreError> {
        let orders = self.orders.as_ref().ok_or(StoreError::ClientEnded)?;
        orders.blocking_send(order).map_err(|_| self.why())
    }

    /// Why the worker left. One that has not said so yet says it last of all, so its end is waited for.
    fn why(&mut self) -> StoreError {
        self.failure().unwrap_or_else(|| {
            self.leave();
            self.failure().unwrap_or(StoreError::ClientEnded)
        })
    }

    fn failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl RemoteUpload {
    fn leave(&mut self) {
        // A closed inbox without a finished object makes the worker abort the upload, unless it is to stay.
        self.ledger.decide(false);
        self.orders = None;
        if let Some(worker) = self.worker.take() {
            // Its panic has been printed, and the object is not complete.
            let _ = worker.join();
        }
    }
}

impl Drop for RemoteUpload {
    fn drop(&mut self) {
        self.leave();
    }
}
