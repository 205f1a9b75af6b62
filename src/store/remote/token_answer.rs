//! Checks the answers of token services that object_store asks itself (Azure's, Google's for an authorized user).
//! object_store panics at a token that no header can contain, and at a lifetime that its clock cannot count.

use bytes::Bytes;
use chrono::Utc;
use serde_json::Value;

use crate::store::credentials::{TokenError, is_token, longest_seconds};

/// Header of object_store's request to Microsoft Fabric. The whole answer is the token (object_store 0.14,
/// `azure/credential.rs`).
pub const FABRIC: &str = "x-ms-partner-token";

/// Checks an answer that may contain a token, and shortens a lifetime that is too long. Other answers stay unchanged.
///
/// # Errors
/// When the token cannot be used.
pub fn usable_answer(answer: Bytes, host: &str) -> Result<Bytes, TokenError> {
    if answer.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(answer);
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice::<Value>(&answer) else { return Ok(answer) };
    let Some(token) = fields.get("access_token") else { return Ok(answer) };
    if !token.as_str().is_some_and(is_token) {
        return Err(odd(host));
    }
    for (name, latest) in [("expires_in", longest_seconds()), ("expires_on", now() + longest_seconds())] {
        match fields.get_mut(name) {
            Some(Value::Number(seconds)) if seconds.as_f64().is_none_or(|seconds| seconds > latest as f64) => {
                *seconds = latest.into();
            }
            Some(Value::String(seconds)) if seconds.parse::<u64>().is_ok_and(|seconds| seconds > latest) => {
                *seconds = latest.to_string();
            }
            _ => {}
        }
    }
    serde_json::to_vec(&fields).map(Bytes::from).map_err(|_| odd(host))
}

/// Checks an answer that is nothing but the token. The token itself contains its end.
///
/// # Errors
/// When the token cannot be used.
pub fn usable_fabric(token: Bytes, host: &str) -> Result<Bytes, TokenError> {
    let text = std::str::from_utf8(&token).map_err(|_| odd(host))?;
    let ends_ever = end_in(text).is_none_or(|end| end <= now() + longest_seconds());
    if is_token(text) && ends_ever { Ok(token) } else { Err(odd(host)) }
}

/// Returns the end in a JWT (RFC 7519, section 4.1.4).
fn end_in(token: &str) -> Option<u64> {
    let claims = base64url(token.split('.').nth(1)?)?;
    serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_u64()
}

/// Decodes RFC 4648, section 5, without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len()), 0u32, 0u32);
    for byte in text.bytes() {
        held = (held << 6 | DIGITS.iter().position(|digit| *digit == byte)? as u32) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

fn now() -> u64 {
    Utc::now().timestamp().try_into().unwrap_or_default()
}

fn odd(host: &str) -> TokenError {
    TokenError::Odd { store: host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(text: &str) -> Result<String, TokenError> {
        let answer = usable_answer(Bytes::copy_from_slice(text.as_bytes()), "h")?;
        Ok(String::from_utf8(answer.to_vec()).unwrap())
    }

    #[test]
    fn token_that_no_header_can_hold_is_refused() {
        for token in [r"t\nx", "\u{e4}", "a b", &"t".repeat(20_000)] {
            let told = usable(&format!(r#"{{"access_token":"{token}","expires_in":3600}}"#)).unwrap_err().to_string();
            assert!(told.contains("a token that no header can hold"), "{told}");
        }
        assert!(usable(r#"{"access_token":7}"#).is_err());
        for other in ["<Error/>", "{}", r#"{"items":[]}"#, "{", ""] {
            assert_eq!(usable(other).unwrap(), other);
        }
    }

    #[test]
    fn lifetime_of_a_token_is_cut_to_a_week() {
        for end in ["18446744073709551615", "1e300", "99999999999"] {
            for field in ["expires_in", "expires_on"] {
                let told = usable(&format!(r#"{{"access_token":"t","{field}":{end}}}"#)).unwrap();
                let told: Value = serde_json::from_str(&told).unwrap();
                assert!(told[field].as_u64().unwrap() <= now() + longest_seconds(), "{told}");
            }
        }
        let told = usable(r#"{"access_token":"t","expires_on":"18446744073709551615"}"#).unwrap();
        assert!(!told.contains("18446744073709551615"), "{told}");
        assert!(usable(r#"{"access_token":"t","expires_in":3600}"#).unwrap().contains("3600"));
    }

    #[test]
    fn fabric_token_without_an_end_is_refused() {
        let usable = |token: &str| usable_fabric(Bytes::copy_from_slice(token.as_bytes()), "h").is_ok();
        // {"exp":18446744073709551615} and {"exp":1}
        assert!(!usable("h.eyJleHAiOjE4NDQ2NzQ0MDczNzA5NTUxNjE1fQ.s"));
        assert!(usable("h.eyJleHAiOjF9.s") && usable("opaque") && !usable("a\nb"));
    }
}
