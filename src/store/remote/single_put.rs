//! Stores that take a whole object by one PUT: WebDAV, and a signed URL.

use std::io::Read;

use md5::{Digest as _, Md5};
use reqwest::Client;

use super::client::Connector;
use super::dav::{Dav, There};
use super::http_error::HttpError;
use super::only_new::OnlyIf;
use super::opening::{OPEN_FOR, SLACK};
use super::presigned::{PUT_MAX, Presigned};
use super::put_request::PIECE;
use super::stop::{ClientRuntime, Stop};
use crate::base::deadline::Deadline;
use crate::base::units::hex;
use crate::compress::spool::Spool;
use crate::kept::journal::Journal;
use crate::object::key::{ObjectKey, content_type_of};
use crate::object::stored::{Digest, StoredObject, Verified};
use crate::store::retry::Retry;
use crate::store::settings::StoreSettings;
use crate::store::url::StoreUrl;
use crate::store::{Beside, Finished, SettingsError, StoreError};

/// The protocol of the store.
#[derive(Debug)]
pub(super) enum Kind {
    Dav(Dav),
    Presigned(Presigned),
}

/// An object on its way into the store.
#[derive(Debug)]
pub struct WholeUpload {
    pub(super) kind: Kind,
    settings: StoreSettings,
    key: ObjectKey,
    deadline: Deadline,
    journal: Journal,
    pub(super) runtime: ClientRuntime,
    finished: bool,
}

impl WholeUpload {
    pub(crate) fn open(
        settings: &StoreSettings,
        key: &ObjectKey,
        deadline: &Deadline,
        journal: Journal,
    ) -> Result<Self, StoreError> {
        let runtime = ClientRuntime::start()?;
        let client = Connector::new(settings, 0)?.client();
        let kind = match &settings.url {
            StoreUrl::Presigned { url } => Kind::Presigned(Presigned::new(url, deadline)?),
            StoreUrl::Dav { base } => Kind::Dav(Dav::new(settings, base, key)),
            StoreUrl::S3 { .. }
            | StoreUrl::Oss { .. }
            | StoreUrl::Obs { .. }
            | StoreUrl::Gs { .. }
            | StoreUrl::Az { .. }
            | StoreUrl::Local { .. }
            | StoreUrl::Stdout => return Err(SettingsError::NotRemote.into()),
        };
        let (settings, key, deadline) = (settings.clone(), key.clone(), deadline.clone());
        let upload = Self { kind, settings, key, deadline, journal, runtime, finished: false };
        upload.probe(&client)?;
        Ok(upload)
    }

    pub(super) fn stop(&self) -> Stop {
        Stop { deadline: self.deadline.clone(), waiting_for: format!("waiting for {}", self.url()) }
    }

    /// Returns the URL of the object, for messages.
    pub(super) fn url(&self) -> String {
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
        let was_sent = self.journal.sent_before().is_some();
        let stored = self.journal.stored_before();
        let digest = stored.as_ref().unwrap_or(digest);
        if matches!(self.kind, Kind::Presigned(_)) && digest.bytes > PUT_MAX {
            return Err(StoreError::Http(HttpError::TooLarge { url: self.url(), bytes: digest.bytes }));
        }
        self.journal.note_whole(digest);
        let verified = match before {
            true => {
                // The probe of this run has made a temporary object.
                self.remove_temporary();
                Verified::Size
            }
            false => self.put_until_stored(digest.bytes, spool, was_sent)?,
        };
        self.finished = true;
        self.journal.settle();
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
        let (Kind::Dav(dav), Some(sent)) = (&self.kind, self.journal.sent_before()) else { return Ok(false) };
        let client = Connector::new(&self.settings, 0)?.client();
        let there = self.runtime.block_on(self.stop().or(async { Ok(dav.look(&client, &dav.url).await) }))?;
        let found = there.ok() == Some(There::Bytes(sent.bytes));
        if found {
            self.journal.found();
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
            self.journal.wrote();
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
            self.journal.wrote();
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

    /// Returns whether texts can lie beside the object. A signed URL is valid for one object.
    pub(crate) fn takes_texts(&self) -> bool {
        matches!(self.kind, Kind::Dav(_))
    }

    pub(crate) fn put_beside(&mut self, tail: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let Kind::Dav(dav) = &self.kind else { return Ok(()) };
        let client = Connector::new(&self.settings, 0)?.client();
        let key = self.key.beside(tail);
        let may_replace = self.journal.may_replace_beside();
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
