//! Obstacles that a person has to remove: files that cannot be read, and special files where a dump is expected.

use std::path::Path;

use crate::base::printable::printable;
use crate::files::regular_file::NotRegular;

/// As many as anybody reads. Whoever fills a directory does not fill the memory of this process.
const TOLD: usize = 100;

/// A bounded list of obstacles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    told: Vec<String>,
}

impl Obstacles {
    /// Adds one, while there are few.
    pub fn add(&mut self, obstacle: String) {
        if self.told.len() < TOLD {
            self.told.push(obstacle);
        }
    }

    /// Adds those of another place.
    pub fn extend(&mut self, others: impl IntoIterator<Item = String>) {
        others.into_iter().for_each(|obstacle| self.add(obstacle));
    }

    pub fn as_slice(&self) -> &[String] {
        &self.told
    }

    pub fn into_vec(self) -> Vec<String> {
        self.told
    }
}

impl From<String> for Obstacles {
    fn from(only: String) -> Self {
        Self { told: vec![only] }
    }
}

/// The words for what stands where a file is expected.
pub fn in_the_way(path: &Path, what: NotRegular) -> String {
    format!("{} is left alone: {what}; remove it", printable(&path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_beyond_a_hundred_are_not_kept() {
        let mut obstacles = Obstacles::default();
        obstacles.extend((0..1_000_000).map(|number| number.to_string()));
        assert_eq!(obstacles.as_slice().len(), TOLD);
    }
}
