//! An error of object_store, without the body of the store's answer. The body may repeat the request with its session
//! token (AWS: "Error responses"; ExpiredToken has it in `Token-0`, SignatureDoesNotMatch in `CanonicalRequest`).
//! object_store's own error never leaves `store`.

use std::error::Error as StdError;

use object_store::client::HttpError as TransportError;
use reqwest::Url;

use super::client::Redirected;
use super::http_error::{HttpError, Said};
use super::presigned::shown;
use crate::store::credentials::TokenError;

/// An error of object_store that is safe to show.
#[derive(Debug, thiserror::Error)]
#[error("{}{cause}", request.as_ref().map(|request| format!("{request}: ")).unwrap_or_default())]
pub struct ObjectError {
    kind: Kind,
    /// Method and URL. `None` if object_store treats the URL as a secret, or there was no request.
    request: Option<String>,
    /// True if the request was sent more than once. The error is that of the last try.
    repeated: bool,
    cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotFound,
    PermissionDenied,
    Unauthenticated,
    /// The client or the store does not support the operation.
    Unable,
    Other,
}

/// Stands for the status of an answer that is a success but has an error in its body. Such an error may pass.
const WITH_AN_ERROR: &str = "with an error";

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("the store answers {status}{said}")]
    Answer { status: String, said: Box<Said> },
    #[error("{0}")]
    Other(String),
}

impl ObjectError {
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound || self.status().starts_with("404")
    }

    /// Returns whether these credentials lack the right.
    pub fn is_forbidden(&self) -> bool {
        self.kind == Kind::PermissionDenied || self.status().starts_with("403")
    }

    /// Returns whether the store does not know these credentials, or there are none.
    pub fn is_of_a_stranger(&self) -> bool {
        self.kind == Kind::Unauthenticated || self.status().starts_with("401")
    }

    /// Returns whether every further try would fail, too.
    pub fn is_final(&self) -> bool {
        self.kind != Kind::Other
    }

    /// Returns whether the store does not know the condition of the request (AWS S3: "Error responses", NotImplemented,
    /// 501; OSS answers 400 with this code).
    pub fn lacks_conditions(&self) -> bool {
        self.kind == Kind::Unable || self.status().starts_with("501") || self.code() == Some("NotImplemented")
    }

    /// Returns whether the store may have executed the request in spite of the error: its answer is missing, or says
    /// nothing about that. 404 and 412 after a repeated request mean that an earlier try may have succeeded.
    pub fn may_be_done(&self) -> bool {
        match &self.cause {
            Cause::Answer { status, .. } if status.starts_with("404") || status.starts_with("412") => self.repeated,
            Cause::Answer { status, .. } => status.starts_with('5') || status == WITH_AN_ERROR,
            Cause::Other(_) => self.kind == Kind::Other,
        }
    }

    /// Returns the error code of the store.
    pub fn code(&self) -> Option<&str> {
        match &self.cause {
            Cause::Answer { said, .. } => said.code.as_deref(),
            Cause::Other(_) => None,
        }
    }

    /// Returns whether the store names the real region or endpoint of the bucket.
    pub fn names_place(&self) -> bool {
        matches!(&self.cause, Cause::Answer { said, .. } if said.region.is_some() || said.endpoint.is_some())
    }

    fn status(&self) -> &str {
        match &self.cause {
            Cause::Answer { status, .. } => status,
            Cause::Other(_) => "",
        }
    }
}

/// Converts the error of a request that this program sent itself.
impl From<HttpError> for ObjectError {
    fn from(error: HttpError) -> Self {
        let HttpError::Refused { status, ref why, ref url, .. } = error else {
            return Self { kind: Kind::Other, request: None, repeated: false, cause: Cause::Other(error.to_string()) };
        };
        let said = Said {
            code: why.strip_prefix(", ").and_then(|why| why.split(';').next()).map(str::to_owned),
            ..Said::default()
        };
        Self {
            kind: Kind::Other,
            request: Some(url.clone()),
            repeated: false,
            cause: Cause::Answer { status: status.to_string(), said: Box::new(said) },
        }
    }
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        let words: Vec<String> = chain(&error).map(ToString::to_string).collect();
        let cause = words.iter().find_map(|words| answer_in(words)).or_else(|| redirect_in(&error));
        let cause = cause.unwrap_or_else(|| other_cause(&error, &words));
        let request = words.iter().find_map(|words| request_in(words));
        Self { kind: kind_of(&error), request, repeated: words.iter().any(|words| was_repeated(words)), cause }
    }
}

