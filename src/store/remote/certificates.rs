//! The certificates that a store's own must be signed by.

use std::ffi::OsStr;
use std::path::Path;

use reqwest::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::files::regular_file::read_named;
use crate::store::settings::StoreSettings;
use crate::store::{SettingsError, StoreError};

/// CA bundles of the usual distributions (Debian, Red Hat, SUSE, Alpine), where users of OpenSSL look.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Directory in which OpenSSL looks if an image has no bundle.
const BUNDLE_DIR: &str = "/etc/ssl/certs";

/// Longest bundle that is read. Those of distributions have 200 to 500 kB.
const BUNDLE_MAX: u64 = 8 << 20;

/// Returns the trusted certificates: the given file, else the system's bundle, else the built-in roots. Distroless
/// images have no bundle.
pub(super) fn roots(settings: &StoreSettings) -> Result<Vec<Certificate>, StoreError> {
    if let Some(path) = &settings.ca_file {
        let error = |source| SettingsError::CaFile { path: path.clone(), source };
        let pem = read_named(path, BUNDLE_MAX).map_err(|source| error(source.into()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| error(source.into()))?;
        if certificates.is_empty() {
            return Err(error("it holds no certificate".into()).into());
        }
        return Ok(certificates);
    }
    // The application may have set SSL_CERT_FILE and SSL_CERT_DIR. So they count only where a proxy variable counts,
    // too.
    let system = system_roots(settings.vendor_environment);
    let system: Vec<Certificate> = system.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    if !system.is_empty() {
        return Ok(system);
    }
    log::debug!("no CA bundle here: the built-in roots are used");
    Ok(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok()).collect())
}

/// Reads the system's certificates. rustls_native_certs would wait at a bundle that is a FIFO. In a directory it reads
/// only files.
fn system_roots(vendor_environment: bool) -> Vec<CertificateDer<'static>> {
    let named = |name: &str| std::env::var_os(name).filter(|_| vendor_environment);
    let (file, dir) = (named("SSL_CERT_FILE"), named("SSL_CERT_DIR"));
    let bundle = BUNDLES.iter().map(Path::new).find(|path| dir.is_none() && path.exists());
    let bundle = file.as_deref().map(Path::new).or(bundle);
    let no_bundle = (vendor_environment && bundle.is_none()).then_some(OsStr::new(BUNDLE_DIR));
    let mut found = Vec::new();
    if let Some(path) = bundle {
        match read_named(path, BUNDLE_MAX) {
            Ok(pem) => found.extend(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok)),
            Err(error) => log::warn!("the certificates in {} are not used: {error}", path.display()),
        }
    }
    for dir in dir.as_deref().or(no_bundle).iter().flat_map(std::env::split_paths) {
        found.extend(rustls_native_certs::load_certs_from_paths(None, Some(&dir)).certs);
    }
    found
}
