//! One PUT of a whole object, while a thread reads the spool.

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

use super::http_error::{HttpError, checked};
use super::only_new::OnlyIf;
use super::single_put::{Kind, WholeUpload};
use super::stop::CHECK_EVERY;
use crate::base::units::hex;
use crate::base::waiting::{joined, pause, started};
use crate::compress::spool::Spool;
use crate::store::StoreError;

/// Bytes that are read from the spool at a time.
pub(super) const PIECE: usize = 256 << 10;

/// Time after which a store that takes no bytes counts as dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Time after which a store that has all bytes and does not answer counts as dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(10 * 60);

impl WholeUpload {
    /// Sends the object once, while a thread reads the spool. Returns whether the ETag of the answer is the MD5 of the
    /// bytes. Sets `all_sent` to that MD5 if all bytes were sent.
    pub(super) fn put_once(
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
}

/// Returns when the store has taken nothing for too long. After the last byte the limit is longer: some stores check
/// the whole object before they answer.
async fn silence(taken: &AtomicU64, bytes: u64) {
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < if last == bytes { ANSWER_WITHIN } else { SILENCE } {
        tokio::time::sleep(CHECK_EVERY).await;
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
