//! Reads from a store: lists objects and reads their bytes. `link.rs` signs links to them.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::listed::{Listed, listed};
use super::listing::{Found, LISTING_MAX, ListError};
use super::local_listing::{LocalListing, listed_file};
use super::remote_client::Remote;
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::files::entry::Entry;
use crate::files::regular_file::{Access, open_in, read_bounded};
use crate::object::part_size::PART_MIN;
use crate::store::remote::object_error::ObjectError;
use crate::store::remote::stop::{ClientRuntime, Stop};
use crate::store::url::StoreUrl;
use crate::store::{SettingsError, StoreError, StoreSettings};

/// Requests in flight at a time.
const AT_ONCE: usize = 4;

/// Most bytes of a small object. A receipt has a few kilobytes.
const SMALL: u64 = 1 << 20;

/// A store from which objects are read.
pub struct StoreReader {
    pub(super) settings: StoreSettings,
    pub(super) from: ReadFrom,
    pub(super) stop: Stop,
}

pub(super) enum ReadFrom {
    Directory(PathBuf),
    Remote(Remote, ClientRuntime),
}

impl StoreReader {
    /// Opens the store for reading.
    ///
    /// # Errors
    /// When the settings are incomplete.
    pub fn open(settings: &StoreSettings, deadline: &Deadline) -> Result<Self, StoreError> {
        let from = match &settings.url {
            StoreUrl::Local { dir } => ReadFrom::Directory(dir.into()),
            StoreUrl::Stdout | StoreUrl::Presigned { .. } => return Err(SettingsError::NotReadable.into()),
            StoreUrl::S3 { .. }
            | StoreUrl::Oss { .. }
            | StoreUrl::Obs { .. }
            | StoreUrl::Gs { .. }
            | StoreUrl::Az { .. }
            | StoreUrl::Dav { .. } => ReadFrom::Remote(Remote::open(settings, PART_MIN)?, ClientRuntime::start()?),
        };
        let waiting_for = format!("reading from {}", settings.url);
        Ok(Self { settings: settings.clone(), from, stop: Stop { deadline: deadline.clone(), waiting_for } })
    }

