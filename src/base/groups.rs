//! Supplementary groups of a process. A pod's `fsGroup` is one: for many JVMs it alone opens a volume.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize};

/// A list that is as cheap to copy as a number. Lists live as long as this process, each once: few processes have any,
/// and most have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Groups(&'static [u32]);

static KNOWN: Mutex<Vec<&'static [u32]>> = Mutex::new(Vec::new());

impl Groups {
    pub fn as_slice(self) -> &'static [u32] {
        self.0
    }
}

impl From<Vec<u32>> for Groups {
    fn from(mut groups: Vec<u32>) -> Self {
        groups.sort_unstable();
        groups.dedup();
        if groups.is_empty() {
            return Self::default();
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|same| **same == groups).copied();
        Self(found.unwrap_or_else(|| {
            let new: &'static [u32] = groups.leak();
            known.push(new);
            new
        }))
    }
}

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_groups_are_one_list() {
        let [one, other] = [vec![7, 3, 7], vec![3, 7]].map(Groups::from);
        assert_eq!(one.as_slice(), [3, 7]);
        assert!(std::ptr::eq(one.as_slice(), other.as_slice()));
        assert_eq!(Groups::from(Vec::new()), Groups::default());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Groups>(&text).unwrap(), one);
    }
}
