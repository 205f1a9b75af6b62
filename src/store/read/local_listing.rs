//! Lists the objects in a directory that is a store.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::listed::Listed;
use super::listing::{LISTING_MAX, kept_with};
use crate::base::printable::printable;
use crate::files::entry::{Entry, HeldDir};
use crate::files::regular_file::NotRegular;
use crate::store::StoreError;
use crate::store::remote::stop::Stop;

/// Levels of directories below the store. A key has project, app, environment and a name.
const LEVELS_MAX: usize = 4;

/// A walk through the directories. Links of other users are not followed.
pub struct LocalListing<'a, W> {
    base: &'a Path,
    stop: &'a Stop,
    wanted: W,
    found: Vec<Listed>,
    bytes: usize,
}

impl<'a, W: Fn(&str) -> bool> LocalListing<'a, W> {
    /// Returns the wanted objects below `dir`. A missing directory has none.
    ///
    /// # Errors
    /// When `dir` cannot be listed, there are too many objects, or the run is stopped.
    pub fn of(base: &'a Path, dir: &str, stop: &'a Stop, wanted: W) -> Result<Vec<Listed>, StoreError> {
        let mut walk = Self { base, stop, wanted, found: Vec::new(), bytes: 0 };
        match HeldDir::named(&base.join(dir)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            held => {
                let held = held.map_err(|source| unlisted(&base.join(dir), source))?;
                walk.list(&held, dir.trim_end_matches('/'), LEVELS_MAX)?;
            }
        }
        Ok(walk.found)
    }

    /// Lists one directory. Subdirectories that cannot be read are left out: any user who may write to the store may
    /// have made them.
    fn list(&mut self, dir: &Arc<HeldDir>, key: &str, levels: usize) -> Result<(), StoreError> {
        self.stop.deadline.check(&self.stop.waiting_for)?;
        let names = dir.names().map_err(|source| unlisted(dir.path(), source))?;
        for entry in names.map(|name| dir.entry(name)) {
            // A name that is not UTF-8 cannot be a key.
            let Some(name) = entry.name().to_str() else { continue };
            let key = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
            match entry.metadata() {
                Ok(meta) if meta.is_dir() && levels > 1 => {
                    let below = dir.below(entry.name()).map_err(|source| unlisted(&entry.path(), source));
                    match below.and_then(|below| self.list(&below, &key, levels - 1)) {
                        Err(error @ StoreError::Local { .. }) => {
                            log::warn!("left out of the listing: {}", printable(&error.to_string()));
                        }
                        other => other?,
                    }
                }
                // A name with a leading dot belongs to an object that is not complete.
                Ok(meta) if meta.is_file() && !name.starts_with('.') => self.add(key, &meta)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, key: String, meta: &Metadata) -> Result<(), StoreError> {
        if !(self.wanted)(&key) {
            return Ok(());
        }
        let listed = listed(key, meta);
        self.bytes += kept_with(&listed);
        self.found.push(listed);
        if self.bytes > LISTING_MAX {
            return Err(StoreError::LongListing { url: self.base.display().to_string(), max: LISTING_MAX });
        }
        Ok(())
    }
}

fn unlisted(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Local { what: "list", path: path.display().to_string(), source }
}

/// Returns the object in a file of the store.
///
/// # Errors
/// When the file does not exist or is not a regular file.
pub fn listed_file(file: &Entry, key: String) -> Result<Listed, StoreError> {
    let error = |source| StoreError::Local { what: "find", path: file.path().display().to_string(), source };
    let meta = file.metadata().map_err(error)?;
    if let Some(what) = NotRegular::of_mode(meta.mode()) {
        return Err(error(what.into()));
    }
    Ok(listed(key, &meta))
}

fn listed(key: String, meta: &Metadata) -> Listed {
    let modified = meta.modified().map_or_else(|_| Utc::now(), DateTime::from);
    Listed { key, bytes: meta.len(), modified, e_tag: None }
}
