//! A run that waited for another one reports the dump that the other run has stored meanwhile: one pause, one object.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};

use super::run::Run;
use crate::base::deadline::Deadline;
use crate::base::units::hex;
use crate::commands::link::add_link;
use crate::error::Error;
use crate::files::entry::Entry;
use crate::files::regular_file::{TEXT_MAX, read_named};
use crate::object::key::{ObjectKey, receipt_of};
use crate::object::receipt::Receipt;
use crate::object::stored::StoredObject;
use crate::store::url::StoreUrl;
use crate::store::{Listed, StoreError, StoreReader, StoreSettings};

/// Time within which the store has to tell what it has. Otherwise the JVM is dumped.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// Longest time for which a failed request is tried again.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// Most receipts that are read. Other pods may store at the same place at the same time.
const RECEIPTS_MAX: usize = 16;

/// A file that names this start of the kernel (random(4)). Pids and start times of two machines can be the same.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Run<'_> {
    /// Returns a hash of the JVM and of what is asked for. `None` for a dump that no other run can stand in for.
    pub fn wish(&self) -> Option<String> {
        let store = &self.settings.common.store;
        if self.settings.dry_run || matches!(store.url, StoreUrl::Stdout | StoreUrl::Presigned { .. }) {
            return None;
        }
        let boot_id = read_named(BOOT_ID, TEXT_MAX).unwrap_or_default();
        let encryption = (store.encryption, &store.kms_key_id);
        let text = format!("{boot_id:?} {} {:?} {encryption:?}", self.receipt.pod.name, self.dump_of());
        Some(hex(digest(&SHA256, text.as_bytes()).as_ref()))
    }

    /// Reports a dump that another run has stored since this run began to wait. Returns false if there is none.
    ///
    /// # Errors
    /// When this run is stopped. A store that cannot be read counts as one without such a dump.
    pub fn tell_stored_meanwhile(&mut self) -> Result<bool, Error> {
        let (Some(since), Some(wish)) = (self.waited_since, self.receipt.wish.clone()) else { return Ok(false) };
        self.receipt.time("wait", since.elapsed().unwrap_or_default());
        self.progress.stage("looking for the other run's dump", None);
        let found = self.stored_since(since, &wish).unwrap_or_else(|error| {
            log::info!(
                "the store does not tell whether the other run has stored its dump: {}",
                Error::Store(error).chain()
            );
            None
        });
        self.deadline.check("looking for the other run's dump")?;
        let Some((object, theirs)) = found else { return Ok(false) };
        self.receipt.warn("the run before this one has just stored the same dump: it is reported, for no second pause");
        let key = object.key.clone();
        let Receipt { dump, context, stored, .. } = theirs;
        self.receipt = Receipt { object: Some(object), dump, context, stored, ..std::mem::take(&mut self.receipt) };
        add_link(&mut self.receipt, &key, self.settings, self.deadline);
        Ok(true)
    }

    /// Finds the dump in the store. If a dump was stored before this run began to wait, its user wants a newer one.
    fn stored_since(&self, since: SystemTime, wish: &str) -> Result<Option<(StoredObject, Receipt)>, StoreError> {
        let common = &self.settings.common;
        let store = StoreSettings { retry_for: common.store.retry_for.min(RETRY_FOR), ..common.store.clone() };
        let deadline: Deadline = self.deadline.at_most(LOOK_WITHIN);
        let reader = StoreReader::open(&store, &deadline)?;
        let dumps = self.newest_dumps(reader.list(&common.place.to_string(), |_| true)?);
        let keys: Vec<String> = dumps.iter().map(|dump| receipt_of(&dump.key)).collect();
        let mut receipts: BTreeMap<String, Receipt> = BTreeMap::new();
        reader.read_small(keys.iter().map(String::as_str), |key, bytes| {
            receipts.extend(serde_json::from_slice(bytes).ok().map(|receipt| (key.to_owned(), receipt)));
        })?;
        let since = DateTime::<Utc>::from(since);
        let found = dumps.iter().find_map(|dump| {
            let receipt = receipts.get(&receipt_of(&dump.key))?.clone();
            let stored = DateTime::parse_from_rfc3339(receipt.stored.as_deref()?).ok()?;
            let object = receipt.object.clone()?;
            let is_it = receipt.wish.as_deref() == Some(wish) && receipt.exit_code == 0 && stored >= since;
            let is_there = object.key == dump.key && object.bytes == dump.bytes && is_of_a_run(&store.url, &dump.key);
            let object = StoredObject { url: store.url.of_key(&dump.key), ..object };
            (is_it && is_there).then_some((object, receipt))
        });
        Ok(found)
    }

    /// Returns the dumps that have a receipt: first those of this pod and pid, the newest first.
    fn newest_dumps(&self, all: Vec<Listed>) -> Vec<Listed> {
        let keys: BTreeSet<String> = all.iter().map(|listed| listed.key.clone()).collect();
        let is_dump = |key: &str| {
            let name = key.rsplit('/').next().unwrap_or_default();
            let own = ObjectKey::of_file(&self.settings.common.place, name);
            own.is_some_and(|own| own.dump() == key) && keys.contains(&receipt_of(key))
        };
        let mut dumps: Vec<Listed> = all.into_iter().filter(|listed| is_dump(&listed.key)).collect();
        dumps.sort_by_key(|dump| (self.key.is_of_same_process(&dump.key), dump.modified));
        dumps.into_iter().rev().take(RECEIPTS_MAX).collect()
    }
}

/// Returns whether a run has stored the object. A directory may be the application's as well, so files of other users
/// do not count.
fn is_of_a_run(url: &StoreUrl, key: &str) -> bool {
    let Some(dir) = url.local_dir() else { return true };
    let known = [rustix::process::geteuid().as_raw(), 0];
    [key, &receipt_of(key)]
        .map(|name| Entry::named(&Path::new(dir).join(name)).and_then(|file| file.metadata()))
        .into_iter()
        .all(|file| file.is_ok_and(|meta| known.contains(&meta.uid())))
}
