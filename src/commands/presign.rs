//! `presign`: a URL by which one dump can be stored without any key, made by whoever has one.

use chrono::{Duration as Days, SecondsFormat, Utc};
use serde::Serialize;

use super::{Answer, Outcome, start_clock};
use crate::cli::PresignArgs;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::run_id::run_id;
use crate::settings::{Output, PresignSettings};
use crate::store::key::ObjectKey;
use crate::store::{SettingsError, Shelf};

/// Stands where the pod's name would.
const POD: &str = "presigned";

#[derive(Debug, Serialize)]
struct Signed {
    url: String,
    key: String,
    until: String,
}

pub fn run(args: &PresignArgs, watch_signals: &mut dyn FnMut(&Deadline)) -> Outcome {
    let settings = match PresignSettings::of_presign(args) {
        Ok(settings) => settings,
        Err(error) => return Outcome::failed(error),
    };
    let signed = start_clock(settings.common.deadline, watch_signals).and_then(|deadline| sign(&settings, &deadline));
    match signed {
        Ok(signed) => {
            let text = match settings.common.output {
                Output::Text => format!("{}\n", signed.url),
                Output::Json => serde_json::to_string(&signed).unwrap_or_default() + "\n",
            };
            Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) }
        }
        Err(error) => Outcome::failed(error),
    }
}

fn sign(settings: &PresignSettings, deadline: &Deadline) -> Result<Signed, Error> {
    let now = Utc::now();
    let key = ObjectKey::new(&settings.common.place, now, POD, 0, &run_id()).dump();
    let shelf = Shelf::open(&settings.common.store, deadline).map_err(Error::store)?;
    let url = shelf.upload_link(&key, settings.valid).map_err(Error::store)?;
    let url = url.ok_or(SettingsError::NoSignature).map_err(|error| Error::store(error.into()))?;
    if shelf.signs_with_token() {
        log::warn!("the URL is signed with a token that may end before it; it ends with it");
    }
    let until = (now + Days::from_std(settings.valid).unwrap_or_default()).to_rfc3339_opts(SecondsFormat::Secs, true);
    Ok(Signed { url, key, until })
}
