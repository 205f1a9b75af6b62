//! Posts a notice to the address that a setting names. The client is that of the store: its proxy, its certificate
//! authorities, its lookup of names.

use std::time::{Duration, Instant};

use http::Uri;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};

use super::remote::client::Connector;
use super::remote::stop::{ClientRuntime, Stop};
use super::{Secret, StoreError, StoreSettings};
use crate::base::deadline::{Deadline, Stopped};
use crate::base::printable::with_causes;

/// Time of one try. A working server answers at once.
const TRY_FOR: Duration = Duration::from_secs(5);

/// Least time between the starts of the two tries.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A notice was not taken. No message names any part of the address, which is a secret.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error("its client cannot be started")]
    Client(#[source] StoreError),
    #[error("the server that JMAP_DUMP_NOTIFY names has not answered within {seconds} s")]
    Silent { seconds: u64 },
    #[error("the server that JMAP_DUMP_NOTIFY names cannot be asked: {0}")]
    Unsent(String),
    #[error("the server that JMAP_DUMP_NOTIFY names answers {0}")]
    Refused(StatusCode),
    #[error("the server that JMAP_DUMP_NOTIFY names answers {0}, and no redirect is followed")]
    Redirect(StatusCode),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl NoticeError {
    /// Returns whether another try may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Unsent(_) => true,
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Client(_) | Self::Redirect(_) | Self::Stopped(_) => false,
        }
    }
}

/// Returns whether a request can be sent to this address.
pub fn is_address(address: &Secret) -> bool {
    Url::parse(address.reveal()).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.as_str().parse::<Uri>().is_ok()
    })
}

/// Posts `json` to `address`, in two tries at most. Both end within `within`, and with the run.
///
/// # Errors
/// When neither try was answered with a success.
pub fn post(
    store: &StoreSettings,
    address: &Secret,
    json: &str,
    within: Duration,
    deadline: &Deadline,
) -> Result<(), NoticeError> {
    let end = Instant::now() + within;
    let client = Connector::new(store, 0).map_err(NoticeError::Client)?.client();
    let runtime = ClientRuntime::start().map_err(NoticeError::Client)?;
    let stop = Stop { deadline: deadline.clone(), waiting_for: "sending the notice".to_owned() };
    runtime.block_on(async {
        tokio::select! {
            sent = two_tries(&client, address, json, end) => sent,
            stopped = stop.tripped() => Err(stopped.into()),
        }
    })
}

async fn two_tries(client: &Client, address: &Secret, json: &str, end: Instant) -> Result<(), NoticeError> {
    let begun = Instant::now();
    let Err(error) = one_try(client, address, json, end).await else { return Ok(()) };
    let again = begun + AGAIN_AFTER;
    if !error.may_pass() || Instant::now().max(again) >= end {
        return Err(error);
    }
    log::info!("the notice is sent once more: {error}");
    tokio::time::sleep(again.saturating_duration_since(Instant::now())).await;
    one_try(client, address, json, end).await
}

async fn one_try(client: &Client, address: &Secret, json: &str, end: Instant) -> Result<(), NoticeError> {
    let within = TRY_FOR.min(end.saturating_duration_since(Instant::now()));
    let request = client.post(address.reveal()).header(CONTENT_TYPE, "application/json").body(json.to_owned());
    let sent = tokio::time::timeout(within, request.send()).await;
    let answered = sent.map_err(|_| NoticeError::Silent { seconds: within.as_secs() })?;
    match answered.map_err(|error| NoticeError::Unsent(causes(error, address)))?.status() {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(NoticeError::Redirect(status)),
        status => Err(NoticeError::Refused(status)),
    }
}

/// Returns the causes of a failed request, without the host: some services make the host the secret.
fn causes(error: reqwest::Error, address: &Secret) -> String {
    let text = with_causes(&error.without_url());
    let url = Url::parse(address.reveal()).ok();
    let host = url.as_ref().and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']));
    match host.filter(|host| !host.is_empty()) {
        Some(host) => text.replace(host, "[host]"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_no_request_can_have_is_none() {
        for bad in ["", "h/x", "ftp://h/x", "https://", "http://[::1/x", "http://h:99999/x"] {
            assert!(!is_address(&Secret::new(bad)), "{bad}");
        }
        for good in ["https://h/T0/B0/x", "http://10.0.0.1:8080/hook?token=a%20b", "https://u:p@h/"] {
            assert!(is_address(&Secret::new(good)), "{good}");
        }
    }
}
