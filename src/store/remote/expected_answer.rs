//! The kind of answer that a request may get: it bounds the answer.

use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};

use super::token_answer::FABRIC;

/// The kind of answer that a request may get.
pub(super) enum Expected {
    Nothing,
    /// The first and the last byte.
    Range(u64, u64),
    Page,
    /// A token of Microsoft Fabric.
    Fabric,
    /// Any other answer, which is short.
    Answer,
}

impl Expected {
    pub fn of(request: &HttpRequest) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let range = request.headers().get("range").and_then(|range| range.to_str().ok()).and_then(range_of);
        match request.method().as_str() {
            "HEAD" => Self::Nothing,
            "PROPFIND" => Self::Page,
            "GET" if query.contains("list-type=") || query.contains("comp=list") => Self::Page,
            _ if request.headers().contains_key(FABRIC) => Self::Fabric,
            _ => range.map_or(Self::Answer, |(first, last)| Self::Range(first, last)),
        }
    }
}

/// Parses one range, as object_store asks for it (RFC 9110, section 14.1.2).
fn range_of(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// Checks that the answer has the requested range. object_store computes the length of any range in an answer, which
/// may overflow (object_store 0.14, `client/get.rs`). A range that cannot be parsed is left to object_store, which
/// refuses it.
pub(super) fn check_range(response: &HttpResponse, first: u64, last: u64) -> Result<(), HttpError> {
    let named = response.headers().get("content-range").and_then(|range| range.to_str().ok());
    let named = named.and_then(|range| range.trim().strip_prefix("bytes ")?.split('/').next());
    let Some((begin, end)) = named.and_then(|range| range.split_once('-')) else { return Ok(()) };
    let (begin, end) = (begin.parse::<u64>(), end.parse::<u64>());
    match (begin, end) {
        (Ok(begin), Ok(end)) if begin != first || end < begin || end > last => {
            Err(HttpError::new(HttpErrorKind::Unknown, OtherRange))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store answers with other bytes than it was asked for")]
struct OtherRange;
