//! One request to a token service: its tries, its answer, its refusal.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{RequestBuilder, Url};
use serde::de::DeserializeOwned;

use super::error::TokenError;
use crate::files::regular_file;
use crate::store::Secret;
use crate::store::remote::body::{self, ANSWER_MAX, BodyError};
use crate::store::retry::Retry;

/// Token services answer at once, or something is wrong with them.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A token service that is busy answers again soon; a run has other things to do with its time.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// Most characters of a refusal that are told.
const TOLD: usize = 200;

/// The media type of [`form`].
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The body of a form: a URL's query is encoded in the same way (WHATWG: "URL Standard", 5).
pub fn form(pairs: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://form/", pairs).ok();
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

/// A token out of a mounted file, which may be another one the next time.
///
/// # Errors
/// When it cannot be read, or is empty.
pub fn token_file(path: &str) -> Result<Secret, TokenError> {
    let read = regular_file::read_named(path, regular_file::TEXT_MAX).and_then(regular_file::text);
    let text = read.map_err(|source| TokenError::File { path: path.to_owned(), source })?;
    let token = Secret::new(&text);
    if token.reveal().is_empty() { Err(TokenError::NoToken { path: path.to_owned() }) } else { Ok(token) }
}

/// Sends what `request` makes until there is an answer that another try would not change, and reads it as JSON.
/// `secret` is what the request proves itself with: a refusal that repeats it is told without it.
///
/// # Errors
/// When the service does not answer, refuses, or says something else than `T`.
pub async fn ask<T: DeserializeOwned>(
    url: &str,
    secret: &Secret,
    request: impl Fn() -> RequestBuilder,
) -> Result<T, TokenError> {
    let bytes = ask_bytes(url, secret, request).await?;
    // What serde_json says might hold a part of the answer.
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Answer { url: shown(url) })
}

/// The same for an answer that may not be JSON.
///
/// # Errors
/// When the service does not answer, or refuses.
pub async fn ask_bytes(url: &str, secret: &Secret, request: impl Fn() -> RequestBuilder) -> Result<Bytes, TokenError> {
    let mut retry = Retry::from_now(RETRY_FOR);
    loop {
        let error = match once(url, secret, request()).await {
            Err(error) => error,
            answered => return answered,
        };
        let Some(pause) = retry.pause(error.may_pass()) else { return Err(error) };
        log::info!("{error}; trying again");
        tokio::time::sleep(pause).await;
    }
}

async fn once(url: &str, secret: &Secret, request: RequestBuilder) -> Result<Bytes, TokenError> {
    let silent = |source: reqwest::Error| TokenError::Silent { url: shown(url), source: source.without_url() };
    let answer = request.timeout(ANSWER_WITHIN).send().await.map_err(silent)?;
    let status = answer.status();
    let bytes = body::read(answer, ANSWER_MAX).await.map_err(|error| match error {
        BodyError::Cut(source) => silent(source),
        BodyError::TooLong(_) => TokenError::Answer { url: shown(url) },
    })?;
    if status.is_success() {
        return Ok(bytes);
    }
    Err(TokenError::Refused { url: shown(url), status: status.as_u16(), why: refusal(&bytes, secret) })
}

/// Without its query, which may hold a secret.
fn shown(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// What the service says in the fields that such services have: RFC 6749, 5.2 (Google, Azure), Google's
/// `error.message`, Alibaba's `Code` and `Message`, the container services' `code` and `message`; AWS STS says the
/// latter in XML.
fn refusal(body: &[u8], secret: &Secret) -> String {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0)
    };
    let places =
        ["/error", "/error_description", "/error/status", "/error/message", "/Code", "/Message", "/code", "/message"];
    let said = places.iter().filter_map(|place| answer.pointer(place)?.as_str());
    let said: Vec<&str> = said.chain(["Code", "Message"].into_iter().filter_map(element)).collect();
    if said.is_empty() {
        return String::new();
    }
    let said = said.join(": ");
    let said = if secret.reveal().is_empty() { said } else { said.replace(secret.reveal(), "[secret]") };
    format!(": {}", said.chars().filter(|c| !c.is_control()).take(TOLD).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(form(&[("a", "x y&z"), ("b", "acs:ram::1")]), "a=x+y%26z&b=acs%3Aram%3A%3A1");
    }

    #[test]
    fn a_refusal_is_told_without_the_secret_that_it_repeats() {
        let secret = Secret::new("eyJhbGciOi");
        let said = refusal(br#"{"Code":"Invalid","Message":"eyJhbGciOi\n is bad","RequestId":"1"}"#, &secret);
        assert_eq!(said, ": Invalid: [secret] is bad");
        let said = refusal(br#"{"error":"invalid_grant","error_description":"no audience"}"#, &secret);
        assert_eq!(said, ": invalid_grant: no audience");
        let said = refusal(b"<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>", &secret);
        assert_eq!(said, ": AccessDenied: not yours");
        assert_eq!(refusal(b"<html>", &secret), "");
    }

    #[test]
    fn the_newline_at_the_end_of_a_token_file_is_none_of_the_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "token\r\n").unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(token_file(path).unwrap().reveal(), "token");
        std::fs::write(file.path(), "\n").unwrap();
        assert!(matches!(token_file(path), Err(TokenError::NoToken { .. })));
    }
}
