//! Signs links that work without credentials, and tells the time at which a link really ends.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use object_store::gcp::GcpSigningCredentialProvider;
use object_store::path::Path;
use object_store::signer::Method;
use reqwest::Url;

use super::remote_client::Remote;
use super::store_reader::{ReadFrom, StoreReader};
use crate::base::printable::printable;
use crate::store::StoreError;
use crate::store::credentials::Ends;
use crate::store::url::Vendor;

/// Lifetime of a signature that Google makes in an account's name. Its keys may change then (Google: "Create
/// signatures").
const BY_GOOGLE: Duration = Duration::from_secs(12 * 3600);

/// Longest lifetime for which a store signs (AWS: "Download and upload objects with presigned URLs", 7 days).
pub const LINK_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The signer of a store's links. Azure needs no entry: its delegation outlives the token that asked for it (Azure:
/// "Create a user delegation SAS").
#[derive(Clone, Default)]
pub struct SignedBy {
    /// A temporary credential of AWS or a similar store.
    pub lease: Option<Arc<dyn Ends>>,
    pub google: Option<GcpSigningCredentialProvider>,
}

/// The real end of a signature, which may be before the end in the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    AsItSays,
    At(DateTime<Utc>, &'static str),
    Unknown,
}

impl SignedBy {
    /// Returns whether there is an account in whose name Google signs. An identity without a service account has none.
    pub async fn has_name(&self) -> bool {
        let Some(google) = &self.google else { return true };
        // An error here will come again at the signature, and is reported there.
        google.get_credential().await.map_or(true, |signer| !signer.email.is_empty())
    }

    /// Returns the link that was signed at `begun` for `valid`.
    pub async fn link(&self, url: &Url, begun: DateTime<Utc>, valid: Duration) -> Link {
        let end = if url.query_pairs().any(|(name, _)| name == "X-Amz-Security-Token") {
            self.end_of_token().await
        } else {
            self.end_of_google(begun).await
        };
        Link::new(url.to_string(), begun + valid, end)
    }

    async fn end_of_token(&self) -> End {
        let Some(lease) = &self.lease else { return End::Unknown };
        lease.end().await.map_or(End::Unknown, |end| End::At(end, "the token that signs it"))
    }

    async fn end_of_google(&self, begun: DateTime<Utc>) -> End {
        let Some(google) = &self.google else { return End::AsItSays };
        match google.get_credential().await {
            Ok(signer) if signer.private_key.is_none() => {
                End::At(begun + BY_GOOGLE, "the key that Google signs it with")
            }
            _ => End::AsItSays,
        }
    }
}

/// A signed link, and its real end.
pub struct Link {
    pub url: String,
    until: Option<DateTime<Utc>>,
    /// The credential or key that ends before the requested time.
    ends_with: Option<&'static str>,
}

impl Link {
    fn new(url: String, said: DateTime<Utc>, end: End) -> Self {
        let (until, ends_with) = match end {
            End::Unknown => (None, None),
            End::At(end, what) if end < said => (Some(end), Some(what)),
            End::At(..) | End::AsItSays => (Some(said), None),
        };
        Self { url, until, ends_with }
    }

    /// Returns the end in RFC 3339; `None` if it is unknown.
    pub fn until(&self) -> Option<String> {
        Some(self.until?.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// Returns a warning if the link may end before the requested time.
    pub fn warning(&self) -> Option<String> {
        match (self.until(), self.ends_with) {
            (Some(until), Some(what)) => Some(format!("the link ends at {until} already, with {what}")),
            (Some(_), None) => None,
            (None, _) => Some("the link ends with the token that signs it, and when that is, is not known".into()),
        }
    }
}

impl StoreReader {
    /// Returns a link by which anybody can read the object for `valid`. `None` if nobody can sign for this store.
    ///
    /// # Errors
    /// When the settings are not enough for a signature.
    pub fn link(&self, key: &str, valid: Duration) -> Result<Option<Link>, StoreError> {
        self.signed(Method::GET, key, valid)
    }

    /// Returns a link by which anybody can put the object for `valid`.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub fn upload_link(&self, key: &str, valid: Duration) -> Result<Option<Link>, StoreError> {
        self.signed(Method::PUT, key, valid)
    }

    fn signed(&self, method: Method, key: &str, valid: Duration) -> Result<Option<Link>, StoreError> {
        let ReadFrom::Remote(Remote { signer: Some((signer, by)), .. }, runtime) = &self.from else {
            return Ok(None);
        };
        let path = self.signable(key)?;
        let signed = async {
            if !by.has_name().await {
                return Ok(None);
            }
            let begun = Utc::now();
            let url = signer.signed_url(method, &path, valid).await;
            let url = url.map_err(|source| self.error("sign a link to", key, source))?;
            Ok(Some(by.link(&url, begun, valid).await))
        };
        runtime.block_on(self.stop.or(signed))
    }

    /// Returns the path of a key in a link. Google's signer uses the path as a part of a URL and encodes too few
    /// characters. This function encodes the others (object_store 0.14, `gcp/client.rs`, `path_url`).
    fn signable(&self, key: &str) -> Result<Path, StoreError> {
        let path = self.path(key)?;
        match self.settings.url.vendor() {
            Some(Vendor::Gs) => {}
            Some(Vendor::Az) if is_encoded_in_url(&path) => {
                let (shown, why) =
                    (printable(key).into_owned(), "Azure's client signs no link to a key that a URL has to encode");
                return Err(StoreError::Key { shown, why });
            }
            Some(Vendor::S3 | Vendor::Oss | Vendor::Obs | Vendor::Az) | None => return Ok(path),
        }
        let encoded = path.as_ref().replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace('\\', "%5C");
        Path::parse(encoded).map_err(|_| StoreError::ClientEnded)
    }
}

/// Returns whether a URL has to encode the key. Azure verifies a link by the plain key, but object_store signs the
/// encoded one (object_store 0.14, `azure/credential.rs`).
fn is_encoded_in_url(path: &Path) -> bool {
    Url::parse("http://h/")
        .and_then(|url| url.join(path.as_ref()))
        .map_or(true, |url| url.path()[1..] != *path.as_ref())
        || path.as_ref().contains('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_ends_with_its_signer_or_at_requested_time() {
        let said = DateTime::UNIX_EPOCH + Duration::from_secs(7200);
        let of = |end| {
            let link = Link::new("u".into(), said, end);
            (link.until(), link.warning().is_some())
        };
        let hour = |hours: u64| DateTime::UNIX_EPOCH + Duration::from_secs(hours * 3600);
        assert_eq!(of(End::AsItSays), (Some("1970-01-01T02:00:00Z".into()), false));
        assert_eq!(of(End::At(hour(1), "it")), (Some("1970-01-01T01:00:00Z".into()), true));
        assert_eq!(of(End::At(hour(3), "it")), (Some("1970-01-01T02:00:00Z".into()), false));
        assert_eq!(of(End::Unknown), (None, true));
    }
}
