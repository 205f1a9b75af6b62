//! Adds a link to a stored dump.

use crate::base::deadline::Deadline;
use crate::error::Error;
use crate::object::receipt::Receipt;
use crate::settings::DumpSettings;
use crate::store::StoreReader;

/// Adds the link that the user asked for to the receipt. The dump is stored, whether there is a link or not.
pub(super) fn add_link(receipt: &mut Receipt, key: &str, settings: &DumpSettings, deadline: &Deadline) {
    let Some(valid) = settings.link else { return };
    match StoreReader::open(&settings.common.store, deadline).and_then(|reader| reader.link(key, valid)) {
        Ok(Some(link)) => {
            if let Some(warning) = link.warning() {
                receipt.warn(warning);
            }
            receipt.link_until = link.until();
            receipt.link = Some(link.url);
        }
        Ok(None) => receipt.warn("this store has no links"),
        Err(error) => receipt.warn(format!("there is no link: {}", Error::Store(error).chain())),
    }
}
