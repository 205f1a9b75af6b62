//! The policy that is built into this program: the stores that dumps may go to, and the least redaction. No flag,
//! variable or file loosens it. All functions but [`Policy::built_in`] are pure.

use std::path::Path;

use super::layers::Origin;
use super::values::UsageError;
use crate::compress::redaction::Redaction;
use crate::hprof::Redact;
use crate::store::StoreSettings;
use crate::store::url::{StoreUrl, Vendor};

/// Google's own endpoint: a service account's file may name another one (`gcs_base_url`).
const GOOGLE: &str = "https://storage.googleapis.com";

/// The author of the policy, if the build does not name one.
const SOMEBODY: &str = "whoever built this program";

/// The texts of the build, by the rest of their variables' names.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// `ALLOWED_STORES`, with ',' between.
    pub stores: Option<String>,
    /// `LEAST_REDACT`: strings or all.
    pub least: Option<String>,
    /// `POLICY_BY`: whom to ask.
    pub by: Option<String>,
    /// `ENDPOINT`, and `ACCOUNT` of Azure: the only ones for an allowed store.
    pub endpoint: Option<String>,
    pub account: Option<String>,
}

/// The policy of this build.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    stores: Option<Vec<StoreUrl>>,
    least: Option<Redact>,
    by: String,
    endpoint: Option<String>,
    account: Option<String>,
}

impl Policy {
    /// # Errors
    /// When what was built in makes no sense: nothing runs then.
    pub fn built_in() -> Result<Self, UsageError> {
        let text = |built_in: Option<&'static str>, _key: &str| {
            // The suite has one build: where none is built in, the variables make one. They never replace one.
            #[cfg(debug_assertions)]
            let built_in =
                built_in.map(str::to_owned).or_else(|| std::env::var(format!("JMAP_DUMP_BUILTIN_{_key}")).ok());
            built_in.map(|text| text.to_owned())
        };
        Self::parse(Texts {
            stores: text(option_env!("JMAP_DUMP_BUILTIN_ALLOWED_STORES"), "ALLOWED_STORES"),
            least: text(option_env!("JMAP_DUMP_BUILTIN_LEAST_REDACT"), "LEAST_REDACT"),
            by: text(option_env!("JMAP_DUMP_BUILTIN_POLICY_BY"), "POLICY_BY"),
            endpoint: text(option_env!("JMAP_DUMP_BUILTIN_ENDPOINT"), "ENDPOINT"),
            account: text(option_env!("JMAP_DUMP_BUILTIN_ACCOUNT"), "ACCOUNT"),
        })
    }

    /// # Errors
    /// As [`Self::built_in`].
    pub fn parse(texts: Texts) -> Result<Self, UsageError> {
        let wrong =
            |key: &'static str, text: &str, why: String| UsageError::BuiltIn { key, text: text.to_owned(), why };
        let store = |text: &str| {
            let url = StoreUrl::parse(text).map_err(|error| wrong("ALLOWED_STORES", text, error.to_string()))?;
            if url
                .local_dir()
                .and_then(Path::to_str)
                .is_some_and(|dir| !dir.starts_with('/') || segments(dir).is_none())
            {
                return Err(wrong("ALLOWED_STORES", text, "a directory is a whole path without '..'".into()));
            }
            if url.is_presigned() {
                return Err(wrong("ALLOWED_STORES", "a signed URL", "leave its query out".into()));
            }
            Ok(url)
        };
        let stores = texts.stores.map(|stores| stores.split(',').map(store).collect::<Result<_, _>>()).transpose()?;
        let least = match texts.least.as_deref().map(str::trim) {
            None | Some("none") => None,
            Some("strings") => Some(Redact::Strings),
            Some("all") => Some(Redact::All),
            Some(other) => return Err(wrong("LEAST_REDACT", other, "none of none, strings, all".into())),
        };
        let by = texts.by.unwrap_or_else(|| SOMEBODY.to_owned());
        Ok(Self { stores, least, by, endpoint: texts.endpoint, account: texts.account })
    }

    /// The redaction of a run: what it said, or the least.
    ///
    /// # Errors
    /// When it said less, or that some classes stay readable.
    pub fn redaction(
        &self,
        said: Option<&Origin>,
        redaction: Option<Redaction>,
    ) -> Result<Option<Redaction>, UsageError> {
        let Some(least) = self.least else { return Ok(redaction) };
        let needed = Redaction { what: least, keep_classes: Vec::new() };
        let Some(origin) = said else { return Ok(Some(needed)) };
        let is_weaker = match &redaction {
            None => true,
            Some(redaction) => redaction.what == Redact::Strings && least == Redact::All,
        };
        if is_weaker {
            let word = redaction.map_or("none", |redaction| redaction.word());
            return Err(self.refusal(format!("redact = {word} {origin} is less than '{}'", needed.word())));
        }
        if redaction.as_ref().is_some_and(|redaction| !redaction.keep_classes.is_empty()) {
            return Err(
                self.refusal(format!("keep_class {origin} leaves something that '{}' takes out", needed.word()))
            );
        }
        Ok(redaction)
    }

    /// The settings of an allowed store, at the endpoint that is built in.
    ///
    /// # Errors
    /// When it is another store, or they would take its requests elsewhere.
    pub fn store(&self, mut settings: StoreSettings, origin: &Origin) -> Result<StoreSettings, UsageError> {
        let Some(stores) = &self.stores else { return Ok(settings) };
        if !stores.iter().any(|allowed| contains(allowed, &settings.url)) {
            let allowed = stores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(self.refusal(format!("the store {} {origin} is none of {allowed}", settings.url)));
        }
        let Some(vendor) = settings.url.vendor() else { return Ok(settings) };
        let is_other = |said: &Option<String>, own: &Option<String>| said.is_some() && said != own;
        if is_other(&settings.endpoint, &self.endpoint) {
            return Err(self.refusal("endpoint is not the one of the allowed stores".into()));
        }
        if is_other(&settings.account, &self.account) {
            return Err(self.refusal("account is not the one of the allowed stores".into()));
        }
        if settings.cname {
            return Err(self.refusal("cname would take the bucket from the endpoint".into()));
        }
        settings.endpoint.clone_from(&self.endpoint);
        settings.account.clone_from(&self.account);
        match vendor {
            Vendor::Gs => {
                settings.endpoint.get_or_insert_with(|| GOOGLE.to_owned());
            }
            Vendor::Az if settings.account.is_none() && settings.endpoint.is_none() => {
                return Err(self.refusal("an Azure container belongs to an account, and the build names none".into()));
            }
            Vendor::S3 | Vendor::Oss | Vendor::Obs | Vendor::Az => {}
        }
        match settings.vendor_endpoint() {
            Some(name) => Err(self.refusal(format!("the variable {name} names another endpoint"))),
            None => Ok(settings),
        }
    }

    fn refusal(&self, what: String) -> UsageError {
        UsageError::Policy { what, by: self.by.clone() }
    }
}

