//! Stores that take a whole object by one PUT: WebDAV, and a signed URL.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use md5::{Digest as _, Md5};
use reqwest::header::{CONTENT_LENGTH, ETAG};
use reqwest::{Body, Client};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::client::Connector;
use super::dav::{Dav, There};
use super::http_error::{HttpError, checked};
use super::multipart::{OPEN_FOR, SLACK};
use super::only_new::OnlyIf;
use super::presigned::{PUT_MAX, Presigned};
use super::stop::{ClientRuntime, LOOK, Stop};
use crate::base::deadline::Deadline;
use crate::base::units::hex;
use crate::base::waiting::{joined, pause, started};
use crate::compress::spool::Spool;
use crate::kept::ledger::Ledger;
use crate::object::key::{ObjectKey, content_type_of};
use crate::object::stored::{Digest, StoredObject, Verified};
use crate::store::retry::Retry;
use crate::store::settings::StoreSettings;
use crate::store::url::StoreUrl;
use crate::store::{Beside, Finished, StoreError};

/// Bytes that are read from the spool at a time.
const PIECE: usize = 256 << 10;

/// Time after which a store that takes no bytes counts as dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Time after which a store that has all bytes and does not answer counts as dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(10 * 60);

/// The protocol of the store.
#[derive(Debug)]
enum Kind {
    Dav(Dav),
    Presigned(Presigned),
}

/// An object on its way into the store.
#[derive(Debug)]
pub struct WholeUpload {
    kind: Kind,
    settings: StoreSettings,
    key: ObjectKey,
    deadline: Deadline,
    ledger: Ledger,
    runtime: ClientRuntime,
    finished: bool,
}

