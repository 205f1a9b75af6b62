//! Errors of one request that this program itself sends to a store.

use reqwest::{Response, StatusCode};

use super::body;
use super::presigned::PUT_MAX;

/// The error of a request. A URL is shown without its query, which may be a signature.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot {what} {url}")]
    Silent { what: &'static str, url: String, source: reqwest::Error },
    #[error("cannot {what} {url}: {source}")]
    TooLong { what: &'static str, url: String, source: body::TooLong },
    #[error("cannot {what} {url}: the store answers {status}{why}")]
    Refused { what: &'static str, url: String, status: StatusCode, why: String },
    #[error("cannot {what} {url}: the store answers {status}{why}, and an https:// store is WebDAV")]
    NoWebDav { what: &'static str, url: String, status: StatusCode, why: String },
    #[error("{url} has {there} bytes in the store")]
    Size { url: String, there: u64 },
    #[error("{url} is not in the store, which said that it has taken it")]
    Vanished { url: String },
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
    /// Returns whether another try may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            // Another request for the same key is still running (AWS: "Conditional writes").
            Self::Refused { why, .. } if why.contains("ConditionalRequestConflict") => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Early { .. } => true,
            Self::TooLong { .. }
            | Self::NoWebDav { .. }
            | Self::Vanished { .. }
            | Self::Taken { .. }
            | Self::Size { .. }
            | Self::TooLarge { .. }
            | Self::Expired { .. } => false,
        }
    }

    /// Returns what [`ObjectError::may_be_done`](crate::store::remote::object_error::ObjectError::may_be_done) returns.
    /// `in_doubt`: the answer to an earlier try was lost.
    pub fn may_be_done(&self, in_doubt: bool) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Refused { status, .. } if matches!(status.as_u16(), 404 | 412) => in_doubt,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Returns the error of the first requests to a WebDAV store. Whoever refuses them may be an S3 server.
    #[must_use]
    pub fn of_webdav(self) -> Self {
        match self {
            Self::Refused { what, url, status, why }
                if status.is_client_error() && !matches!(status.as_u16(), 401 | 429) =>
            {
                Self::NoWebDav { what, url, status, why }
            }
            other => other,
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoWebDav { .. } => {
                "for MinIO and other S3 servers type --store s3://BUCKET/PREFIX --endpoint https://HOST; for WebDAV check \
                 the URL, and the rights of the user"
            }
            Self::Silent { .. } => "check the URL, the network policy and the proxy",
            Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                "check the user and the password, or have the URL signed anew"
            }
            Self::TooLong { .. } => "look for a proxy or a login page before the store",
            Self::Vanished { .. } => {
                "look for a proxy before the store that answers in its place; then upload it again"
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
            Self::Expired { .. } => {
                "have a URL signed anew for a longer time: jmap-dump-tool presign --valid TIME PROJECT APP ENV"
            }
        }
    }
}

/// Sends the request, and returns a successful answer.
///
/// # Errors
/// When the store does not answer, or refuses.
pub(crate) async fn checked(
    url: &str,
    what: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<Response, HttpError> {
    let shown = || url.to_owned();
    let sent = request.send().await;
    let response = sent.map_err(|source| HttpError::Silent { what, url: shown(), source: source.without_url() })?;
    let status = response.status();
    // A MOVE that failed in part is answered by 207 (RFC 4918, section 9.9.4).
    if status.is_success() && status != StatusCode::MULTI_STATUS {
        return Ok(response);
    }
    let region =
        response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok()).map(str::to_owned);
    let why = Said::in_body(&body::start_of(response).await).or_region(region).to_string();
    Err(HttpError::Refused { what, url: shown(), status, why })
}

/// The facts of an S3-like error that may be shown. The whole answer may repeat the signed request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub code: Option<String>,
    /// The real region of the bucket (AWS: "Error responses", PermanentRedirect and AuthorizationHeaderMalformed;
    /// Alibaba Cloud: AccessDenied of another endpoint's bucket).
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

impl Said {
    pub fn in_body(body: &str) -> Self {
        let element = |name: &str, also: &[u8], max: usize| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            let (text, _) = rest.split_once(&format!("</{name}>"))?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
            Some(text).filter(|text| (1..max).contains(&text.len()) && text.bytes().all(is_plain)).map(str::to_owned)
        };
        Self {
            code: element("Code", b"", 60),
            region: element("Region", b"-", 60),
            endpoint: element("Endpoint", b"-.:", 200),
        }
    }

    /// Adds the region in the answer's header, if the body has none.
    #[must_use]
    pub fn or_region(self, region: Option<String>) -> Self {
        let in_head = || Self::in_body(&format!("<Region>{}</Region>", region?)).region;
        Self { region: self.region.or_else(in_head), ..self }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        if let Some(region) = &self.region {
            write!(f, "; it names the region {region}")?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, "; it names the endpoint {endpoint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_an_answer_is_told() {
        let said = |body| Said::in_body(body).to_string();
        assert_eq!(said("<Error><Code>AccessDenied</Code><Sig>secret</Sig></Error>"), ", AccessDenied");
        assert_eq!((said("<Code>a b</Code>"), said("no")), (String::new(), String::new()));
        let moved = "<Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>";
        let moved = Said::in_body(moved).or_region(Some("eu-west-1".into())).to_string();
        let told =
            ", PermanentRedirect; it names the region eu-west-1; it names the endpoint b.s3.eu-west-1.amazonaws.com";
        assert_eq!(moved, told);
        assert_eq!(Said::default().or_region(Some("a b".into())), Said::default());
    }
}
