//! A URL that somebody has signed, so that no credentials enter the container. It is valid for one object, for a
//! limited time.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use object_store::path::Path as Location;
use reqwest::{Client, Method, RequestBuilder, Url};

use super::http_error::{HttpError, checked};
use super::only_new::OnlyIf;
use crate::base::deadline::Deadline;
use crate::store::settings::Secret;
use crate::store::{SettingsError, StoreError};

/// Most bytes of one PUT (AWS: "Amazon S3 multipart upload limits"; Alibaba Cloud: "PutObject"; Huawei Cloud: "PUT
/// Objects"; Azure takes 5000 MiB).
pub const PUT_MAX: u64 = 5000 << 20;

/// Shortest time for which the URL must still be valid, unless the run itself ends before.
const UPLOAD_WITHIN: Duration = Duration::from_secs(60);

/// The signed URL of one object.
#[derive(Debug)]
pub struct Presigned {
    url: Secret,
    /// The URL without its query, which is the signature.
    pub shown: String,
    /// The key in the store. If the path of the URL contains the bucket, the key does, too.
    pub key: String,
}

impl Presigned {
    /// Parses the URL.
    ///
    /// # Errors
    /// When it is no URL, or it ends within a minute.
    pub fn new(url: &Secret, deadline: &Deadline) -> Result<Self, StoreError> {
        let parsed = Url::parse(url.reveal()).map_err(|_| SettingsError::NotRemote)?;
        let presigned = Self { url: url.clone(), shown: shown(&parsed), key: key_of(&parsed) };
        let soonest = Utc::now() + UPLOAD_WITHIN.min(deadline.remaining());
        match end(&parsed)? {
            Some(end) if end < soonest => {
                let until = end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                Err(StoreError::Http(HttpError::Expired { url: presigned.shown, until }))
            }
            _ => Ok(presigned),
        }
    }

    /// Checks that the server answers at all. The signature is valid only for the PUT, which cannot be tried before
    /// there is a dump.
    pub async fn reach(&self, client: &Client) -> Result<(), HttpError> {
        match checked(&self.shown, "reach", client.head(&self.shown)).await {
            Err(error @ HttpError::Silent { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the request to put the object, without its body. Headers that are not signed are left out, with two
    /// exceptions. Azure demands one (Azure: "Put Blob"). A condition is added where it counts without a signature,
    /// which is not so at Google.
    pub fn put(&self, client: &Client, only_if: &OnlyIf) -> RequestBuilder {
        let url = self.url.reveal();
        let request = client.request(Method::PUT, url);
        let is_azure = url.contains("&sig=") || url.contains("?sig=");
        let request = if is_azure { request.header("x-ms-blob-type", "BlockBlob") } else { request };
        let counts = is_azure || url.contains("X-Amz-Signature=");
        match only_if.header().filter(|_| counts) {
            Some((name, value)) => request.header(name, value),
            None => request,
        }
    }
}

/// Returns the key in the path of the URL.
fn key_of(url: &Url) -> String {
    let path = url.path().trim_start_matches('/');
    Location::from_url_path(path).map_or_else(|_| path.to_owned(), |path| path.to_string())
}

/// Returns the URL without user, query and fragment.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Returns the end of the signature, if the URL contains it: X-Amz-Date and X-Amz-Expires, Google's X-Goog-Date and
/// X-Goog-Expires, or Azure's `se` (AWS: "Authenticating requests: using query parameters"; Google: "Signed URLs";
/// Azure: "Create a service SAS").
fn end(url: &Url) -> Result<Option<DateTime<Utc>>, SettingsError> {
    let get = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.into_owned())
    };
    if let Some(end) = get("se") {
        return Ok(DateTime::parse_from_rfc3339(&end).ok().map(|end| end.with_timezone(&Utc)));
    }
    let beyond = |key: &str| SettingsError::Value {
        key: format!("{key} in the signed URL"),
        why: "names an end that no calendar has".to_owned(),
    };
    let seconds = |key: &str| get(key).and_then(|text| text.parse::<i64>().ok());
    for vendor in ["Amz", "Goog"] {
        let (date, expires) = (format!("X-{vendor}-Date"), format!("X-{vendor}-Expires"));
        let begun = get(&date).and_then(|text| NaiveDateTime::parse_from_str(&text, "%Y%m%dT%H%M%SZ").ok());
        if let (Some(begun), Some(seconds)) = (begun, seconds(&expires)) {
            let after = chrono::Duration::try_seconds(seconds).ok_or_else(|| beyond(&expires))?;
            return begun.and_utc().checked_add_signed(after).map(Some).ok_or_else(|| beyond(&expires));
        }
    }
    seconds("Expires").map(|end| DateTime::from_timestamp(end, 0).ok_or_else(|| beyond("Expires"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn end_of_signature_is_read_from_url_of_each_vendor() {
        let expected = DateTime::parse_from_rfc3339("2026-11-22T01:00:00Z").unwrap();
        for url in [
            "https://b.s3.x/k?X-Amz-Date=20261122T000000Z&X-Amz-Expires=3600&X-Amz-Signature=s",
            "https://storage.x/b/k?X-Goog-Date=20261122T000000Z&X-Goog-Expires=3600",
            "https://b.oss.x/k?OSSAccessKeyId=1&Expires=1795309200&Signature=s",
            "https://a.blob.x/c/k?sv=1&se=2026-11-22T01%3A00%3A00Z&sig=s",
        ] {
            assert_eq!(end(&parsed(url)).unwrap(), Some(expected.with_timezone(&Utc)), "{url}");
        }
        assert_eq!(end(&parsed("https://x/k?token=1")).unwrap(), None);
    }

    #[test]
    fn end_beyond_any_calendar_is_refused_with_its_key() {
        for seconds in ["9000000000000000", "-9000000000000000", "9223372036854775807", "-9223372036854775808"] {
            for vendor in ["Amz", "Goog"] {
                let url = format!("https://h/k?X-{vendor}-Date=20260101T000000Z&X-{vendor}-Expires={seconds}");
                let told = end(&parsed(&url)).unwrap_err().to_string();
                assert!(told.contains(&format!("X-{vendor}-Expires")), "{told}");
            }
            assert!(end(&parsed(&format!("https://h/k?Expires={seconds}"))).is_err());
        }
    }

    #[test]
    fn a_signature_is_never_shown() {
        let url = "https://user:word@host:444/b/k.gz?X-Amz-Signature=hunter2#f";
        assert_eq!(shown(&parsed(url)), "https://host:444/b/k.gz");
        let deadline = Deadline::after(Duration::from_secs(60)).unwrap();
        let presigned = Presigned::new(&Secret::new(url), &deadline).unwrap();
        assert!(!format!("{presigned:?}").contains("hunter2"));
        assert_eq!(presigned.key, "b/k.gz");
        let old = "https://h/k?X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-Signature=hunter2";
        let error = Presigned::new(&Secret::new(old), &deadline).unwrap_err().to_string();
        assert!(error.contains("2020-01-01T00:01:00Z") && !error.contains("hunter2"), "{error}");
    }
}
