//! Whatever a test runs is run at trace level, and says nothing that is secret.

use super::{azurite, s3, tokens, webdav};

/// Keys, passwords and tokens of all test servers, what tests plant in a JVM, and the private parts of a key.
const SECRETS: &[&str] = &[
    s3::SECRET,
    azurite::KEY,
    webdav::PASSWORD,
    webdav::BASIC,
    tokens::SESSION,
    tokens::JWT,
    tokens::AUTHORIZATION,
    tokens::IMDS,
    tokens::EXCHANGED,
    tokens::IMPERSONATED,
    PLANTED,
    "PRIVATE KEY",
];

/// What a link is signed with, in the query of each vendor.
const SIGNATURES: &[&str] = &[
    "X-Amz-Signature=",
    "X-Amz-Security-Token=",
    "AWSAccessKeyId=",
    "OSSAccessKeyId=",
    "security-token=",
    "X-Goog-Signature=",
    "&sig=",
];

/// In an error of S3's.
const REPEATED: &[&str] = &["<Token-0>", "<CanonicalRequest>", "<SignatureProvided>"];

/// A `-D` argument of a JVM.
pub const PLANTED: &str = "Hunter2+Korrekt+Pferd";

/// What a run has printed, each with the lines that nobody has asked for.
#[track_caller]
pub fn assert_told_in_none(told: &[&str]) {
    for text in told {
        let text = without_tokens_of_links(text);
        for secret in SECRETS.iter().chain(REPEATED) {
            assert!(!text.contains(secret), "'{secret}' is told: {}", around(&text, secret));
        }
    }
    // A signature is told in a link, which is an answer, and in no message.
    for signature in SIGNATURES {
        assert!(!told[0].contains(signature), "{}", around(told[0], signature));
    }
}

/// A link that is signed with a token has it in its query. No message may have a link: [`SIGNATURES`].
fn without_tokens_of_links(text: &str) -> String {
    let mut pieces = text.split("-Token=");
    let first = pieces.next().unwrap_or_default().to_owned();
    let is_in_query = |c: char| c.is_ascii_alphanumeric() || "%-._~".contains(c);
    pieces.fold(first, |before, piece| before + piece.trim_start_matches(is_in_query))
}

/// An error of S3's that repeats the request: its token, its signature and what had to be signed (AWS: "Error
/// responses", ExpiredToken and SignatureDoesNotMatch).
pub fn repeating(body: &str, headers: &http::HeaderMap) -> String {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = of("x-amz-security-token");
    let repeated = format!(
        "<SignatureProvided>{}</SignatureProvided><CanonicalRequest>PUT\n/\n\nx-amz-security-token:{token}\n\
         </CanonicalRequest><Token-0>{token}</Token-0></Error>",
        of("authorization")
    );
    body.replace("</Error>", &repeated)
}

fn around<'a>(text: &'a str, what: &str) -> &'a str {
    let line = text.lines().find(|line| line.contains(what));
    line.unwrap_or_default()
}

/// Without the lines of the log that are below this verbosity.
pub fn as_asked_for(stderr: &str, verbosity: usize) -> String {
    let surplus: &[&str] = match verbosity {
        0 => &[" INFO ", " DEBUG", " TRACE"],
        1 => &[" DEBUG", " TRACE"],
        _ => &[],
    };
    let asked_for = |line: &&str| {
        let level = line.strip_prefix('[').and_then(|rest| rest.get("2026-11-22T04:31:00Z".len()..));
        level.is_none_or(|level| !surplus.iter().any(|surplus| level.starts_with(surplus)))
    };
    stderr.split_inclusive('\n').filter(asked_for).collect()
}
