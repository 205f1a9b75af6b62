//! The HTTP client of all remote stores. This program builds it, because the surroundings of the container must not
//! decide: a proxy variable may belong to the application, and a CA bundle may be missing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, NoProxy, Proxy, Url};

use super::body::{self, ANSWER_MAX, LIST_MAX};
use super::certificates::roots;
use super::expected_answer::{Expected, check_range};
use super::host_names::Names;
use super::http_error::Said;
use super::page_filter::usable_entries;
use super::token_answer::{usable_answer, usable_fabric};
use crate::store::settings::StoreSettings;
use crate::store::{SettingsError, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Slowest uplink that still sends a part before its request times out.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Time for a request with a small body.
const SMALL_REQUEST: Duration = Duration::from_secs(30);

/// Longest silence of a store, before its answer or within it. After that the connection counts as dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Addresses of metadata services and of the agents of pods. No proxy reaches them.
const LINK_LOCAL: &str = "169.254.0.0/16,fe80::/10,fd00:ec2::/32,100.100.100.200,metadata.google.internal";

/// Gives object_store our HTTP client.
#[derive(Debug, Clone)]
pub struct Connector {
    client: reqwest::Client,
    headers: Vec<ExtraHeader>,
}

impl Connector {
    /// Builds a client whose requests have time for a body of `part_size`.
    ///
    /// # Errors
    /// When the CA file or the proxy cannot be used.
    pub fn new(settings: &StoreSettings, part_size: u64) -> Result<Self, StoreError> {
        Self::of(builder(settings, part_size)?)
    }

    /// Builds a client whose answers have time for `at_once` bytes in flight.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_reading(settings: &StoreSettings, at_once: u64) -> Result<Self, StoreError> {
        Self::of(builder(settings, at_once)?.read_timeout(SILENCE))
    }

    fn of(builder: reqwest::ClientBuilder) -> Result<Self, StoreError> {
        let client = builder.build().map_err(|source| SettingsError::Client { source: source.into() })?;
        Ok(Self { client, headers: Vec::new() })
    }

    /// Adds headers to each request, or to those that create an object.
    #[must_use]
    pub fn with_headers(self, headers: Vec<ExtraHeader>) -> Self {
        Self { headers, ..self }
    }

    pub fn client(&self) -> reqwest::Client {
        self.client.clone()
    }
}

fn builder(settings: &StoreSettings, part_size: u64) -> Result<reqwest::ClientBuilder, StoreError> {
    // Fails only if a provider is installed already, which is then this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("jmap-dump-tool/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        // An object must not go to another place than the named one, and its signature must not reach another server.
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(Arc::new(Names))
        .timeout(time_for(part_size))
        .tls_certs_only(roots(settings)?);
    if let Some(url) = &settings.proxy {
        let proxy = Proxy::all(url)
            .map_err(|source| SettingsError::Client { source: source.into() })?
            .no_proxy(NoProxy::from_string(LINK_LOCAL));
        builder = builder.no_proxy().proxy(proxy);
    } else {
        let proxies = if settings.vendor_environment { proxies_of_environment() } else { Vec::new() };
        builder = proxies.into_iter().fold(builder.no_proxy(), reqwest::ClientBuilder::proxy);
    }
    Ok(builder)
}

/// Returns the time limit of a request with a body of `bytes`: its own time, and that of the slowest link.
pub fn time_for(bytes: u64) -> Duration {
    SMALL_REQUEST + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(BoundedClient { client: self.client.clone(), headers: self.headers.clone() }))
    }
}

/// Adds headers that object_store does not support, after it has signed the request. Limits the answers, and fixes
/// those that object_store would drop or fail at.
#[derive(Debug)]
struct BoundedClient {
    client: reqwest::Client,
    headers: Vec<ExtraHeader>,
}

