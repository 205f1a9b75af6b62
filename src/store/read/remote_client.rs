//! The client of a remote store that is read: object_store's own, the signer of links, and the way to list.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::signer::Signer;

use super::link::SignedBy;
use super::listing::Listing;
use super::pages::Pages;
use crate::store::remote::backend::{Built, build_by, dav};
use crate::store::remote::client::Connector;
use crate::store::url::Vendor;
use crate::store::{StoreError, StoreSettings};

pub(super) struct Remote {
    pub store: Arc<dyn ObjectStore>,
    pub signer: Option<(Arc<dyn Signer>, SignedBy)>,
    pub listing: Listing,
}

impl Remote {
    /// Opens the client. Its time-outs allow for `at_once` bytes in flight.
    pub fn open(settings: &StoreSettings, at_once: u64) -> Result<Self, StoreError> {
        let connector = Connector::for_reading(settings, at_once)?;
        if settings.url.dav_base().is_some() {
            let store = dav(settings, connector, settings.retry_for)?;
            return Ok(Self { store, signer: None, listing: Listing::ByCollection });
        }
        let Built { store, signed_by } = build_by(settings, connector, settings.retry_for)?;
        let listing = listing(settings, store.clone())?;
        Ok(Self { store: store.clone(), signer: Some((store, signed_by)), listing })
    }
}

fn listing(settings: &StoreSettings, signer: Arc<dyn Signer>) -> Result<Listing, StoreError> {
    let pages = || {
        let client = Connector::new(settings, 0)?.client();
        Ok::<_, StoreError>(Pages { client, signer, shown: settings.url.to_string(), retry_for: settings.retry_for })
    };
    Ok(match settings.url.vendor() {
        Some(Vendor::Obs) => Listing::ByMarker(pages()?),
        Some(Vendor::S3) => Listing::Checked(pages()?),
        Some(Vendor::Oss | Vendor::Gs | Vendor::Az) | None => Listing::ByToken,
    })
}
