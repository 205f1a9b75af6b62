//! One object of a listing. No I/O.

use chrono::SecondsFormat;
use serde::Serialize;

use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::hprof::ClassShare;
use crate::object::artefact::Artefact;
use crate::object::classes::is_application;
use crate::object::key::{context_of, place_of, time_of};
use crate::object::receipt::{OUT_OF_MEMORY, Receipt};
use crate::store::Listed;

/// Classes of a receipt that a row takes.
const CLASSES: usize = 3;

/// Most characters of one text of a receipt. Names of classes and reasons are shorter.
const TEXT_MAX: usize = 500;

/// One object of a listing. docs/console.md describes the fields.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub key: String,
    pub url: String,
    pub kind: Artefact,
    /// `None` if the key does not have all three names.
    pub project: Option<String>,
    pub app: Option<String>,
    pub env: Option<String>,
    /// RFC 3339. The time in the object's name, or else its last change.
    pub time: String,
    pub bytes: u64,
    /// `None` if the object is no heap dump, or has no receipt.
    pub complete: Option<bool>,
    pub raw_bytes: Option<u64>,
    pub sha256: Option<String>,
    pub jvm: Option<String>,
    pub main_class: Option<String>,
    pub pod: Option<String>,
    pub reason: Option<String>,
    /// Nobody has verified it.
    pub requested_by: Option<String>,
    /// True if the dump itself or its reason says so.
    pub out_of_memory: bool,
    pub redacted: Option<String>,
    /// Seconds.
    pub pause: Option<f64>,
    /// The key of threads, flags and memory beside the dump.
    pub context: Option<String>,
    pub top_classes: Vec<ClassShare>,
    /// The largest classes that are not the JDK's.
    pub application_classes: Vec<ClassShare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_until: Option<String>,
    /// Why there is no link, or why it may end earlier than was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_warning: Option<String>,
}

impl Row {
    pub fn of(object: &Listed, url: String) -> Self {
        let place = place_of(&object.key);
        let (project, app, env) = match place {
            Some(place) => (Some(place.project), Some(place.app), Some(place.env)),
            None => (None, None, None),
        };
        Self {
            key: object.key.clone(),
            url,
            kind: Artefact::of_key(&object.key),
            project,
            app,
            env,
            time: time_of(&object.key).unwrap_or(object.modified).to_rfc3339_opts(SecondsFormat::Secs, true),
            bytes: object.bytes,
            complete: None,
            raw_bytes: None,
            sha256: None,
            jvm: None,
            main_class: None,
            pod: None,
            reason: None,
            requested_by: None,
            out_of_memory: false,
            redacted: None,
            pause: None,
            context: None,
            top_classes: Vec::new(),
            application_classes: Vec::new(),
            link: None,
            context_link: None,
            link_until: None,
            link_warning: None,
        }
    }

    /// Adds the facts of a receipt. Returns how many bytes of text were added.
    pub fn tell(&mut self, receipt: &Receipt) -> usize {
        let walk = receipt.dump.as_ref().and_then(|dump| dump.walk.as_ref());
        let jvm = receipt.jvm.as_ref();
        let mut told = 0;
        let mut short = |text: &String| {
            let text: String = text.chars().take(TEXT_MAX).collect();
            told += text.len();
            text
        };
        self.complete = walk.map(|walk| walk.complete);
        self.raw_bytes = walk.map(|walk| walk.bytes);
        self.sha256 = receipt.object.as_ref().and_then(|object| object.sha256.as_ref()).map(&mut short);
        self.jvm = jvm.and_then(|jvm| jvm.version.as_ref()).map(&mut short);
        self.main_class = jvm.and_then(|jvm| jvm.main_class.as_ref()).map(&mut short);
        self.pod = Some(short(&receipt.pod.name));
        self.reason = receipt.reason.as_ref().map(&mut short);
        self.requested_by = receipt.requested_by.as_ref().map(&mut short);
        self.redacted = receipt.redacted.as_ref().map(&mut short);
        self.pause = receipt.dump.as_ref().and_then(|dump| dump.pause);
        let tells_error = self.reason.as_ref().is_some_and(|reason| reason.contains(OUT_OF_MEMORY));
        self.out_of_memory = tells_error || walk.is_some_and(|walk| walk.out_of_memory);
        // With another key, the user who lists would sign a link to another object.
        self.context = context_of(&self.key).filter(|own| receipt.context.as_ref() == Some(own));
        let top = || walk.and_then(|walk| walk.classes.as_ref()).into_iter().flat_map(|classes| &classes.top);
        let mut named = |class: &ClassShare| ClassShare { name: short(&class.name), ..class.clone() };
        self.top_classes = top().take(CLASSES).map(&mut named).collect();
        self.application_classes = top().filter(|class| is_application(&class.name)).take(CLASSES).map(named).collect();
        told
    }

