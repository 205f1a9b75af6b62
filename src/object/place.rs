//! `project/app/env`: the place of a dump. No I/O.

/// Longest project, app or environment in bytes.
pub(super) const NAME_MAX: usize = 128;

/// A name that cannot be part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} '{shown}' {why}")]
pub struct NameError {
    what: &'static str,
    shown: String,
    why: &'static str,
}

/// `project/app/env`, each checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub project: String,
    pub app: String,
    pub env: String,
}

impl Place {
    /// Checks the three names.
    ///
    /// # Errors
    /// When a name is empty, too long, begins with a dot or holds anything but letters, digits, `.`, `_`, `-`.
    pub fn new(project: &str, app: &str, env: &str) -> Result<Self, NameError> {
        Ok(Self { project: name("project", project)?, app: name("app", app)?, env: name("env", env)? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.app, self.env)
    }
}

impl Place {
    /// Parses a place in the form that it has in a key.
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<&str> = text.split('/').collect();
        let [project, app, env] = names[..] else { return None };
        Self::new(project, app, env).ok()
    }

    /// Returns the place of a dump for which nobody has named one.
    pub fn unknown() -> Self {
        let unknown = || "unknown".to_owned();
        Self { project: unknown(), app: unknown(), env: unknown() }
    }
}

fn name(what: &'static str, text: &str) -> Result<String, NameError> {
    let shown = || text.chars().take(40).flat_map(char::escape_debug).collect();
    let error = |why| Err(NameError { what, shown: shown(), why });
    if text.is_empty() {
        error("is empty")
    } else if text.len() > NAME_MAX {
        error("is longer than 128 bytes")
    } else if text.starts_with('.') {
        error("begins with a dot")
    } else if !text.bytes().all(is_name_byte) {
        error("holds something other than letters, digits, '.', '_' and '-'")
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_place_are_refused() {
        for bad in ["", ".", "..", "a/b", "a b", "a\0b", "ä", ".hidden", "a\\b", "a\nb"] {
            assert!(Place::new(bad, "app", "env").is_err(), "{bad:?}");
            assert!(Place::new("p", bad, "env").is_err(), "{bad:?}");
            assert!(Place::new("p", "app", bad).is_err(), "{bad:?}");
        }
        assert!(Place::new(&"x".repeat(129), "a", "e").is_err());
        assert_eq!(Place::new(&"x".repeat(128), "a-b_c.D9", "-e").unwrap().app, "a-b_c.D9");
    }

    #[test]
    fn a_bad_name_is_shown_short_and_harmless() {
        let error = Place::new(&"\u{1b}[2J".repeat(1000), "a", "e").unwrap_err().to_string();
        assert!(error.len() < 400 && !error.contains('\u{1b}'));
    }
}
