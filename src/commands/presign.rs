//! `presign`: signs a URL that allows one upload without credentials.

use chrono::Utc;
use serde::Serialize;

use super::{Answer, Failed, WatchSignals, start_clock};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::cli::{Flags, PresignArgs};
use crate::error::Error;
use crate::object::key::ObjectKey;
use crate::settings::{Output, PresignSettings};
use crate::store::{SettingsError, StoreReader};

/// Stands in the key where the pod's name would.
const POD: &str = "presigned";

#[derive(Debug, Serialize)]
struct Signed {
    url: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

pub fn run(args: &PresignArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = PresignSettings::of_presign(args, flags)?;
    let deadline = start_clock(settings.deadline, watch_signals)?;
    let signed = sign(&settings, &deadline)?;
    Ok(Answer::of(match settings.output {
        Output::Text => format!("{}\n", printable(&signed.url)),
        Output::Json => serde_json::to_string(&signed).unwrap_or_default() + "\n",
    }))
}

fn sign(settings: &PresignSettings, deadline: &Deadline) -> Result<Signed, Error> {
    let key = ObjectKey::new(&settings.place, Utc::now(), POD, 0, &run_id()).dump();
    let reader = StoreReader::open(&settings.store, deadline).map_err(Error::store)?;
    let link = reader.upload_link(&key, settings.valid).map_err(Error::store)?;
    let link = link.ok_or(SettingsError::NoSignature).map_err(|error| Error::store(error.into()))?;
    let (until, warning) = (link.until(), link.warning());
    if let Some(warning) = &warning {
        log::warn!("{warning}");
    }
    Ok(Signed { url: link.url, key, until, warning })
}