impl WholeUpload {
    pub(crate) fn open(
        settings: &StoreSettings,
        key: &ObjectKey,
        deadline: &Deadline,
        ledger: Ledger,
    ) -> Result<Self, StoreError> {
        let runtime = ClientRuntime::start()?;
        let client = Connector::new(settings, 0)?.client();
        let kind = match &settings.url {
            StoreUrl::Presigned { url } => Kind::Presigned(Presigned::new(url, deadline)?),
            _ => Kind::Dav(Dav::new(settings, key)?),
        };
        let (settings, key, deadline) = (settings.clone(), key.clone(), deadline.clone());
        let upload = Self { kind, settings, key, deadline, ledger, runtime, finished: false };
        upload.probe(&client)?;
        Ok(upload)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    fn stop(&self) -> Stop {
        Stop { deadline: self.deadline.clone(), waiting_for: format!("waiting for {}", self.url()) }
    }

    /// Returns the URL of the object, for messages.
    fn url(&self) -> String {
        match &self.kind {
            Kind::Dav(dav) => dav.url.clone(),
            Kind::Presigned(presigned) => presigned.shown.clone(),
        }
    }

    /// Probes the store. Uses the rights of the upload as far as that leaves nothing behind.
    fn probe(&self, client: &Client) -> Result<(), StoreError> {
        let within = OPEN_FOR.min(self.settings.retry_for);
        let work = async {
            let mut retry = Retry::from_now(within);
            loop {
                let probed = match &self.kind {
                    Kind::Dav(dav) => dav.prepare(client).await,
                    Kind::Presigned(presigned) => presigned.reach(client).await,
                };
                let Err(error) = probed else { return Ok(()) };
                let Some(pause) = retry.pause(error.may_pass()) else {
                    let is_dav = matches!(self.kind, Kind::Dav(_));
                    return Err(StoreError::Http(if is_dav { error.of_webdav() } else { error }));
                };
                log::info!("opening {} failed, trying again: {error}", self.url());
                tokio::time::sleep(pause).await;
            }
        };
        let stop = self.stop();
        let bounded = async { tokio::time::timeout(within + SLACK, stop.or(work)).await };
        let opened = self.runtime.block_on(bounded);
        opened.map_err(|_| StoreError::Silent { url: self.url(), after: within })?
    }

    pub(crate) fn finish(mut self, digest: &Digest, spool: &Spool) -> Result<Finished, StoreError> {
        let before = self.there_already()?;
        let was_sent = self.ledger.sent_before().is_some();
        let stored = self.ledger.stored_before();
        let digest = stored.as_ref().unwrap_or(digest);
        if matches!(self.kind, Kind::Presigned(_)) && digest.bytes > PUT_MAX {
            return Err(StoreError::Http(HttpError::TooLarge { url: self.url(), bytes: digest.bytes }));
        }
        self.ledger.note_whole(digest);
        let verified = match before {
            true => {
                // The probe of this run has made a temporary object.
                self.remove_temporary();
                Verified::Size
            }
            false => self.put_until_stored(digest.bytes, spool, was_sent)?,
        };
        self.finished = true;
        self.ledger.settle();
        let (url, key) = match &self.kind {
            Kind::Dav(dav) => (dav.url.clone(), self.key.dump()),
            Kind::Presigned(presigned) => (presigned.shown.clone(), presigned.key.clone()),
        };
        let object = StoredObject { url, key, bytes: digest.bytes, sha256: digest.sha256.clone(), verified };
        Ok(Finished { object, beside: Beside::Whole(Box::new(self)) })
    }

    /// Returns whether the object is already in the store. An earlier process may have been killed between its last
    /// request and the answer. Then the object is the one that it sent.
    fn there_already(&self) -> Result<bool, StoreError> {
        let (Kind::Dav(dav), Some(sent)) = (&self.kind, self.ledger.sent_before()) else { return Ok(false) };
        let client = Connector::new(&self.settings, 0)?.client();
        let there = self.runtime.block_on(self.stop().or(async { Ok(dav.look(&client, &dav.url).await) }))?;
        let found = there.ok() == Some(There::Bytes(sent.bytes));
        if found {
            self.ledger.found();
        }
        Ok(found)
    }

    fn put_until_stored(&self, bytes: u64, spool: &Spool, was_sent: bool) -> Result<Verified, StoreError> {
        let client = Connector::new(&self.settings, bytes)?.client();
        let mut only_if = self.first_condition(spool, was_sent)?;
        let same_md5 = self.until_it_works(|| {
            loop {
                let mut sent = None;
                match self.put_once(&client, bytes, spool, &only_if, &mut sent) {
                    Err(error) if only_if.learn(&error, sent) => log::info!("putting it on another condition: {error}"),
                    done => return done.map_err(|error| self.judged(error, &only_if)),
                }
            }
        })?;
        let Kind::Dav(dav) = &self.kind else {
            self.ledger.wrote();
            return Ok(if same_md5 { Verified::Checksum } else { Verified::Acknowledged });
        };
        let mut in_doubt = false;
        let named = self.until_it_works(|| {
            let named = self.runtime.block_on(self.stop().or(async { Ok(dav.name(&client, bytes, in_doubt).await) }));
            named?.map_err(|error| {
                in_doubt |= error.may_be_done(in_doubt);
                match error {
                    HttpError::Size { there, .. } => {
                        StoreError::SizeDiffers { url: self.url(), there, expected: bytes }
                    }
                    error => StoreError::Http(error),
                }
            })
        })?;
        if named.by_us {
            self.ledger.wrote();
        }
        Ok(named.verified)
    }

    /// Returns the first condition of a PUT. An earlier process may have sent all bytes and then died before the
    /// answer.
    fn first_condition(&self, spool: &Spool, was_sent: bool) -> Result<OnlyIf, StoreError> {
        if !was_sent || !matches!(self.kind, Kind::Presigned(_)) {
            return Ok(OnlyIf::New);
        }
        let mut md5 = Md5::new();
        let (mut raw, mut page) = (spool.reader(), vec![0; PIECE]);
        loop {
            self.deadline.check("reading the dump before it is sent again")?;
            match raw.read(&mut page).map_err(StoreError::Spool)? {
                0 => return Ok(OnlyIf::NewOrLost(hex(&md5.finalize()))),
                n => md5.update(&page[..n]),
            }
        }
    }

    fn judged(&self, error: StoreError, only_if: &OnlyIf) -> StoreError {
        match &self.kind {
            Kind::Presigned(_) => only_if.judge(error, || self.url()),
            Kind::Dav(_) => error,
        }
    }

    /// Repeats `work` while it fails for a reason that may pass. The time for that counts from the first failure.
    fn until_it_works<T>(&self, mut work: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut retry = Retry::from_first_failure(self.settings.retry_for);
        loop {
            let error = match work() {
                Err(error) => error,
                done => return done,
            };
            let may_pass = match &error {
                StoreError::Http(error) => error.may_pass(),
                error => matches!(error, StoreError::Silent { .. }),
            };
            let Some(pause) = retry.pause(may_pass) else { return Err(error) };
            log::warn!("{} failed, trying again: {error}", self.url());
            self.deadline.sleep(pause, "trying the upload again")?;
        }
    }

    /// Sends the object once, while a thread reads the spool. Returns whether the ETag of the answer is the MD5 of the
    /// bytes. Sets `all_sent` to that MD5 if all bytes were sent.
    fn put_once(
        &self,
        client: &Client,
        bytes: u64,
        spool: &Spool,
        only_if: &OnlyIf,
        all_sent: &mut Option<String>,
    ) -> Result<bool, StoreError> {
        let (pieces, body) = mpsc::channel::<Bytes>(2);
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&taken);
        let body = futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
        let body = Body::wrap_stream(body.map(move |piece| {
            counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece)
        }));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = started(scope, || read(spool, bytes, pieces, &over)).map_err(StoreError::NoThread)?;
            let sent = self.runtime.block_on(self.stop().or(async {
                tokio::select! {
                    sent = self.send(client, bytes, body, only_if) => sent.map_err(StoreError::Http),
                    () = silence(&taken, bytes) => Err(StoreError::Silent { url: self.url(), after: SILENCE }),
                }
            }));
            over.store(true, Ordering::Relaxed);
            let read = joined(reader);
            *all_sent = read.as_ref().ok().filter(|_| taken.load(Ordering::Relaxed) == bytes).cloned();
            match (sent, read) {
                (Ok(_), Ok(_)) if taken.load(Ordering::Relaxed) != bytes => {
                    Err(StoreError::Http(HttpError::Early { url: self.url() }))
                }
                (Ok(e_tag), Ok(md5)) => Ok(e_tag.as_deref() == Some(md5.as_str())),
                // A read error of the spool has ended the request, so it is the cause.
                (_, Err(source)) if source.kind() != std::io::ErrorKind::BrokenPipe => Err(StoreError::Spool(source)),
                (Err(error), _) => Err(error),
                (Ok(_), Err(source)) => Err(StoreError::Spool(source)),
            }
        })
    }

    /// Sends the request and returns the ETag of the answer. The ETag is the MD5 of the object, unless the store
    /// encrypts with a key of a key service.
    async fn send(
        &self,
        client: &Client,
        bytes: u64,
        body: Body,
        only_if: &OnlyIf,
    ) -> Result<Option<String>, HttpError> {
        let request = match &self.kind {
            Kind::Dav(dav) => dav.put(client),
            Kind::Presigned(presigned) => presigned.put(client, only_if),
        };
        let response = checked(&self.url(), "put", request.header(CONTENT_LENGTH, bytes).body(body)).await?;
        let e_tag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
        Ok(e_tag.map(|text| text.trim_matches('"').to_ascii_lowercase()))
    }

    /// Returns whether texts can lie beside the object. A signed URL is valid for one object.
    pub(crate) fn takes_texts(&self) -> bool {
        matches!(self.kind, Kind::Dav(_))
    }

    pub(crate) fn put_beside(&mut self, tail: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let Kind::Dav(dav) = &self.kind else { return Ok(()) };
        let client = Connector::new(&self.settings, 0)?.client();
        let key = self.key.beside(tail);
        let may_replace = self.ledger.may_replace_beside();
        let put = dav.put_small(&client, &key, content_type_of(tail), bytes, may_replace);
        self.runtime.block_on(self.stop().or(async { put.await.map_err(StoreError::Http) }))
    }

    fn remove_temporary(&self) {
        let Kind::Dav(dav) = &self.kind else { return };
        let Ok(client) = Connector::new(&self.settings, 0).map(|connector| connector.client()) else { return };
        let removed = self.runtime.block_on(async {
            tokio::time::timeout(crate::store::remote::abort::ABORT_FOR, dav.remove_temporary(&client)).await
        });
        if !matches!(removed, Ok(Ok(()))) {
            log::warn!("{} could not be removed", dav.temporary);
        }
    }
}

