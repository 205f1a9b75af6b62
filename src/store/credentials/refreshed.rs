//! Credentials that end. They are stored until shortly before their end, then replaced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::gcp::{GcpCredential, GcpSigningCredential};
use tokio::sync::Mutex;

use super::error::TokenError;

/// Time before its end at which a credential is replaced. object_store may repeat a signed request for two minutes.
const BEFORE_END: Duration = Duration::from_secs(5 * 60);

/// Longest token in bytes. A header has room for more.
const TOKEN_MAX: usize = 16 << 10;

/// Longest lifetime of a token. It also keeps clock arithmetic from overflowing.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A credential of a token service, which object_store puts into headers.
pub trait Credential: Send + Sync + 'static {
    /// Returns the texts that become headers. object_store panics at a text that no header can contain.
    fn headers(&self) -> Vec<&str>;
}

impl Credential for AwsCredential {
    fn headers(&self) -> Vec<&str> {
        [&self.key_id].into_iter().chain(&self.token).map(String::as_str).collect()
    }
}

impl Credential for GcpCredential {
    fn headers(&self) -> Vec<&str> {
        vec![&self.bearer]
    }
}

impl Credential for GcpSigningCredential {
    fn headers(&self) -> Vec<&str> {
        vec![&self.email]
    }
}

/// A credential, and how long it is valid from now on.
pub struct Lease<C> {
    pub credential: C,
    pub valid_for: Duration,
}

impl<C> Lease<C> {
    /// Returns a lease that ends at a point in time.
    pub fn until(credential: C, end: DateTime<Utc>) -> Self {
        Self { credential, valid_for: (end - Utc::now()).to_std().unwrap_or_default() }
    }
}

/// A source of new credentials. Its `Debug` output shows no secret.
pub trait TokenSource: std::fmt::Debug + Send + Sync + 'static {
    type Credential: Credential;

    /// The name of the store in errors.
    const STORE: &'static str;

    fn fetch(&self) -> impl Future<Output = Result<Lease<Self::Credential>, TokenError>> + Send;
}

/// Gives the credential of a source, and fetches a new one five minutes before its end. A credential with a shorter
/// lifetime is fetched for each request.
pub struct Refreshed<S: TokenSource> {
    source: S,
    kept: Mutex<Option<Kept<S::Credential>>>,
}

struct Kept<C> {
    credential: Arc<C>,
    end: Instant,
}

impl<S: TokenSource> Refreshed<S> {
    pub fn new(source: S) -> Self {
        Self { source, kept: Mutex::new(None) }
    }

    /// Returns a valid credential. While one caller fetches it, the others wait for the same answer.
    async fn credential(&self) -> Result<Arc<S::Credential>, TokenError> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.end > now + BEFORE_END) {
            return Ok(Arc::clone(&kept.credential));
        }
        match self.source.fetch().await.and_then(usable::<S>) {
            Ok(lease) => {
                log::debug!("new credentials for {}, valid for {} s", S::STORE, lease.valid_for.as_secs());
                let credential = Arc::new(lease.credential);
                *kept = Some(Kept { credential: Arc::clone(&credential), end: now + lease.valid_for.min(LONGEST) });
                Ok(credential)
            }
            Err(error) => match kept.as_ref().filter(|kept| kept.end > now) {
                Some(kept) => {
                    log::warn!("the credentials, which end soon, could not be replaced: {error}");
                    Ok(Arc::clone(&kept.credential))
                }
                None => Err(error),
            },
        }
    }
}

fn usable<S: TokenSource>(lease: Lease<S::Credential>) -> Result<Lease<S::Credential>, TokenError> {
    let all = lease.credential.headers();
    if all.into_iter().all(is_token) { Ok(lease) } else { Err(TokenError::Odd { store: S::STORE.to_owned() }) }
}

/// Returns whether a header can contain the text.
pub fn is_token(text: &str) -> bool {
    text.len() <= TOKEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the longest lifetime of a token in seconds.
pub const fn longest_seconds() -> u64 {
    LONGEST.as_secs()
}

/// Tells when the current credential ends.
#[async_trait]
pub trait Ends: Send + Sync {
    async fn end(&self) -> Option<DateTime<Utc>>;
}

#[async_trait]
impl<S: TokenSource> Ends for Refreshed<S> {
    async fn end(&self) -> Option<DateTime<Utc>> {
        let kept = self.kept.lock().await;
        let left = kept.as_ref()?.end.saturating_duration_since(Instant::now());
        Some(Utc::now() + left)
    }
}

impl<S: TokenSource> std::fmt::Debug for Refreshed<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refreshed").field("source", &self.source).finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: TokenSource> CredentialProvider for Refreshed<S> {
    type Credential = S::Credential;

    async fn get_credential(&self) -> object_store::Result<Arc<S::Credential>> {
        self.credential().await.map_err(|error| error.into_store_error(S::STORE))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    impl super::Credential for usize {
        fn headers(&self) -> Vec<&str> {
            Vec::new()
        }
    }

    use super::*;

    /// Gives its answers in order: the lifetime of a credential in seconds, or an error.
    #[derive(Debug)]
    struct Answers(Vec<Option<u64>>, AtomicUsize);

    impl TokenSource for Answers {
        type Credential = usize;
        const STORE: &'static str = "test";

        async fn fetch(&self) -> Result<Lease<usize>, TokenError> {
            let number = self.1.fetch_add(1, Ordering::SeqCst);
            let answer = self.0.get(number).copied().flatten();
            let lease = answer.map(|seconds| Lease { credential: number, valid_for: Duration::from_secs(seconds) });
            lease.ok_or(TokenError::NoToken { path: "x".into() })
        }
    }

    fn asked(answers: &[Option<u64>], times: usize) -> Vec<Option<usize>> {
        let provider = Refreshed::new(Answers(answers.to_vec(), AtomicUsize::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ask = || runtime.block_on(provider.get_credential()).ok().map(|credential| *credential);
        (0..times).map(|_| ask()).collect()
    }

    #[test]
    fn a_credential_is_kept_until_five_minutes_before_its_end() {
        assert_eq!(asked(&[Some(3600), Some(3600)], 3), [Some(0), Some(0), Some(0)]);
        assert_eq!(asked(&[Some(299), Some(299), Some(3600)], 4), [Some(0), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn credential_without_replacement_is_used_to_its_end() {
        assert_eq!(asked(&[Some(299), None, Some(3600)], 3), [Some(0), Some(0), Some(2)]);
        assert_eq!(asked(&[Some(0), None], 2), [Some(0), None]);
    }
}