fn kind_of(error: &object_store::Error) -> Kind {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => Kind::NotFound,
        E::PermissionDenied { .. } => Kind::PermissionDenied,
        E::Unauthenticated { .. } => Kind::Unauthenticated,
        E::NotImplemented { .. } | E::NotSupported { .. } => Kind::Unable,
        _ => Kind::Other,
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns method and URL of the request. The type of the error is private (object_store 0.14, `client/retry.rs`,
/// `RetryError`), so its text is parsed.
fn request_in(words: &str) -> Option<String> {
    let mut words = words.strip_prefix("Error performing ")?.split(' ');
    let (method, url) = (words.next()?, Url::parse(words.next()?).ok().filter(Url::has_host)?);
    Some(format!("{method} {}", shown(&url)))
}

/// Returns whether the request was repeated (`RetryError`: "in 3s, after 2 retries, max_retries: 20").
fn was_repeated(words: &str) -> bool {
    let before = words.strip_prefix("Error performing ").and_then(|words| words.split(" - ").next());
    before.is_some_and(|words| words.contains(", after "))
}

/// Returns an answer that is no success, or that has an error in its body (`RequestError`).
fn answer_in(words: &str) -> Option<Cause> {
    if let Some(body) = words.strip_prefix("Server returned error response: ") {
        return Some(Cause::Answer { status: WITH_AN_ERROR.into(), said: Box::new(Said::in_body(body)) });
    }
    let (status, body) = words.strip_prefix("Server returned non-2xx status code: ")?.split_once(": ")?;
    Some(Cause::Answer { status: status.to_owned(), said: Box::new(Said::in_body(body)) })
}

/// Returns a redirect, which our own client did not pass on.
fn redirect_in(error: &object_store::Error) -> Option<Cause> {
    let redirected = chain(error).find_map(|error| error.downcast_ref::<Redirected>())?;
    Some(Cause::Answer { status: redirected.status.clone(), said: Box::new(redirected.said.clone()) })
}

/// Returns the reason why there was no usable answer.
fn other_cause(error: &object_store::Error, words: &[String]) -> Cause {
    let bare = || words.iter().find(|words| words.starts_with("Received redirect")).cloned();
    let inner = chain(error).find(|error| error.is::<TokenError>()).map(told);
    let inner =
        inner.or_else(|| chain(error).find_map(|error| error.downcast_ref::<TransportError>()?.source()).map(told));
    // The message of a parser may repeat the text that it could not parse, so it is cut.
    let outer =
        || words[0].split_once(" response: ").map_or(words[0].clone(), |(words, _)| format!("{words} response"));
    Cause::Other(inner.or_else(bare).unwrap_or_else(outer))
}

fn told(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "FwoGZXIvYXdz";

    /// An error like that of object_store, whose type is private.
    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Inner {
        words: String,
        source: Option<Box<Inner>>,
    }

    fn of(inner: &str) -> object_store::Error {
        let words = format!("Error performing PUT http://u:p@127.0.0.1:9/dumps/x.gz?token={TOKEN} in 3ms  - {inner}");
        let source = Some(Box::new(Inner { words: inner.into(), source: None }));
        object_store::Error::Generic { store: "S3", source: Box::new(Inner { words, source }) }
    }

    #[test]
    fn method_and_url_of_an_inner_request_are_shown() {
        let source = Some(Box::new(Inner {
            words: "Error performing GET https://h/dumps?list-type=2 in 3ms".into(),
            source: None,
        }));
        let listing = Inner { words: "Error performing list request".into(), source };
        let listing = Inner { words: format!("{listing}: {}", listing.source.as_ref().unwrap()), ..listing };
        let error = ObjectError::from(object_store::Error::Generic { store: "S3", source: Box::new(listing) });
        assert!(error.to_string().starts_with("GET https://h/dumps: "), "{error}");
    }

    #[test]
    fn only_status_and_code_of_an_answer_are_shown() {
        let body =
            format!("<Error><Code>ExpiredToken</Code><Message>{TOKEN}</Message><Token-0>{TOKEN}</Token-0></Error>");
        let error = ObjectError::from(of(&format!("Server returned non-2xx status code: 400 Bad Request: {body}")));
        assert_eq!(error.code(), Some("ExpiredToken"));
        assert!(!error.is_final() && !error.is_forbidden());
        let told = "PUT http://127.0.0.1:9/dumps/x.gz: the store answers 400 Bad Request, ExpiredToken";
        assert_eq!(error.to_string(), told);
        assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
        let error = ObjectError::from(of(&format!("Server returned error response: {body}")));
        assert!(!format!("{error:?}{error}").contains(TOKEN), "{error:?}");
        let error = ObjectError::from(of("Server returned non-2xx status code: 403 Forbidden: no XML"));
        assert_eq!((error.code(), error.is_forbidden()), (None, true));
    }

    #[test]
    fn text_that_a_parser_repeats_is_not_shown() {
        let source = Inner { words: format!("Got invalid list response: unknown variant {TOKEN}"), source: None };
        let error = ObjectError::from(object_store::Error::Generic { store: "S3", source: Box::new(source) });
        assert_eq!(error.to_string(), "Generic S3 error: Got invalid list response");
    }

    #[test]
    fn connection_error_is_shown_with_all_its_causes() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let transport = TransportError::new(object_store::client::HttpErrorKind::Connect, refused);
        let error = object_store::Error::Generic { store: "S3", source: Box::new(transport) };
        assert_eq!(ObjectError::from(error).to_string(), "connection refused");
    }
}
