//! What can go wrong with one request of ours to a store.

use reqwest::{Response, StatusCode};

use super::presigned::PUT_MAX;

/// A request to such a store failed. A URL is shown without its query: that may be a signature.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot {what} {url}")]
    Silent { what: &'static str, url: String, source: reqwest::Error },
    #[error("cannot {what} {url}: the store answers {status}{why}")]
    Refused { what: &'static str, url: String, status: StatusCode, why: String },
    #[error("{url} has {there} bytes in the store")]
    Size { url: String, there: u64 },
    #[error("{url}: the store has answered before it had all of it")]
    Early { url: String },
    #[error("{url} takes {PUT_MAX} bytes at most by one PUT, and the dump has {bytes}")]
    TooLarge { url: String, bytes: u64 },
    #[error("{url} has an object already")]
    Taken { url: String },
    #[error("{url} was signed to be used until {until}, which is too early")]
    Expired { url: String, until: String },
}

impl HttpError {
    /// Another try may have another answer.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            // AWS: "Conditional writes": another request for the key is still at it.
            Self::Refused { why, .. } if why.contains("ConditionalRequestConflict") => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Early { .. } => true,
            Self::Taken { .. } | Self::Size { .. } | Self::TooLarge { .. } | Self::Expired { .. } => false,
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::Silent { .. } => "check the URL, the network policy and the proxy",
            Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                "check the user and the password, or have the URL signed anew"
            }
            Self::Early { .. } => "look for a proxy or a login page before the store",
            Self::Taken { .. } => {
                "it may be this dump itself, when an answer of the store was lost: look at it; another dump wants another URL"
            }
            Self::Refused { status, .. } if status.as_u16() == 412 => "there is another object of this name",
            Self::Refused { status, .. } if status.as_u16() == 507 => "make room in the store",
            Self::Refused { .. } => "check the URL, and that the store takes PUT",
            Self::TooLarge { .. } => "store it with a key, which sends it in parts",
            Self::Size { .. } => "do not use that object; upload the dump again",
            Self::Expired { .. } => "have a URL signed anew, by 'presign' for example, with --valid long enough",
        }
    }
}

/// The answer, if it is a good one.
///
/// # Errors
/// When there is none, or the store refuses.
pub(super) async fn checked(
    url: &str,
    what: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<Response, HttpError> {
    let shown = || url.to_owned();
    let sent = request.send().await;
    let response = sent.map_err(|source| HttpError::Silent { what, url: shown(), source: source.without_url() })?;
    let status = response.status();
    // Several answers in one are those to a MOVE that failed in part (RFC 4918, section 9.9.4).
    if status.is_success() && status != StatusCode::MULTI_STATUS {
        return Ok(response);
    }
    let body = response.text().await.unwrap_or_default();
    let why = code_of(&body).map(|code| format!(", {code}")).unwrap_or_default();
    Err(HttpError::Refused { what, url: shown(), status, why })
}

/// The code of an S3-like error: the whole answer may hold what was signed.
pub(super) fn code_of(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code).filter(|code| code.len() < 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_an_answer_is_told() {
        assert_eq!(code_of("<Error><Code>AccessDenied</Code><Sig>secret</Sig></Error>"), Some("AccessDenied"));
        assert_eq!(code_of("<Code>a b</Code>"), None);
        assert_eq!(code_of("no"), None);
    }
}
