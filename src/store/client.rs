//! The HTTP client below all remote stores. It is built here and not by object_store, because the container's
//! surroundings must not decide: a proxy variable may be the application's, and a CA bundle may be missing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use reqwest::{Certificate, NoProxy, Proxy};

use super::settings::StoreSettings;
use super::{SettingsError, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The slowest uplink that still gets a part through before its request times out.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Time for a request without a body worth mentioning.
const SMALL_REQUEST: Duration = Duration::from_secs(30);

/// Where cloud metadata services are: no proxy reaches them.
const LINK_LOCAL: &str = "169.254.0.0/16,fd00:ec2::254";

/// Bundles of the usual distributions (Debian, Red Hat, SUSE, Alpine), as OpenSSL's users look for them.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Gives object_store our client.
#[derive(Debug, Clone)]
pub struct Connector {
    client: reqwest::Client,
}

impl Connector {
    /// A client whose requests have time for a body of `part_size`.
    ///
    /// # Errors
    /// When the CA file or the proxy cannot be used.
    pub fn new(settings: &StoreSettings, part_size: u64) -> Result<Self, StoreError> {
        // Fails only when a provider is installed already, which is then this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("jmap-dump-tool/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(SMALL_REQUEST + Duration::from_secs(part_size / SLOWEST_BYTES_PER_SECOND))
            .tls_certs_only(roots(settings)?);
        if let Some(url) = &settings.proxy {
            let proxy = Proxy::all(url).map_err(|_| SettingsError::Proxy)?.no_proxy(NoProxy::from_string(LINK_LOCAL));
            builder = builder.no_proxy().proxy(proxy);
        } else if !settings.vendor_environment {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|source| SettingsError::Client { source: source.into() })?;
        Ok(Self { client })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.client.clone()))
    }
}

/// The given file, else the system's bundle, else the built-in roots: distroless images have no bundle.
fn roots(settings: &StoreSettings) -> Result<Vec<Certificate>, StoreError> {
    if let Some(path) = &settings.ca_file {
        let error = |source| SettingsError::CaFile { path: path.clone(), source };
        let pem = fs::read(path).map_err(|source| error(source.into()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| error(source.into()))?;
        if certificates.is_empty() {
            return Err(error("it holds no certificate".into()).into());
        }
        return Ok(certificates);
    }
    // SSL_CERT_FILE and SSL_CERT_DIR count like a proxy variable: they may be the application's.
    let system = if settings.vendor_environment {
        rustls_native_certs::load_native_certs()
    } else {
        let bundle = BUNDLES.iter().map(Path::new).find(|path| path.exists());
        rustls_native_certs::load_certs_from_paths(bundle, None)
    };
    let system = system.certs;
    let system: Vec<Certificate> = system.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    if !system.is_empty() {
        return Ok(system);
    }
    log::debug!("no CA bundle here: the built-in roots are used");
    Ok(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok()).collect())
}