#[async_trait]
impl HttpService for BoundedClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let creates = creates_object(request.method(), request.uri().query().unwrap_or_default());
        for header in self.headers.iter().filter(|header| creates || !header.where_created) {
            request.headers_mut().insert(header.name.clone(), header.value.clone());
        }
        // The client of object_store panics at a URL that cannot be parsed.
        Url::parse(&request.uri().to_string()).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let expected = Expected::of(&request);
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = self.client.call(request).await?;
        let status = response.status();
        if status.is_redirection() {
            let named = response.headers().get(REGION).and_then(|region| region.to_str().ok()).map(str::to_owned);
            let (_, text) = body::collect_start(response).await;
            let said = Said::in_body(&text).or_region(named);
            return Err(HttpError::new(HttpErrorKind::Unknown, Redirected { status: status.to_string(), said }));
        }
        if !status.is_success() {
            return Ok(with_region(response).await);
        }
        let unusable = |error| HttpError::new(HttpErrorKind::Unknown, error);
        match expected {
            Expected::Nothing => Ok(response),
            Expected::Range(first, last) => {
                check_range(&response, first, last)?;
                Ok(body::collect(response, (last - first).saturating_add(1)).await?.0)
            }
            Expected::Answer => {
                let (response, answer) = body::collect(response, ANSWER_MAX).await?;
                let answer = usable_answer(answer, &host).map_err(unusable)?;
                Ok(response.map(|_| answer.into()))
            }
            Expected::Fabric => {
                let (response, token) = body::collect(response, ANSWER_MAX).await?;
                let token = usable_fabric(token, &host).map_err(unusable)?;
                Ok(response.map(|_| token.into()))
            }
            Expected::Page => {
                let (response, page) = body::collect(response, LIST_MAX).await?;
                let page = usable_entries(&page).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
                Ok(response.map(|_| page.into()))
            }
        }
    }
}

/// Header with the region of the bucket (AWS: "HeadBucket").
const REGION: &str = "x-amz-bucket-region";

/// Adds the region in the header to the text of an error.
async fn with_region(response: HttpResponse) -> HttpResponse {
    let named = response.headers().get(REGION).and_then(|region| region.to_str().ok()).map(str::to_owned);
    let (response, text) = body::collect_start(response).await;
    match named {
        Some(region) if !text.contains("<Region>") => {
            response.map(|_| format!("{text}<Region>{region}</Region>").into())
        }
        _ => response,
    }
}

/// The store answered with a redirect.
#[derive(Debug, thiserror::Error)]
#[error("the store answers {status}{said}")]
pub struct Redirected {
    pub status: String,
    pub said: Said,
}

/// Returns whether the request creates an object: the PUT of a whole object, or the opening of a multipart upload. A
/// part creates none.
fn creates_object(method: &Method, query: &str) -> bool {
    let names = || query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    match *method {
        Method::PUT => !names().any(|name| name == "partNumber"),
        Method::POST => names().any(|name| name == "uploads"),
        _ => false,
    }
}

/// A header that object_store does not set.
#[derive(Debug, Clone)]
pub struct ExtraHeader {
    name: HeaderName,
    /// Marked as sensitive, so that `Debug` hides it.
    value: HeaderValue,
    where_created: bool,
}

impl ExtraHeader {
    /// Returns the header; `None` if it cannot have this value.
    pub fn new(name: &'static str, value: &str, where_created: bool) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self { name: HeaderName::from_static(name), value, where_created })
    }
}

fn first_variable(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| Some((*name, std::env::var(name).ok().filter(|value| !value.is_empty())?)))
}

/// Returns the proxy variables that curl and reqwest read: for http, and for https.
pub fn proxy_variables() -> Vec<(&'static str, String)> {
    let http = first_variable(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]);
    let https = first_variable(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]);
    http.into_iter().chain(https).collect()
}

/// Returns the proxies in the variables, with exceptions for metadata services.
fn proxies_of_environment() -> Vec<Proxy> {
    let first = |names: &[&'static str]| first_variable(names).map(|(_, value)| value);
    let no = first(&["NO_PROXY", "no_proxy"]).map_or_else(|| LINK_LOCAL.to_owned(), |no| format!("{no},{LINK_LOCAL}"));
    let http = first(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]).and_then(|url| Proxy::http(url).ok());
    let https = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]).and_then(|url| Proxy::https(url).ok());
    http.into_iter().chain(https).map(|proxy| proxy.no_proxy(NoProxy::from_string(&no))).collect()
}
