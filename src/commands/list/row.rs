//! One object of a listing, pure.

use chrono::SecondsFormat;
use serde::Serialize;

use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::hprof::ClassShare;
use crate::object::key::time_of;
use crate::object::receipt::Receipt;
use crate::store::Listed;

/// So many of its classes say what a heap is full of.
const CLASSES: usize = 3;

/// Most characters of one text of a receipt. Names of classes and reasons are shorter.
const TEXT_MAX: usize = 500;

/// See the module's words.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub key: String,
    pub url: String,
    /// By its name, else its last change; RFC 3339.
    pub time: String,
    pub bytes: u64,
    /// `None` when it is no heap dump, or without a receipt.
    pub complete: Option<bool>,
    pub raw_bytes: Option<u64>,
    pub sha256: Option<String>,
    pub jvm: Option<String>,
    pub main_class: Option<String>,
    pub pod: Option<String>,
    pub reason: Option<String>,
    pub top_classes: Vec<ClassShare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_until: Option<String>,
    /// Why there is none, or why it may not last as long as was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_warning: Option<String>,
}

impl Row {
    pub fn of(object: &Listed, url: String) -> Self {
        Self {
            key: object.key.clone(),
            url,
            time: time_of(&object.key).unwrap_or(object.modified).to_rfc3339_opts(SecondsFormat::Secs, true),
            bytes: object.bytes,
            complete: None,
            raw_bytes: None,
            sha256: None,
            jvm: None,
            main_class: None,
            pod: None,
            reason: None,
            top_classes: Vec::new(),
            link: None,
            link_until: None,
            link_warning: None,
        }
    }

    /// Adds what a receipt says; returns how many bytes of text that were.
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
        let top = walk.and_then(|walk| walk.classes.as_ref()).into_iter().flat_map(|classes| &classes.top);
        self.top_classes =
            top.take(CLASSES).map(|class| ClassShare { name: short(&class.name), ..class.clone() }).collect();
        told
    }

    pub fn state(&self) -> &'static str {
        match self.complete {
            Some(true) => "whole",
            Some(false) => "TRUNCATED",
            None => "-",
        }
    }

    /// For people, with its end.
    fn shown_link(&self) -> Option<String> {
        let until = self.link_until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        Some(format!("{}{until}", self.link.as_ref()?))
    }

    pub fn classes(&self) -> String {
        let share = |class: &ClassShare| format!("{} {}", Bytes(class.amount.bytes), class.name);
        self.top_classes.iter().map(share).collect::<Vec<_>>().join(", ")
    }
}

/// A line for each, and one below it for its link.
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing is stored there\n".into();
    }
    let mut text = format!("{:<20}  {:>10}  {:<9}  {:<14}  KEY\n", "TIME", "SIZE", "STATE", "JVM");
    for row in rows {
        let jvm = printable(row.jvm.as_deref().unwrap_or("-"));
        let size = Bytes(row.bytes).to_string();
        text += &format!("{:<20}  {size:>10}  {:<9}  {jvm:<14}  {}\n", row.time, row.state(), printable(&row.key));
        for (what, detail) in
            [("reason", row.reason.clone()), ("fullest", Some(row.classes())), ("link", row.shown_link())]
        {
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
