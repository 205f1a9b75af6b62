//! The receipt: the result of a run, complete or not. Text for people; JSON for machines and for the store.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::classes;
use super::pod::Pod;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::hprof::{Blanked, Summary};
use crate::object::artefact::Artefact;
use crate::object::stored::{StoredObject, Verified};

/// The reason of a dump that the JVM has written by itself.
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError";

/// Most frames of a stack that are shown as text.
const FRAMES_SHOWN: usize = 8;

/// The receipt of one run. Times are in seconds, sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub tool: String,
    pub run_id: String,
    pub exit_code: u8,
    /// `project/app/env`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The user's reason for the dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The person or program that asked for the run, by its own word. Nobody has verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// The kind of an object that `take` has stored; `None` for other objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<Artefact>,
    /// The key of the text beside the dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The data that was redacted: strings or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// A URL by which anybody can download the dump. Never in the receipt that is stored beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_until: Option<String>,
    /// Start of the run, RFC 3339.
    pub started: String,
    /// Time at which this receipt was stored beside its object, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// A hash of the JVM and of the requested dump. A run that waited for this one compares it with its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<StoredObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jvm: Option<JvmFacts>,
    pub pod: Pod,
    #[serde(default)]
    pub seconds: Vec<StageTime>,
    /// The source is damaged, so its file stays. Used only within the run; others read it in the walk and in a warning.
    #[serde(skip)]
    pub is_damaged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The warnings of [`Receipt::warn_of_this_run`]. Used only within the run.
    #[serde(skip)]
    pub of_this_run: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Set by a dry run, or when no condition was met. No dump was made, and that is no error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_done: Option<String>,
}

/// The dump itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DumpFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk: Option<Summary>,
    /// The JVM's own message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The pause in seconds, as the JVM reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<f64>,
    /// The JVM that wrote the dump on OutOfMemoryError, in its own PID namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Time at which that JVM began to write the dump, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<String>,
}

/// The JVM that was dumped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JvmFacts {
    pub pid: i32,
    pub ns_pid: i32,
    pub uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The main class, without arguments: they may contain secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_class: Option<String>,
}

/// The time that a stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    pub stage: String,
    pub seconds: f64,
}

/// A dump that was not stored and is still there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub path: String,
    pub bytes: u64,
    /// The lifetime of files in that directory, as text.
    pub lifetime: String,
    /// The command that stores the dump.
    pub resume: String,
}

/// Why the run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
    pub hint: String,
}

impl Receipt {
    pub fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        log::warn!("{warning}");
        self.warnings.push(warning);
    }

    /// Warns of something that does not hold any more when another run goes on with the dump: that the store is down,
    /// for example.
    pub fn warn_of_this_run(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        self.of_this_run.push(warning.clone());
        self.warn(warning);
    }

    /// Returns the receipt for a journal: a run that goes on with the dump takes it over.
    #[must_use]
    pub fn for_journal(&self) -> Self {
        let lasts = |warning: &&String| !self.of_this_run.contains(warning);
        let warnings = self.warnings.iter().filter(lasts).cloned().collect();
        Self { warnings, of_this_run: Vec::new(), ..self.clone() }
    }

    /// Warns of instances whose references were redacted, too. `instead` says how to get a dump with all sizes.
    pub fn warn_of_blanked(&mut self, blanked: Blanked, instead: &str) {
        for (instances, why) in [
            (blanked.early, "come before their classes"),
            (blanked.too_large, "are of classes with more superclasses or fields than are looked at"),
            (blanked.misfit, "are not as long as their classes say"),
        ] {
            if instances > 0 {
                self.warn(format!("{instances} instances {why}: they lost their references as well"));
            }
        }
        if blanked.sizes {
            self.warn(format!(
                "the JVM wrote the names of fields too late: the sizes of collections and the states of threads are \
                 zeroed as well; for a dump that has them, {instead}"
            ));
        }
    }

    /// Warns of cut arrays. The JVM writes that only into its own log.
    pub fn warn_of_cut_arrays(&mut self, cut: u64) {
        if cut > 0 {
            self.warn(format!(
                "{cut} arrays have as many elements as a dump can hold: what they have beyond 4 GiB was cut by the JVM"
            ));
        }
    }

    pub fn time(&mut self, stage: &str, took: std::time::Duration) {
        let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.seconds.push(StageTime { stage: stage.to_owned(), seconds });
    }

    /// Returns the receipt as one line of JSON.
    ///
    /// # Errors
    /// When a number has no JSON form. No number of a receipt is of that kind.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    fn headline(&self) -> String {
        match (&self.object, &self.kept, &self.nothing_done) {
            (Some(object), _, _) if object.url == "-" => "written to standard output".into(),
            (Some(object), _, _) if object.is_unverified() => format!("acknowledged, not verified: {}", object.url),
            (Some(object), _, _) => format!("stored {}", object.url),
            (None, Some(kept), _) => format!("not stored, kept {}", kept.path),
            (None, None, Some(why)) => format!("nothing dumped: {why}"),
            (None, None, None) => "failed".into(),
        }
    }
}

