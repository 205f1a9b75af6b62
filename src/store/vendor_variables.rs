//! Checks the variables of a vendor that object_store and our own clients read.

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::SettingsError;
use super::credentials::Environment;
use super::setting_checks::{endpoint, error, header, name};
use super::settings::StoreSettings;
use super::url::Vendor;

/// The use of a vendor's variable.
enum Use {
    /// The endpoint of the store, if our settings have none.
    Endpoint,
    /// The URL of a token service.
    Service,
    /// The region, if our settings have none.
    Region,
    Name,
    Header,
}

/// Checks the vendor's variables that object_store and our own clients read.
pub fn check_environment(settings: &StoreSettings, environment: &Environment) -> Result<(), SettingsError> {
    let Some(vendor) = vendor_of(settings) else { return Ok(()) };
    for (key, text) in environment.beginning_with(vendor) {
        if text.chars().any(char::is_control) {
            return Err(error(key, None, "holds a line end or another control character"));
        }
        match use_of(key) {
            Some(Use::Endpoint) if settings.endpoint.is_none() => endpoint(key, text)?,
            Some(Use::Service) => endpoint(key, text)?,
            Some(Use::Region) if settings.region.is_none() => name(key, text)?,
            Some(Use::Name) => name(key, text)?,
            Some(Use::Header) => header(key, text)?,
            Some(Use::Endpoint | Use::Region) | None => {}
        }
    }
    // Variables of App Service, which do not begin with AZURE_.
    if settings.url.vendor() == Some(Vendor::Az) {
        environment.get("IDENTITY_ENDPOINT").map_or(Ok(()), |text| endpoint("IDENTITY_ENDPOINT", text))?;
        environment.get("IDENTITY_HEADER").map_or(Ok(()), |text| header("IDENTITY_HEADER", text))?;
    }
    Ok(())
}

/// Returns how the variables of the store's vendor begin.
fn vendor_of(settings: &StoreSettings) -> Option<&'static str> {
    match settings.url.vendor()? {
        Vendor::S3 => Some("AWS_"),
        Vendor::Oss => Some("ALIBABA_CLOUD_"),
        Vendor::Gs => Some("GOOGLE_"),
        Vendor::Az => Some("AZURE_"),
        // Huawei's tools read no variables that name a store.
        Vendor::Obs => None,
    }
}

/// The variable that takes requests to another endpoint than the settings do. Azure's switches for an emulator and for
/// Fabric do so beside any endpoint.
pub fn vendor_endpoint(settings: &StoreSettings) -> Option<String> {
    let vendor = vendor_of(settings).filter(|_| settings.vendor_environment)?;
    let environment = Environment::of_process();
    let names = |name: &str| match name.to_ascii_lowercase().parse() {
        Ok(AzureConfigKey::UseEmulator | AzureConfigKey::UseFabricEndpoint) if vendor == "AZURE_" => true,
        _ => settings.endpoint.is_none() && matches!(use_of(name), Some(Use::Endpoint)),
    };
    environment.beginning_with(vendor).map(|(name, _)| name.to_owned()).find(|name| names(name))
}

/// By the names that object_store knows.
fn use_of(variable: &str) -> Option<Use> {
    use {AmazonS3ConfigKey as S3, AzureConfigKey as Az, GoogleConfigKey as Gs};
    let key = variable.to_ascii_lowercase();
    if variable.starts_with("AWS_") {
        return match key.parse() {
            Ok(S3::Endpoint) => Some(Use::Endpoint),
            Ok(S3::StsEndpoint) => Some(Use::Service),
            Ok(S3::Region | S3::DefaultRegion) => Some(Use::Region),
            Ok(S3::AccessKeyId | S3::Token) => Some(Use::Header),
            _ if variable == "AWS_ENDPOINT_URL_S3" => Some(Use::Endpoint),
            _ => None,
        };
    }
    if variable.starts_with("AZURE_") {
        return match key.parse() {
            Ok(Az::Endpoint) => Some(Use::Endpoint),
            Ok(Az::AuthorityHost | Az::MsiEndpoint | Az::FabricTokenServiceUrl) => Some(Use::Service),
            Ok(Az::AuthorityId | Az::AccountName) => Some(Use::Name),
            Ok(Az::Token | Az::FabricSessionToken | Az::FabricWorkloadHost | Az::FabricClusterIdentifier) => {
                Some(Use::Header)
            }
            _ => None,
        };
    }
    match key.parse() {
        Ok(Gs::BaseUrl) => Some(Use::Endpoint),
        Ok(Gs::BearerToken) => Some(Use::Header),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url::StoreUrl;

    fn of(url: &str) -> StoreSettings {
        StoreSettings { region: Some("r".into()), ..StoreSettings::of(StoreUrl::parse(url).unwrap()) }
    }

    #[test]
    fn variables_of_a_vendor_are_checked_as_settings_are() {
        let s3 = StoreSettings { region: None, ..of("s3://b") };
        for (name, value) in [
            ("AWS_REGION", "us east"),
            ("AWS_ENDPOINT_URL", "https://"),
            ("AWS_SESSION_TOKEN", "a\nb"),
            ("AWS_ROLE_ARN", "a\rb"),
        ] {
            let told = check_environment(&s3, &Environment::from_iter([(name, value)])).unwrap_err().to_string();
            assert!(told.contains(name), "{name}: {told}");
        }
        let ours = StoreSettings { endpoint: Some("http://h".into()), ..of("s3://b") };
        let environment = Environment::from_iter([("AWS_ENDPOINT_URL", "https://"), ("AWS_REGION", "a b")]);
        assert!(check_environment(&ours, &environment).is_ok());
        assert!(check_environment(&of("gs://b"), &environment).is_ok());
    }
}
