//! On what condition a dump is put by a signed URL, so that a URL which is used twice overwrites nothing.

use super::http_error::HttpError;
use crate::store::StoreError;

/// What has to be so in the store. Headers of a condition need not be signed (AWS: "How to prevent object overwrites
/// with conditional writes"; Azure: "Put Blob").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnlyIf {
    /// Nothing is there.
    New,
    /// The same; an answer to all our bytes was lost, and this is their MD5.
    NewOrLost(String),
    /// What is there has this MD5: it is what we sent.
    Ours(String),
    /// The store knows no conditions.
    Whatever,
}

impl OnlyIf {
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::New | Self::NewOrLost(_) => Some(("if-none-match", "*".into())),
            Self::Ours(md5) => Some(("if-match", format!("\"{md5}\""))),
            Self::Whatever => None,
        }
    }

    /// Learns from a failure of a try that sent all bytes, of this MD5, or not all. True when another try may have
    /// another answer at once.
    pub fn learn(&mut self, error: &StoreError, sent: Option<String>) -> bool {
        let (status, why) = match error {
            StoreError::Http(HttpError::Refused { status, why, .. }) => (Some(status.as_u16()), why.as_str()),
            _ => (None, ""),
        };
        let is_new = matches!(self, Self::New | Self::NewOrLost(_));
        match (status, &*self) {
            (Some(501), _) if is_new => *self = Self::Whatever,
            (Some(_), _) if is_new && why.contains("NotImplemented") => *self = Self::Whatever,
            (Some(412), Self::NewOrLost(md5)) => *self = Self::Ours(md5.clone()),
            (None | Some(500..), Self::New) => {
                if let Some(md5) = sent {
                    *self = Self::NewOrLost(md5);
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    /// A refusal that comes of the condition. Whoever may only put is not told whether what is there is ours (AWS:
    /// "Conditional writes", `If-Match` wants s3:GetObject), and a store's own encryption has another ETag.
    pub fn judge(&self, error: StoreError, url: impl Fn() -> String) -> StoreError {
        let status = match &error {
            StoreError::Http(HttpError::Refused { status, why, .. }) if !why.contains("ConditionalRequestConflict") => {
                status.as_u16()
            }
            _ => 0,
        };
        match (self, status) {
            (Self::Whatever, _) => error,
            // Azure: "Put Blob", BlobAlreadyExists.
            (_, 409 | 412) | (Self::Ours(_), 403) => StoreError::Http(HttpError::Taken { url: url() }),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn refused(status: u16, why: &str) -> StoreError {
        let (status, why) = (StatusCode::from_u16(status).unwrap(), why.to_owned());
        StoreError::Http(HttpError::Refused { what: "put", url: "u".into(), status, why })
    }

    #[test]
    fn what_is_there_is_replaced_only_when_it_is_what_was_sent_before() {
        let lost = StoreError::Http(HttpError::Early { url: "u".into() });
        let mut condition = OnlyIf::New;
        assert!(!condition.learn(&refused(412, ""), Some("m".into())));
        assert!(!condition.learn(&lost, None));
        assert_eq!(condition, OnlyIf::New);
        assert!(!condition.learn(&lost, Some("m".into())));
        assert_eq!(condition.header(), Some(("if-none-match", "*".into())));
        assert!(condition.learn(&refused(412, ""), Some("m".into())));
        assert_eq!(condition.header(), Some(("if-match", "\"m\"".into())));
        assert!(!condition.learn(&refused(412, ""), Some("m".into())));
    }

    #[test]
    fn what_is_there_already_is_told_and_what_another_request_is_still_at_is_waited_for() {
        let judged = |condition: &OnlyIf, status, why| condition.judge(refused(status, why), || "u".into());
        let is_taken = |error| matches!(error, StoreError::Http(HttpError::Taken { .. }));
        let ours = OnlyIf::Ours("m".into());
        assert!(is_taken(judged(&OnlyIf::New, 412, "")) && is_taken(judged(&OnlyIf::New, 409, ", BlobAlreadyExists")));
        assert!(is_taken(judged(&ours, 403, ", AccessDenied")) && is_taken(judged(&ours, 412, "")));
        assert!(!is_taken(judged(&OnlyIf::New, 403, "")) && !is_taken(judged(&OnlyIf::Whatever, 412, "")));
        let StoreError::Http(conflict) = judged(&OnlyIf::New, 409, ", ConditionalRequestConflict") else { panic!() };
        assert!(conflict.may_pass());
    }

    #[test]
    fn a_store_that_knows_no_conditions_gets_none() {
        for error in [refused(501, ""), refused(400, ", NotImplemented")] {
            let mut condition = OnlyIf::New;
            assert!(condition.learn(&error, None));
            assert_eq!(condition.header(), None);
            assert!(!condition.learn(&error, None));
        }
    }
}