impl Drop for WholeUpload {
    fn drop(&mut self) {
        if !self.finished {
            self.remove_temporary();
        }
    }
}

/// Returns when the store has taken nothing for too long. After the last byte the limit is longer: some stores check
/// the whole object before they answer.
async fn silence(taken: &AtomicU64, bytes: u64) {
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < if last == bytes { ANSWER_WITHIN } else { SILENCE } {
        tokio::time::sleep(LOOK).await;
        let now = taken.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// Reads the object into `pieces` and returns its MD5. Fails with `BrokenPipe` when the request is over. The client may
/// keep the other end of the channel open, although nobody reads from it.
fn read(spool: &Spool, bytes: u64, pieces: mpsc::Sender<Bytes>, over: &AtomicBool) -> std::io::Result<String> {
    let (mut md5, mut at) = (Md5::new(), 0);
    while at < bytes {
        let mut piece = vec![0; (bytes - at).min(PIECE as u64) as usize];
        spool.read_exact_at(&mut piece, at)?;
        md5.update(&piece);
        at += piece.len() as u64;
        let mut waiting = Bytes::from(piece);
        while let Err(refused) = pieces.try_send(waiting) {
            if over.load(Ordering::Relaxed) || matches!(refused, TrySendError::Closed(_)) {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            waiting = refused.into_inner();
            pause(Duration::from_millis(1));
        }
    }
    Ok(hex(&md5.finalize()))
}
