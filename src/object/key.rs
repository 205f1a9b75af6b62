//! The key of an object. No I/O. Keys sorted by name are sorted by time. The run id makes the key unique.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::place::{NAME_MAX, is_name_byte};
pub use super::place::{NameError, Place};

/// Longest name of a file (Linux: `include/uapi/linux/limits.h`, NAME_MAX).
const FILE_NAME_MAX: usize = 255;

/// Bytes around the name of a waiting file: `unverified-`, a run id and `-`; `.gz`, `.upload`, `.abcdef.new`.
const AROUND: usize = 48;

/// Returns the pid in the file name that the JVM gives a dump; 0 without one (JDK: `heapDumper.cpp`,
/// `java_pid<pid>.hprof`).
pub fn pid_of(name: &str) -> i32 {
    let digits = name.split("_pid").nth(1).unwrap_or_default();
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

/// Returns the key of the receipt of the object `key`.
pub fn receipt_of(key: &str) -> String {
    let stem = key.strip_suffix(DUMP_TAIL).or_else(|| key.strip_suffix(".gz")).unwrap_or(key);
    format!("{stem}{RECEIPT_TAIL}")
}

/// The key of the context beside a heap dump, told by the dump's.
pub fn context_of(key: &str) -> Option<String> {
    key.strip_suffix(DUMP_TAIL).map(|stem| format!("{stem}{CONTEXT_TAIL}"))
}

/// Project, app and environment of a key that has all three.
pub fn place_of(key: &str) -> Option<Place> {
    let (dir, _name) = key.rsplit_once('/')?;
    Place::parse(dir)
}

/// The time that an object's name begins with.
pub fn time_of(key: &str) -> Option<DateTime<Utc>> {
    let name = key.rsplit('/').next()?;
    NaiveDateTime::parse_from_str(name.split('_').next()?, TIME).ok().map(|time| time.and_utc())
}

fn clean(name: &str) -> String {
    name.bytes().map(|byte| if is_name_byte(byte) { byte as char } else { '-' }).take(NAME_MAX).collect()
}

/// Returns pod and pid: the text between the time and the run id.
fn process_of(stem: &str) -> Option<&str> {
    let (_time, rest) = stem.split_once('_')?;
    rest.rsplit_once('_').map(|(process, _run_id)| process)
}

/// End of the name of a compressed dump.
pub(super) const DUMP_TAIL: &str = ".hprof.gz";

/// Format of the time at the start of the name.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Separates the stem from the file name in the name of a waiting file that is no heap dump. Never in a key.
const OTHER: char = '+';

/// End of the name of a receipt.
pub const RECEIPT_TAIL: &str = ".json";

/// End of the name of the text beside the dump: threads, flags, memory.
pub const CONTEXT_TAIL: &str = ".txt";

/// End of the name of a pod's claim to dump by itself.
pub const CLAIM_TAIL: &str = ".claim";

/// Returns the content type of a text beside a dump, by the end of its name.
pub fn content_type_of(tail: &str) -> &'static str {
    if tail == CONTEXT_TAIL { "text/plain; charset=utf-8" } else { "application/json" }
}

/// The key of a dump or of another file, without the prefix of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectKey {
    dir: String,
    stem: String,
    tail: String,
}

impl ObjectKey {
    pub fn new(place: &Place, time: DateTime<Utc>, pod: &str, pid: i32, run_id: &str) -> Self {
        let time = time.format(TIME);
        let pod = clean(pod);
        let stem = format!("{time}_{pod}_{pid}_{run_id}");
        Self { dir: place.to_string(), stem, tail: DUMP_TAIL.to_owned() }
    }

    /// Changes the key to that of a file `name` that is no heap dump.
    #[must_use]
    pub fn of_other(self, name: &str) -> Self {
        let room = FILE_NAME_MAX.saturating_sub(AROUND + self.stem.len());
        let name: String = clean(name.strip_suffix(".gz").unwrap_or(name)).chars().take(room).collect();
        Self { tail: format!("_{name}.gz"), ..self }
    }

