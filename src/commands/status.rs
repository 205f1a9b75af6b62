//! `status`: reports the health of a watcher, for probes in a container that has no other program.

use std::io;
use std::path::Path;

use chrono::Utc;

use super::{Answer, Failed};
use crate::cli::StatusArgs;
use crate::error::Error;
use crate::settings::UsageError;
use crate::watch::Status;

pub fn run(args: &StatusArgs) -> Result<Answer, Failed> {
    let unread = |source| UsageError::File { path: args.file.clone(), source };
    let status = Status::read(Path::new(&args.file)).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => UsageError::Status { path: args.file.clone() },
        _ => unread(source),
    })?;
    for obstacle in &status.obstacles {
        log::warn!("{obstacle}");
    }
    let text = serde_json::to_string(&status).unwrap_or_default() + "\n";
    Answer::of(text).and(status.ailment(Utc::now()).map_or(Ok(()), |ailment| Err(Error::Ailing(ailment))))
}
