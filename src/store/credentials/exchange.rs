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

/// Longest time for an answer. Token services that work answer at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longest time of all tries. A busy token service recovers soon, and the run needs its time for the dump.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// Most characters of a refusal in a message.
const TOLD: usize = 200;

/// The media type of [`form`].
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the body of a form. Its encoding is that of a URL's query (WHATWG: "URL Standard", 5).
pub fn form(pairs: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://form/", pairs).ok();
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

/// Reads a token from a mounted file. The file may have another token the next time.
///
/// # Errors
/// When the file cannot be read, or is empty.
pub fn token_file(path: &str) -> Result<Secret, TokenError> {
    let read = regular_file::read_named(path, regular_file::TEXT_MAX).and_then(regular_file::text);
    let text = read.map_err(|source| TokenError::File { path: path.to_owned(), source })?;
    let token = Secret::new(&text);
    if token.reveal().is_empty() { Err(TokenError::NoToken { path: path.to_owned() }) } else { Ok(token) }
}

/// Sends the request until the answer is final, and parses it as JSON. `secret` is the secret in the request; it is
/// removed from the message of a refusal.
///
/// # Errors
/// When the service does not answer, refuses, or the answer is no `T`.
pub async fn ask<T: DeserializeOwned>(
    url: &str,
    secret: &Secret,
    request: impl Fn() -> RequestBuilder,
) -> Result<T, TokenError> {
    let bytes = ask_bytes(url, secret, request).await?;
    // The message of serde_json may contain a part of the answer.
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Answer { url: shown(url) })
}

/// Sends the request as [`ask`] does, and returns the bytes of the answer.
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

/// Returns the URL without its query, which may contain a secret.
fn shown(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// Returns the reason of a refusal, from the fields that such services use. They are those of RFC 6749, 5.2 (Google,
/// Azure), Google's `error.message`, and Alibaba's `Code` and `Message`. Container services use `code` and `message`;
/// AWS STS writes `Code` and `Message` in XML.
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
    fn refusal_is_shown_without_the_secret_in_it() {
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
    fn token_ends_before_the_newline_of_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "token\r\n").unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(token_file(path).unwrap().reveal(), "token");
        std::fs::write(file.path(), "\n").unwrap();
        assert!(matches!(token_file(path), Err(TokenError::NoToken { .. })));
    }
}