impl Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.headline()))?;
        let mut line =
            |label: &str, value: &dyn Display| writeln!(f, "  {label:<10} {}", printable(&value.to_string()));
        if let Some(object) = &self.object {
            line("size", &format!("{} ({} bytes)", Bytes(object.bytes), object.bytes))?;
            if let Some(sha256) = &object.sha256 {
                line("sha256", sha256)?;
            }
            line("verified", &how_verified(object))?;
        }
        if let Some(artefact) = self.artefact {
            line("artefact", &artefact.words())?;
        }
        if let Some(dump) = &self.dump {
            dump.lines(&mut line)?;
        }
        if let Some(redacted) = &self.redacted {
            line("redacted", redacted)?;
        }
        if let Some(jvm) = &self.jvm {
            line("jvm", jvm)?;
        }
        if let Some(reason) = &self.reason {
            line("reason", reason)?;
        }
        if let Some(requester) = &self.requested_by {
            line("requested", &format!("by {requester} (not verified)"))?;
        }
        if let Some(link) = &self.link {
            let until = self.link_until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
            line("link", &format!("{link}{until}"))?;
        }
        if let Some(context) = &self.context {
            line("context", context)?;
        }
        line("pod", &self.pod.name)?;
        let times = self.seconds.iter().map(|stage| format!("{} {:.2} s", stage.stage, stage.seconds));
        let times = times.collect::<Vec<_>>().join(", ");
        if !times.is_empty() {
            line("times", &times)?;
        }
        if let Some(kept) = &self.kept {
            line("kept", &format!("{}, {}; {}", kept.path, Bytes(kept.bytes), kept.lifetime))?;
            line("resume", &kept.resume)?;
        }
        for warning in &self.warnings {
            line("warning", warning)?;
        }
        line("run", &format!("{} at {}, exit status {}", self.run_id, self.started, self.exit_code))
    }
}

impl DumpFacts {
    fn lines(&self, line: &mut dyn FnMut(&str, &dyn Display) -> fmt::Result) -> fmt::Result {
        if let Some(walk) = &self.walk {
            let whole = if walk.complete { "whole" } else { "TRUNCATED" };
            let r = &walk.records;
            line(
                "dump",
                &format!(
                    "{} raw, {whole}: {} objects, {} classes, {} roots",
                    Bytes(walk.bytes),
                    r.objects(),
                    r.classes,
                    r.roots
                ),
            )?;
            for class in walk.classes.iter().flat_map(classes::lines) {
                line("class", &class)?;
            }
            for frame in walk.out_of_memory_stack.iter().take(FRAMES_SHOWN) {
                line("thrown at", frame)?;
            }
        }
        if let Some(begun) = &self.begun {
            let pid = self.pid.map(|pid| format!(", pid {pid} inside")).unwrap_or_default();
            line("written", &format!("by the JVM itself at {begun}{pid}"))?;
        }
        if let Some(live_only) = self.live_only {
            line("objects", &if live_only { "live only" } else { "all, unreachable ones too" })?;
        }
        if let Some(pause) = self.pause {
            line("pause", &format!("the JVM stood still for {pause:.2} s"))?;
        }
        match &self.words {
            Some(words) => line("jvm said", &words.lines().last().unwrap_or_default()),
            None => Ok(()),
        }
    }
}

impl Display for JvmFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)?;
        if self.ns_pid != self.pid {
            write!(f, " (inside {})", self.ns_pid)?;
        }
        write!(f, ", uid {}", self.uid)?;
        if let Some(version) = &self.version {
            write!(f, ", version {version}")?;
        }
        match &self.main_class {
            Some(main_class) => write!(f, ", {main_class}"),
            None => Ok(()),
        }
    }
}

fn how_verified(object: &StoredObject) -> &'static str {
    if object.url == "-" {
        return "written; whoever reads it has to verify it";
    }
    match object.verified {
        Verified::Checksum => "the store's checksum and size are ours",
        Verified::Size => "the store's size is ours; it gives no checksum to compare",
        Verified::Acknowledged => {
            "acknowledged: the store said that it has the object, and nobody could look at it or compare a checksum"
        }
    }
}