    pub fn state(&self) -> &'static str {
        match self.complete {
            Some(true) => "whole",
            Some(false) => "TRUNCATED",
            None => "-",
        }
    }

    /// Returns the link with its end, for people.
    fn shown_link(&self) -> Option<String> {
        let until = self.link_until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        Some(format!("{}{until}", self.link.as_ref()?))
    }

    pub fn requester(&self) -> Option<String> {
        self.requested_by.as_ref().map(|requester| format!("{requester} (not verified)"))
    }

    pub fn classes(&self) -> String {
        let share = |class: &ClassShare| format!("{} {}", Bytes(class.amount.bytes), class.name);
        self.top_classes.iter().map(share).collect::<Vec<_>>().join(", ")
    }
}

/// Returns whether a class, or the element of an array, does not belong to the JDK.
/// Returns a line for each row. Lines below it have its reason, classes and link.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<20}  {:>10}  {:<9}  {:<14}  KEY\n", "TIME", "SIZE", "STATE", "JVM");
    for row in rows {
        let jvm = printable(row.jvm.as_deref().unwrap_or("-"));
        let size = Bytes(row.bytes).to_string();
        text += &format!("{:<20}  {size:>10}  {:<9}  {jvm:<14}  {}\n", row.time, row.state(), printable(&row.key));
        for (what, detail) in [
            ("reason", row.reason.clone()),
            ("asked by", row.requester()),
            ("fullest", Some(row.classes())),
            ("link", row.shown_link()),
        ] {
            if let Some(detail) = detail.filter(|detail| !detail.is_empty()) {
                text += &format!("{:22}{what:<8} {}\n", "", printable(&detail));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::key::receipt_of;

    fn listed(key: &str) -> Listed {
        Listed { key: key.into(), bytes: 2048, modified: chrono::DateTime::UNIX_EPOCH, e_tag: None }
    }

    #[test]
    fn a_row_without_a_receipt_tells_what_its_name_does() {
        let row = Row::of(&listed("p/a/e/20231114T221320Z_pod_7_00ff00.hprof.gz"), "u".into());
        assert_eq!((row.time.as_str(), row.state()), ("2023-11-14T22:13:20Z", "-"));
        assert_eq!(receipt_of(&row.key), "p/a/e/20231114T221320Z_pod_7_00ff00.json");
        assert_eq!(receipt_of("x/y_hs_err.log.gz"), "x/y_hs_err.log.json");
        assert_eq!(Row::of(&listed("p/odd.gz"), "u".into()).time, "1970-01-01T00:00:00Z");
    }

    #[test]
    fn context_of_another_object_is_not_taken() {
        let mut row = Row::of(&listed("p/a/e/x.hprof.gz"), "u".into());
        let receipt = |key: &str| Receipt { context: Some(key.into()), ..Receipt::default() };
        for (key, taken) in [("p/a/e/x.txt", true), ("p/b/e/y.txt", false), ("p/a/e/../x.txt", false)] {
            row.tell(&receipt(key));
            assert_eq!(row.context.as_deref(), taken.then_some("p/a/e/x.txt"), "{key}");
        }
    }

    #[test]
    fn requester_is_listed_as_not_verified() {
        let mut row = Row::of(&listed("p/a/e/x.hprof.gz"), "u".into());
        assert!(!table(&[row.clone()]).contains("asked by"));
        row.tell(&Receipt { requested_by: Some("anna\u{1b}[2J".into()), ..Receipt::default() });
        assert!(table(&[row.clone()]).contains("asked by anna\\u001b[2J (not verified)\n"), "{}", table(&[row]));
    }

    #[test]
    fn a_link_is_shown_with_its_end() {
        let mut row = Row::of(&listed("p/a.gz"), "u".into());
        row.link = Some("https://x".into());
        assert!(table(&[row.clone()]).contains("https://x\n"));
        row.link_until = Some("2026-11-22T00:00:00Z".into());
        assert!(table(&[row]).contains("https://x until 2026-11-22T00:00:00Z\n"));
    }

    #[test]
    fn a_name_does_not_command_the_terminal() {
        let row = Row::of(&listed("p/\u{1b}[2J.gz"), "u".into());
        assert!(!table(&[row]).contains('\u{1b}'));
    }
}
