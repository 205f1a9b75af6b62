//! `status`: how a watcher is, for probes in a container that has no other program.

use std::path::Path;

use chrono::Utc;

use super::{Answer, Outcome};
use crate::cli::StatusArgs;
use crate::error::Error;
use crate::settings::UsageError;
use crate::watch::Status;

pub fn run(args: &StatusArgs) -> Outcome {
    let status = match Status::read(Path::new(&args.file)) {
        Ok(status) => status,
        Err(source) => return Outcome::failed(UsageError::File { path: args.file.clone(), source }),
    };
    for obstacle in &status.obstacles {
        log::warn!("{obstacle}");
    }
    let text = serde_json::to_string(&status).unwrap_or_default() + "\n";
    let result = match status.ailment(Utc::now()) {
        None => Ok(()),
        Some(ailment) => Err(Error::Ailing(ailment)),
    };
    Outcome { result, answer: Some(Answer { text, aside: false }) }
}
