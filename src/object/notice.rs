//! The notice of a run's end, for machines of chat and alerts. docs/notify.md describes its fields. No I/O.

use serde::Serialize;

use super::receipt::Receipt;
use crate::hprof::ClassShare;

/// Most classes in a notice.
const CLASSES_MAX: usize = 10;

#[derive(Serialize)]
struct Notice<'a> {
    result: &'static str,
    place: &'a Option<String>,
    pod: &'a str,
    pod_namespace: &'a Option<String>,
    reason: &'a Option<String>,
    requested_by: &'a Option<String>,
    key: Option<&'a str>,
    /// Bytes of the object, or of what is kept.
    bytes: Option<u64>,
    exit_code: u8,
    run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<&'a [ClassShare]>,
}

/// Returns the notice of a run that is over, as JSON. `None` if the run has made no dump because none was wanted.
pub fn notice(receipt: &Receipt, with_classes: bool) -> Option<String> {
    if receipt.nothing_done.is_some() {
        return None;
    }
    let (object, kept) = (receipt.object.as_ref(), receipt.kept.as_ref());
    let walk = receipt.dump.as_ref().and_then(|dump| dump.walk.as_ref());
    let classes = walk.and_then(|walk| walk.classes.as_ref()).map_or(&[][..], |classes| &classes.top);
    let result = match (object, kept) {
        (Some(_), _) => "stored",
        (None, Some(_)) => "kept",
        (None, None) => "failed",
    };
    let notice = Notice {
        result,
        place: &receipt.place,
        pod: &receipt.pod.name,
        pod_namespace: &receipt.pod.pod_namespace,
        reason: &receipt.reason,
        requested_by: &receipt.requested_by,
        key: object.map(|object| object.key.as_str()),
        bytes: object.map(|object| object.bytes).or(kept.map(|kept| kept.bytes)),
        exit_code: receipt.exit_code,
        run_id: &receipt.run_id,
        classes: with_classes.then(|| &classes[..classes.len().min(CLASSES_MAX)]),
    };
    serde_json::to_string(&notice).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::receipt::Kept;

    #[test]
    fn notice_tells_what_became_of_the_dump_and_no_link() {
        let link = Some("https://signed".to_owned());
        let mut receipt = Receipt { run_id: "00ff00".into(), exit_code: 9, link, ..Receipt::default() };
        let told = notice(&receipt, false).unwrap();
        assert!(told.starts_with(r#"{"result":"failed","place":null,"pod":"","#) && !told.contains("signed"), "{told}");
        assert!(!told.contains("classes") && notice(&receipt, true).unwrap().contains(r#""classes":[]"#));
        let kept = Kept { path: "/x".into(), bytes: 7, lifetime: String::new(), resume: String::new() };
        receipt.kept = Some(kept);
        let told = notice(&receipt, false).unwrap();
        assert!(
            told.contains(r#""result":"kept""#) && told.contains(r#""key":null,"bytes":7,"exit_code":9"#),
            "{told}"
        );
        receipt.nothing_done = Some("dry run".into());
        assert_eq!(notice(&receipt, false), None);
    }
}