    /// Parses the key in the name of a file that this tool has kept or taken over for the store. `None` for other
    /// names.
    pub fn of_file(place: &Place, name: &str) -> Option<Self> {
        let (stem, other) = match name.split_once(OTHER) {
            Some((stem, other)) => (stem, Some(other)),
            None => (name.strip_suffix(DUMP_TAIL).or_else(|| name.strip_suffix(".hprof"))?, None),
        };
        let mut parts = stem.rsplitn(3, '_');
        let (run_id, pid, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (time, _pod) = rest.split_once('_')?;
        let is_ours = run_id.len() == 6
            && run_id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && pid.parse::<u32>().is_ok()
            && NaiveDateTime::parse_from_str(time, TIME).is_ok();
        let key = Self { dir: place.to_string(), stem: stem.to_owned(), tail: DUMP_TAIL.to_owned() };
        let key = if let Some(other) = other { key.of_other(other) } else { key };
        (is_ours && key.is_sound()).then_some(key)
    }

    /// Returns the name under which a file waits for the store. [`ObjectKey::of_file`] parses the key from it.
    pub fn waiting_name(&self, gzipped: bool) -> String {
        match self.tail.strip_prefix('_') {
            Some(other) if gzipped => format!("{}{OTHER}{other}", self.stem),
            Some(other) => format!("{}{OTHER}{}", self.stem, other.strip_suffix(".gz").unwrap_or(other)),
            None if gzipped => self.dump_name(),
            None => self.raw_name(),
        }
    }

    /// Returns whether a key that was read from a file is valid: it must not lead out of its place.
    pub fn is_sound(&self) -> bool {
        let whole = format!("{}{}", self.stem, self.tail);
        Place::parse(&self.dir).is_some() && !whole.starts_with('.') && whole.bytes().all(is_name_byte)
    }

    /// Returns the place of the key.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// Returns whether the file is no heap dump.
    pub fn is_other(&self) -> bool {
        self.tail != DUMP_TAIL
    }

    /// Returns the pid of the JVM in its own namespace, if the name tells it.
    pub fn pid(&self) -> Option<i32> {
        self.stem.rsplit('_').nth(1)?.parse().ok().filter(|pid| *pid > 0)
    }

    pub fn run_id(&self) -> &str {
        self.stem.rsplit('_').next().unwrap_or_default()
    }

    /// Returns whether the dump `dump` comes from the same pod and process, by its name.
    pub fn is_of_same_process(&self, dump: &str) -> bool {
        let stem = dump.rsplit('/').next().and_then(|name| name.strip_suffix(DUMP_TAIL)).unwrap_or_default();
        process_of(stem).is_some_and(|process| Some(process) == process_of(&self.stem))
    }

    /// Returns the common start of the names of the object and of the texts beside it.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Returns the key of the compressed dump.
    pub fn dump(&self) -> String {
        format!("{}/{}", self.dir, self.dump_name())
    }

    /// Returns the key of a text beside the object; `tail` is the end of its name.
    pub fn beside(&self, tail: &str) -> String {
        let own = if self.is_other() { self.tail.trim_end_matches(".gz") } else { "" };
        format!("{}/{}{own}{tail}", self.dir, self.stem)
    }

    /// Returns the key of the receipt.
    pub fn receipt(&self) -> String {
        self.beside(RECEIPT_TAIL)
    }

    /// Returns the last name in [`ObjectKey::dump`].
    pub fn dump_name(&self) -> String {
        format!("{}{}", self.stem, self.tail)
    }

    /// Returns the file name of a dump that is not compressed.
    pub fn raw_name(&self) -> String {
        format!("{}.hprof", self.stem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::artefact::Artefact;

    #[test]
    fn a_key_tells_place_and_kind() {
        let of = |name: &str| Artefact::of_key(&format!("p/a/e/20260101T000000Z_pod_7_00ff00{name}"));
        assert_eq!((of(".hprof.gz"), of("_hs_err_pid7.log.gz")), (Artefact::HeapDump, Artefact::ErrorLog));
        assert_eq!((of("_a.jfr.gz"), of("_core.7.gz")), (Artefact::FlightRecording, Artefact::Core));
        assert_eq!((of("_gc.log.gz"), of("_x.gz"), of(".txt")), (Artefact::Log, Artefact::Other, Artefact::Other));
        for kind in Artefact::TAKEN {
            assert_eq!(of(&format!("_{}.gz", kind.taken_name().unwrap())), kind);
        }
        assert_eq!((of("_my-threads.txt.gz"), of("_threads.txt")), (Artefact::Log, Artefact::Other));
        assert_eq!(place_of("p/a/e/x.gz"), Place::new("p", "a", "e").ok());
        assert_eq!((place_of("p/a/x.gz"), place_of("p/a/e/f/x.gz"), place_of("x")), (None, None, None));
        assert_eq!(context_of("p/a/e/x.hprof.gz").as_deref(), Some("p/a/e/x.txt"));
    }

    #[test]
    fn key_is_parsed_from_the_name_of_a_waiting_file() {
        let place = Place::new("shop", "cart", "prod").unwrap();
        let time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        for pod in ["cart-7f", "a_b.c", "x_1_abcdef"] {
            let key = ObjectKey::new(&place, time, pod, 7, "00ff00");
            for gzipped in [true, false] {
                assert_eq!(ObjectKey::of_file(&place, &key.waiting_name(gzipped)), Some(key.clone()));
                let other = key.clone().of_other("hs_err_pid7.log");
                assert_ne!(other.receipt(), key.receipt());
                assert_eq!(ObjectKey::of_file(&place, &other.waiting_name(gzipped)), Some(other));
            }
        }
        let (one, other) =
            (ObjectKey::new(&place, time, "a_b", 7, "00ff00"), ObjectKey::new(&place, time, "a_b", 8, "0"));
        let later = ObjectKey::new(&place, time + chrono::TimeDelta::days(1), "a_b", 7, "00ff01");
        assert!(one.is_of_same_process(&later.dump()) && !one.is_of_same_process(&other.dump()));
        for name in ["java_pid7.hprof", "20231114T221320Z_a_7_00ff0.hprof", "heap.hprof.gz", "+", ".hprof"] {
            assert_eq!(ObjectKey::of_file(&place, name), None, "{name}");
        }
    }

    #[test]
    fn the_key_sorts_by_time_and_hides_no_directory_in_the_pod() {
        let place = Place::new("shop", "cart", "prod").unwrap();
        let time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let key = ObjectKey::new(&place, time, "a/../b", 7, "00ff00");
        assert_eq!(key.dump(), "shop/cart/prod/20231114T221320Z_a-..-b_7_00ff00.hprof.gz");
        assert_eq!(key.receipt(), "shop/cart/prod/20231114T221320Z_a-..-b_7_00ff00.json");
        assert_eq!((key.pid(), ObjectKey::new(&place, time, "a", 0, "00ff00").pid()), (Some(7), None));
    }
}
