//! Settings of `upload`.

use std::path::PathBuf;

use super::layers::Layers;
use super::{Settings, UsageError};
use crate::base::sys::{self, Standard};
use crate::cli::{Flags, UploadArgs};
use crate::compress::redaction::Redaction;
use crate::object::key::Place;
use crate::store::url::StoreUrl;

#[derive(Debug, Clone)]
pub struct UploadSettings {
    pub common: Settings,
    pub files: Vec<PathBuf>,
    /// The directory with the uploads of earlier runs to finish.
    pub resume: Option<PathBuf>,
    /// True if the user named a place. Otherwise the journals of earlier runs name it.
    pub has_place: bool,
    pub truncated: bool,
    pub delete: bool,
}

impl UploadSettings {
    /// Settings of `upload`.
    ///
    /// # Errors
    /// When something is missing or makes no sense.
    pub fn of_upload(args: &UploadArgs, flags: &Flags) -> Result<Self, UsageError> {
        let (place, files) = match args.words.as_slice() {
            [] if args.resume.is_some() => (None, &[][..]),
            [file, _, _, _, ..] if file.to_string_lossy().contains('/') => {
                return Err(UsageError::FileFirst(file.to_string_lossy().chars().take(200).collect()));
            }
            [project, app, env, files @ ..] if files.is_empty() == args.resume.is_some() => {
                let [project, app, env] = [project, app, env].map(|name| name.to_string_lossy());
                (Some(Place::new(&project, &app, &env)?), files)
            }
            [file, ..] if file.to_string_lossy().contains('/') => {
                return Err(UsageError::FileFirst(file.to_string_lossy().chars().take(200).collect()));
            }
            _ => return Err(UsageError::UploadWords),
        };
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let has_place = place.is_some();
        let common = Settings::read(place.unwrap_or_else(Place::unknown), &layers)?;
        if args.resume.is_some() && common.store.url == StoreUrl::Stdout {
            return Err(UsageError::UploadWords);
        }
        let from_stdin = files.iter().any(|file| file == "-");
        if from_stdin && common.redact.as_ref().is_some_and(Redaction::needs_whole_dump) {
            return Err(UsageError::KeepClassStdin);
        }
        let is_signed = common.store.url.is_presigned();
        if from_stdin && sys::was_closed(Standard::Input) {
            return Err(UsageError::Closed { what: "standard input" });
        }
        if is_signed && (files.len() > 1 || args.resume.is_some()) {
            return Err(UsageError::OneObject);
        }
        Ok(Self {
            common,
            files: files.iter().map(PathBuf::from).collect(),
            resume: args.resume.as_ref().map(PathBuf::from),
            has_place,
            truncated: args.allow_truncated,
            delete: args.delete,
        })
    }
}
