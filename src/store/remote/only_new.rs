//! The condition for a PUT by a signed URL, so that a URL that is used twice overwrites nothing.

use super::http_error::HttpError;
use crate::store::StoreError;

/// The state of the store that a PUT demands. The header of a condition need not be signed (AWS: "How to prevent object
/// overwrites with conditional writes"; Azure: "Put Blob").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnlyIf {
    /// No object exists.
    New,
    /// No object exists, but the answer to a complete PUT was lost. The value is the MD5 of its bytes.
    NewOrLost(String),
    /// The existing object has this MD5, so it is the one that we sent.
    Ours(String),
    /// No condition, because the store does not support any.
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

    /// Adapts the condition after a failed try. `sent` is the MD5 of the bytes, if all were sent. Returns true if a new
    /// try with the new condition may succeed at once.
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

    /// Converts an error that the condition has caused. A user with only the right to put does not learn whether the
    /// object is ours (AWS: "Conditional writes", `If-Match` wants s3:GetObject). A store that encrypts has another
    /// ETag than the MD5.
    pub fn judge(&self, error: StoreError, url: impl Fn() -> String) -> StoreError {
        let status = match &error {
            StoreError::Http(HttpError::Refused { status, why, .. }) if !why.contains("ConditionalRequestConflict") => {
                status.as_u16()
            }
            _ => 0,
        };
        match (self, status) {
            (Self::Whatever, _) => error,
            // 409 is Azure's BlobAlreadyExists ("Put Blob").
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
    fn only_an_object_that_was_sent_before_is_replaced() {
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
    fn existing_object_is_an_error_and_running_request_may_pass() {
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