    /// Returns the wanted objects whose keys begin with `dir`, which must end between two names.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn list(&self, dir: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Listed>, StoreError> {
        match &self.from {
            ReadFrom::Directory(base) => LocalListing::of(base, dir, &self.stop, wanted),
            ReadFrom::Remote(remote, runtime) => {
                let (path, prefix) = (self.path(dir)?, self.path("")?);
                let is_wanted = |meta| listed(meta, &prefix).filter(|listed| wanted(&listed.key));
                let mut found = Found::new(&is_wanted);
                let listing = async {
                    let listed = remote.listing.all(&*remote.store, &path, &mut found).await;
                    listed.map_err(|error| match error {
                        ListError::Store(source) => self.error("list", dir, source),
                        ListError::Http(source) => self.error("list", dir, source),
                        ListError::TooLong => {
                            StoreError::LongListing { url: self.settings.url.of_key(dir), max: LISTING_MAX }
                        }
                    })
                };
                runtime.block_on(self.stop.or(listing))?;
                Ok(found.into_listed())
            }
        }
    }

    /// Returns the facts of one object.
    ///
    /// # Errors
    /// When the object does not exist, or the store refuses.
    pub fn look(&self, key: &str) -> Result<Listed, StoreError> {
        match &self.from {
            ReadFrom::Directory(base) => {
                let path = base.join(key);
                let unfound = |source| StoreError::Local { what: "find", path: path.display().to_string(), source };
                let found = Entry::named(&path).map_err(unfound).and_then(|file| listed_file(&file, key.to_owned()));
                found.map_err(|error| self.absent_there(base, key, error))
            }
            ReadFrom::Remote(remote, runtime) => {
                let path = self.path(key)?;
                let head = async {
                    match remote.store.head(&path).await.map_err(|source| self.error("find", key, source)) {
                        Err(error) if is_not_found(&error) => Err(self.absent(&*remote.store, key, &path).await),
                        other => other,
                    }
                };
                let meta = runtime.block_on(self.stop.or(head))?;
                listed(meta, &self.path("")?).ok_or(StoreError::ClientEnded)
            }
        }
    }

    /// Returns the error for a key that a local store does not have.
    fn absent_there(&self, base: &FilePath, key: &str, error: StoreError) -> StoreError {
        let url = self.settings.url.of_key(key);
        match &error {
            _ if base.join(key).is_dir() => StoreError::Prefix { url },
            StoreError::Local { source, .. } if source.kind() == io::ErrorKind::NotFound && base.is_dir() => {
                StoreError::NoKey { url }
            }
            _ => error,
        }
    }

    /// Returns the error for a key that the store does not have. An answer to HEAD has no body, so the listing tells
    /// whether the bucket exists, and whether the key is a prefix.
    async fn absent(&self, store: &dyn ObjectStore, key: &str, path: &Path) -> StoreError {
        let url = self.settings.url.of_key(key);
        match store.list(Some(path)).next().await {
            Some(Ok(_)) => StoreError::Prefix { url },
            None => StoreError::NoKey { url },
            Some(Err(source)) => match self.error("list", key, source) {
                error if is_not_found(&error) => error,
                // Without the right to list, the missing key is all that is known.
                _ => StoreError::NoKey { url },
            },
        }
    }

    /// Returns whether `file` is the file of the object itself.
    pub fn has_as(&self, key: &str, file: &Metadata) -> bool {
        let ReadFrom::Directory(base) = &self.from else { return false };
        let object = Entry::named(&base.join(key)).and_then(|entry| entry.metadata());
        object.is_ok_and(|object| (object.dev(), object.ino()) == (file.dev(), file.ino()))
    }

    /// Reads small objects. Those that cannot be read are logged and left out. `each` gets the others in any order, and
    /// nothing stores them.
    ///
    /// # Errors
    /// When the run is stopped.
    pub fn read_small<'a>(
        &self,
        keys: impl Iterator<Item = &'a str>,
        mut each: impl FnMut(&str, &[u8]),
    ) -> Result<(), StoreError> {
        match &self.from {
            ReadFrom::Directory(base) => {
                for key in keys {
                    match open(&base.join(key)).and_then(|file| read_bounded(file, SMALL)) {
                        Ok(bytes) => each(key, &bytes),
                        Err(error) => log::info!("{}: {error}", printable(key)),
                    }
                }
                Ok(())
            }
            ReadFrom::Remote(remote, runtime) => {
                let read = |key: &'a str| async move {
                    let path = self.path(key).map_err(|error| error.to_string())?;
                    let bytes = remote.store.get_range(&path, 0..SMALL).await;
                    let bytes = bytes.map_err(|error| ObjectError::from(error).to_string())?;
                    Ok::<_, String>((key, bytes))
                };
                let with_key = |key: &'a str| read(key).map(move |read| read.map_err(|error| (key, error)));
                let mut all = futures_util::stream::iter(keys.map(with_key)).buffer_unordered(2 * AT_ONCE);
                runtime.block_on(self.stop.or(async {
                    while let Some(read) = all.next().await {
                        match read {
                            Ok((key, bytes)) => each(key, &bytes),
                            Err((key, error)) => log::info!("{}: {error}", printable(key)),
                        }
                    }
                    Ok(())
                }))
            }
        }
    }

    /// Returns a small object; `None` if it does not exist.
    ///
    /// # Errors
    /// When the store refuses or does not answer. The object may exist then.
    pub fn read_if_there(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match &self.from {
            ReadFrom::Directory(base) => read_file(&base.join(key)),
            ReadFrom::Remote(remote, runtime) => {
                let path = self.path(key)?;
                let read = async {
                    match remote.store.get_range(&path, 0..SMALL).await {
                        Err(object_store::Error::NotFound { .. }) => Ok(None),
                        Err(source) => Err(self.error("read", key, source)),
                        Ok(bytes) => Ok(Some(bytes.to_vec())),
                    }
                };
                runtime.block_on(self.stop.or(read))
            }
        }
    }

    /// Reads ranges of an object, several at a time. None may be longer than `longest`. `each` gets them in any order.
    ///
    /// # Errors
    /// When the store fails, or `each` does.
    pub fn read_ranges(
        &self,
        key: &str,
        mut ranges: impl Iterator<Item = Range<u64>>,
        longest: u64,
        mut each: impl FnMut(Range<u64>, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &self.from {
            ReadFrom::Directory(base) => {
                let path = base.join(key);
                let error = |source| StoreError::Local { what: "read", path: path.display().to_string(), source };
                let file = open(&path).map_err(error)?;
                ranges.try_for_each(|range| {
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    file.read_exact_at(&mut bytes, range.start).map_err(error)?;
                    self.stop.deadline.check(&self.stop.waiting_for)?;
                    each(range, &bytes)
                })
            }
            ReadFrom::Remote(_, runtime) => {
                let (path, remote) = (self.path(key)?, Remote::open(&self.settings, at_once(longest))?);
                let read = |range: Range<u64>| {
                    let (path, remote) = (path.clone(), &remote);
                    async move { (range.clone(), remote.store.get_range(&path, range).await) }
                };
                let mut all = futures_util::stream::iter(ranges.map(read)).buffer_unordered(AT_ONCE);
                runtime.block_on(self.stop.or(async {
                    while let Some((range, bytes)) = all.next().await {
                        let bytes: Bytes = bytes.map_err(|source| self.error("read", key, source))?;
                        let (asked, got) = (range.end - range.start, bytes.len() as u64);
                        if got != asked {
                            return Err(StoreError::Short { url: self.settings.url.of_key(key), asked, got });
                        }
                        each(range, &bytes)?;
                    }
                    Ok(())
                }))
            }
        }
    }

    pub(super) fn path(&self, key: &str) -> Result<Path, StoreError> {
        self.settings.url.location(key)
    }

    pub(super) fn error(&self, what: &'static str, key: &str, source: impl Into<ObjectError>) -> StoreError {
        StoreError::Remote { what, url: self.settings.url.of_key(key), source: source.into() }
    }
}

fn is_not_found(error: &StoreError) -> bool {
    matches!(error, StoreError::Remote { source, .. } if source.is_not_found())
}

/// Returns the bytes in flight at a time. On a slow link, each request also waits for the bytes of the others.
fn at_once(longest: u64) -> u64 {
    PART_MIN.max(longest * AT_ONCE as u64)
}

/// Opens an object. No directory on its path may be a link of another user. The object may not be a link.
fn open(path: &FilePath) -> io::Result<File> {
    let object = Entry::named(path)?;
    open_in(object.dir(), object.name(), Access::Read)
}

fn read_file(path: &FilePath) -> Result<Option<Vec<u8>>, StoreError> {
    match open(path).and_then(|file| read_bounded(file, SMALL)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Local { what: "read", path: path.display().to_string(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::remote::client::time_for;

    #[test]
    fn slow_link_has_time_for_all_ranges_in_flight() {
        let piece = 8 << 20;
        assert!(time_for(at_once(piece)) > Duration::from_secs(AT_ONCE as u64 * piece / (64 << 10)));
        assert_eq!(at_once(0), PART_MIN);
    }
}