/// Whether a store is the allowed one or lies below it.
fn contains(allowed: &StoreUrl, store: &StoreUrl) -> bool {
    use StoreUrl as Url;
    let below = |allowed: &str, prefix: &str| match (segments(allowed), segments(prefix)) {
        (Some(allowed), Some(prefix)) => prefix.starts_with(&allowed),
        _ => false,
    };
    match store {
        Url::S3 { .. } | Url::Oss { .. } | Url::Obs { .. } | Url::Gs { .. } | Url::Az { .. } => {
            allowed.bucket().zip(store.bucket()).is_some_and(|(allowed, store)| {
                (allowed.vendor, allowed.name) == (store.vendor, store.name) && below(allowed.prefix, store.prefix)
            })
        }
        Url::Local { dir: inner } => {
            let allowed = allowed.local_dir().and_then(Path::to_str);
            allowed.is_some_and(|dir| inner.starts_with('/') && below(dir, inner))
        }
        Url::Dav { base: other } => allowed.dav_base().is_some_and(|base| is_below(base, other)),
        // The URL is what a client makes of it, without the signature.
        Url::Presigned { url } => {
            allowed.dav_base().zip(reqwest::Url::parse(url.reveal()).ok()).is_some_and(|(base, mut url)| {
                url.set_query(None);
                is_below(base, url.as_str())
            })
        }
        Url::Stdout => *allowed == Url::Stdout,
    }
}

fn is_below(base: &str, url: &str) -> bool {
    let (Ok(base), Ok(url)) = (reqwest::Url::parse(base), reqwest::Url::parse(url)) else { return false };
    // A server may read an encoded slash as one.
    let hides = ["%2f", "%5c"].iter().any(|slash| url.path().to_ascii_lowercase().contains(slash));
    !hides
        && base.origin() == url.origin()
        && segments(base.path()).zip(segments(url.path())).is_some_and(|(base, url)| url.starts_with(&base))
}

/// The names of a path; `None` where one leads out of it.
fn segments(path: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    (!names.contains(&"..")).then_some(names)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
