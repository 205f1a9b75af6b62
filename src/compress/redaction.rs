//! Finds the data that stays readable with `--redact`. If the dump can be read more than once, it shows that data
//! itself. Otherwise the JVM's list of its threads shows it.

mod thread_names;

use std::fs::File;
use std::io::{self, Read};

use glob::Pattern;
use serde::{Deserialize, Serialize};

use super::pages::PAGE;
use crate::base::deadline::Deadline;
use crate::hprof::{
    Goals, Keep, Lookout, Redact, Redactor, STRING, THREAD, THREAD_NAME, Walker, element_of, java_name, names,
};

/// The data that the user wants to be removed, and the data to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    pub what: Redact,
    /// Patterns of class names as Java writes them, and primitive arrays such as `int[]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_classes: Vec<String>,
}

impl Redaction {
    /// Returns whether the data that stays can be found only in a whole dump.
    pub fn needs_whole_dump(&self) -> bool {
        self.patterns().next().is_some()
    }

    /// Returns the patterns of classes, whose instances are found in the dump. Primitive arrays are not among them.
    fn patterns(&self) -> impl Iterator<Item = &str> {
        self.keep_classes.iter().map(String::as_str).filter(|name| element_of(name).is_none())
    }

    fn keep(&self) -> Keep {
        let array_types = self.keep_classes.iter().filter_map(|name| element_of(name)).collect();
        Keep { array_types, ..Keep::default() }
    }

    /// Returns whether a dump in parts must give its names and classes before all objects.
    pub fn needs_head_first(&self) -> bool {
        self.what == Redact::All
    }

    /// Creates a redactor for a dump that passes by once. `threads` is the JVM's thread dump, which has the names of
    /// threads.
    pub fn in_passing(&self, threads: &str) -> Redactor {
        let mut keep = self.keep();
        threads.lines().filter_map(thread_name).for_each(|name| keep.text(name));
        Redactor::new(self.what, keep)
    }

    /// Creates a redactor for a dump that can be opened again and again. Data stays only if the dump shows that it may.
    /// If `file` is the dump, the names of threads are looked up there.
    ///
    /// # Errors
    /// When the dump cannot be read, or the run is stopped.
    pub fn of_file<R: Read>(
        &self,
        open: impl Fn() -> io::Result<R>,
        file: Option<&File>,
        deadline: &Deadline,
    ) -> io::Result<Redactor> {
        let patterns: Vec<Pattern> = self.patterns().filter_map(|text| Pattern::new(text).ok()).collect();
        let is_kept = |symbol: &str| patterns.iter().any(|pattern| pattern.matches(&java_name(symbol)));
        let is_wanted = |symbol: &str| [THREAD, THREAD_NAME, STRING].contains(&symbol) || is_kept(symbol);
        let head = names::which(open()?, is_wanted)?;
        let goals = Goals::of(&head.symbols, is_kept);
        let looked_up = match file.filter(|_| !self.needs_whole_dump()) {
            Some(file) => thread_names::look_up(file, &head, goals.clone(), deadline)?,
            None => None,
        };
        let lookout = looked_up.map_or_else(|| read_twice(open, goals, deadline), Ok)?;
        if lookout.too_many {
            log::warn!("the classes that are to be kept have too many instances: some of them are redacted");
        }
        let (arrays, classes) = lookout.finish();
        Ok(Redactor::new(self.what, Keep { arrays, classes, ..self.keep() }))
    }

    /// Returns the word for a receipt.
    pub fn word(&self) -> &'static str {
        match self.what {
            Redact::Strings => "strings",
            Redact::All => "all",
        }
    }
}

/// Reads the dump twice, because objects also refer to objects that come before them.
fn read_twice<R: Read>(open: impl Fn() -> io::Result<R>, goals: Goals, deadline: &Deadline) -> io::Result<Lookout> {
    log::debug!("the dump is read from front to end for what is to stay readable");
    let mut lookout = Lookout::new(goals);
    look(open()?, Walker::new(), &mut lookout, |_| true, deadline)?;
    if lookout.has_found() {
        lookout = lookout.again();
        look(open()?, Walker::new(), &mut lookout, |_| true, deadline)?;
    }
    Ok(lookout)
}

/// Passes the dump to `lookout`, while `go_on` returns true. Damage ends the reading without an error, because the dump
/// is judged later.
fn look(
    mut raw: impl Read,
    mut walker: Walker,
    lookout: &mut Lookout,
    go_on: impl Fn(&Walker) -> bool,
    deadline: &Deadline,
) -> io::Result<()> {
    let mut page = Vec::with_capacity(PAGE);
    lookout.leap();
    while go_on(&walker) {
        check(deadline)?;
        page.clear();
        match raw.by_ref().take(PAGE as u64).read_to_end(&mut page) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other?,
        };
        if walker.push_to(&page, lookout).is_err() {
            break;
        }
        lookout.absorb(&page);
    }
    Ok(())
}

fn check(deadline: &Deadline) -> io::Result<()> {
    deadline.check("looking for what is to stay readable").map_err(io::Error::other)
}

/// Returns the name in a line of a thread dump such as `"main" #1 prio=5 …` (JDK: `thread.cpp`,
/// `JavaThread::print_on`). A name may hold quotes.
fn thread_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('"')?;
    let end = rest.rfind("\" #").or_else(|| rest.rfind('"'))?;
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_threads_are_read_from_a_thread_dump() {
        let dump = "Full thread dump\n\n\"main\" #1 prio=5 os_prio=0 tid=0x1 nid=1 runnable\n\tat A.b(A.java:1)\n\
                    \"a \"quoted\" one\" #12 daemon prio=5\n\"VM Thread\" os_prio=0 tid=0x2\n\"\" #3\n";
        let names: Vec<_> = dump.lines().filter_map(thread_name).collect();
        assert_eq!(names, ["main", "a \"quoted\" one", "VM Thread"]);
    }

    #[test]
    fn only_class_patterns_need_the_whole_dump() {
        let redaction =
            |what, keep: &[&str]| Redaction { what, keep_classes: keep.iter().map(|k| (*k).into()).collect() };
        assert!(!redaction(Redact::All, &[]).needs_whole_dump() && redaction(Redact::All, &[]).needs_head_first());
        let kept = redaction(Redact::Strings, &["a.*"]);
        assert!(kept.needs_whole_dump() && !kept.needs_head_first());
        let arrays = redaction(Redact::Strings, &["int[]"]);
        assert!(!arrays.needs_whole_dump() && arrays.keep().array_types == [10]);
    }
}
