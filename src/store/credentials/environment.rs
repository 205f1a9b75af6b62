//! A vendor's environment variables, as one value that tests can make.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Whether the value of a switch says yes, as object_store reads it (its config.rs).
pub fn is_on(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// Variables and their values; what is no UTF-8 is left out.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Without the blank space around it; an empty variable is one that was not set: manifests cannot unset them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_on)
    }

    /// All of a vendor that are not empty, without the blank space around their values.
    pub fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        all.map(|(name, value)| (name.as_str(), value.trim())).filter(|(_, value)| !value.is_empty())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(pairs: T) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_space_and_empty_variables_do_not_count() {
        let environment = Environment::from_iter([("A_KEY", "secret\r\n"), ("A_NONE", " "), ("B", "1")]);
        assert_eq!(environment.get("A_KEY"), Some("secret"));
        assert_eq!(environment.get("A_NONE"), None);
        assert!(environment.is_on("B") && !environment.is_on("A_KEY"));
        assert_eq!(environment.beginning_with("A_").collect::<Vec<_>>(), [("A_KEY", "secret")]);
        assert!(!format!("{environment:?}").contains("secret"));
    }
}
