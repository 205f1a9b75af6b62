//! Reads the bodies of a store's answers with a limit: a broken or hostile server may send forever. hyper already
//! limits the heads to 100 headers and about 400 kB (hyper: `client::conn::http1::Builder::max_buf_size`).

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::client::{HttpError as TransportError, HttpErrorKind, HttpResponse};
use reqwest::Response;

/// Longest page of a listing in bytes. S3 lists 1000 keys in less than 7 MB (AWS: "ListObjectsV2"), Azure 5000 blobs.
/// WebDAV has no pages; about 40,000 files fit.
pub const LIST_MAX: u64 = 32 << 20;

/// Longest answer of any other kind in bytes: an upload's id, a token, an ETag.
pub const ANSWER_MAX: u64 = 64 << 10;

/// Most bytes of an error's text that are read. Its code stands at the start.
pub const ERROR_MAX: u64 = 64 << 10;

/// The answer is too long.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {max} bytes")]
pub struct TooLong {
    max: u64,
}

/// Reasons why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Cut(reqwest::Error),
    #[error(transparent)]
    TooLong(TooLong),
}

/// Reads a whole body of at most `max` bytes.
///
/// # Errors
/// When the body is longer, or the connection ends before it does.
pub async fn read(mut response: Response, max: u64) -> Result<Bytes, BodyError> {
    if response.content_length().is_some_and(|length| length > max) {
        return Err(BodyError::TooLong(TooLong { max }));
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(BodyError::Cut)? {
        if (body.len() + piece.len()) as u64 > max {
            return Err(BodyError::TooLong(TooLong { max }));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Reads the start of an error's text. A read error ends the text.
pub async fn start_of(mut response: Response) -> String {
    let mut body = BytesMut::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece[..piece.len().min(ERROR_MAX as usize - body.len())]);
        if body.len() as u64 >= ERROR_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

/// Reads a whole body as [`read`] does, for object_store.
///
/// # Errors
/// As [`read`]. object_store may repeat a request whose body was cut.
pub async fn collect(response: HttpResponse, max: u64) -> Result<(HttpResponse, Bytes), TransportError> {
    let too_long = || TransportError::new(HttpErrorKind::Unknown, TooLong { max });
    let (head, body) = response.into_parts();
    let announced = head.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_long());
    }
    let (mut stream, mut bytes) = (body.bytes_stream(), BytesMut::new());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(may_be_asked_again)?;
        if (bytes.len() + piece.len()) as u64 > max {
            return Err(too_long());
        }
        bytes.extend_from_slice(&piece);
    }
    let bytes = bytes.freeze();
    Ok((HttpResponse::from_parts(head, bytes.clone().into()), bytes))
}

/// Reads the start of an error's text as [`start_of`] does, for object_store.
pub async fn collect_start(response: HttpResponse) -> (HttpResponse, String) {
    let (head, body) = response.into_parts();
    let (mut stream, mut bytes) = (body.bytes_stream(), BytesMut::new());
    while let Some(Ok(piece)) = stream.next().await {
        bytes.extend_from_slice(&piece[..piece.len().min(ERROR_MAX as usize - bytes.len())]);
        if bytes.len() as u64 >= ERROR_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (HttpResponse::from_parts(head, text.clone().into()), text)
}

/// Marks an error as interrupted. object_store repeats only such requests, and none whose answer it could not decode.
fn may_be_asked_again(error: TransportError) -> TransportError {
    match error.kind() {
        HttpErrorKind::Decode | HttpErrorKind::Unknown => TransportError::new(HttpErrorKind::Interrupted, error),
        _ => error,
    }
}
