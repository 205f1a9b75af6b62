//! `presign`: a URL by which one dump can be stored without any key, made by whoever has one.

use chrono::Utc;
use serde::Serialize;

use super::{Answer, Outcome, WatchSignals, start_clock};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::cli::PresignArgs;
use crate::error::Error;
use crate::object::key::ObjectKey;
use crate::settings::{Output, PresignSettings};
use crate::store::{SettingsError, Shelf};

/// Stands where the pod's name would.
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

pub fn run(args: &PresignArgs, watch_signals: &mut WatchSignals<'_>) -> Outcome {
    let settings = match PresignSettings::of_presign(args) {
        Ok(settings) => settings,
        Err(error) => return Outcome::failed(error),
    };
    let signed = start_clock(settings.common.deadline, watch_signals).and_then(|deadline| sign(&settings, &deadline));
    match signed {
        Ok(signed) => {
            let text = match settings.common.output {
                Output::Text => format!("{}\n", printable(&signed.url)),
                Output::Json => serde_json::to_string(&signed).unwrap_or_default() + "\n",
            };
            Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) }
        }
        Err(error) => Outcome::failed(error),
    }
}

fn sign(settings: &PresignSettings, deadline: &Deadline) -> Result<Signed, Error> {
    let key = ObjectKey::new(&settings.common.place, Utc::now(), POD, 0, &run_id()).dump();
    let shelf = Shelf::open(&settings.common.store, deadline).map_err(Error::store)?;
    let link = shelf.upload_link(&key, settings.valid).map_err(Error::store)?;
    let link = link.ok_or(SettingsError::NoSignature).map_err(|error| Error::store(error.into()))?;
    let (until, warning) = (link.until(), link.warning());
    if let Some(warning) = &warning {
        log::warn!("{warning}");
    }
    Ok(Signed { url: link.url, key, until, warning })
}
