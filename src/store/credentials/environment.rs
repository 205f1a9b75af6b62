//! The environment variables of a vendor, as a value that tests can build.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Returns whether the value of a switch means yes, by the rules of object_store (its config.rs).
pub fn is_on(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// Variables and their values. Variables that are not UTF-8 are left out.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns the variables of this process.
    pub fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Returns a value without the blanks around it. An empty variable counts as not set, because a manifest cannot
    /// unset a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_on)
    }

    /// Returns all variables of a vendor that are not empty. Their values have no blanks around them.
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

/// Prints only names, because values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_empty_variables_do_not_count() {
        let environment = Environment::from_iter([("A_KEY", "secret\r\n"), ("A_NONE", " "), ("B", "1")]);
        assert_eq!(environment.get("A_KEY"), Some("secret"));
        assert_eq!(environment.get("A_NONE"), None);
        assert!(environment.is_on("B") && !environment.is_on("A_KEY"));
        assert_eq!(environment.beginning_with("A_").collect::<Vec<_>>(), [("A_KEY", "secret")]);
        assert!(!format!("{environment:?}").contains("secret"));
    }
}
