//! `--redact`: what is to stay readable is found out, by the dump itself where it can be read more than once, else by
//! what the JVM says of its threads.

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

/// What the user wants to be taken out, and what not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    pub what: Redact,
    /// Patterns of class names as Java writes them, and primitive arrays such as `int[]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_classes: Vec<String>,
}

impl Redaction {
    /// Whether what stays can only be told by a dump that is there as a whole.
    pub fn needs_whole_dump(&self) -> bool {
        self.patterns().next().is_some()
    }

    /// Those that are no primitive arrays: their instances are found in the dump.
    fn patterns(&self) -> impl Iterator<Item = &str> {
        self.keep_classes.iter().map(String::as_str).filter(|name| element_of(name).is_none())
    }

    fn keep(&self) -> Keep {
        let array_types = self.keep_classes.iter().filter_map(|name| element_of(name)).collect();
        Keep { array_types, ..Keep::default() }
    }

    /// Whether a dump that is written in parts has to have its names and classes read before all objects.
    pub fn needs_head_first(&self) -> bool {
        self.what == Redact::All
    }

    /// For a dump that passes by once. The names of threads are in the JVM's own `threads`.
    pub fn in_passing(&self, threads: &str) -> Redactor {
        let mut keep = self.keep();
        threads.lines().filter_map(thread_name).for_each(|name| keep.text(name));
        Redactor::new(self.what, keep)
    }

    /// For a dump that can be read as often as it is opened. What it does not tell does not stay. The names of threads
    /// are looked up in `file`, if that is the dump.
    ///
    /// # Errors
    /// When it cannot be read, or the run is stopped.
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

    /// What a receipt says.
    pub fn word(&self) -> &'static str {
        match self.what {
            Redact::Strings => "strings",
            Redact::All => "all",
        }
    }
}

/// Objects refer to what comes before them, too.
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

/// A dump that is damaged is judged later; here it tells what it tells, as far as it is to go on.
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

/// `"main" #1 prio=5 …` in a thread dump (JDK: `thread.cpp`, `JavaThread::print_on`). A name may hold quotes.
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
    fn what_needs_the_whole_dump_is_known() {
        let redaction =
            |what, keep: &[&str]| Redaction { what, keep_classes: keep.iter().map(|k| (*k).into()).collect() };
        assert!(!redaction(Redact::All, &[]).needs_whole_dump() && redaction(Redact::All, &[]).needs_head_first());
        let kept = redaction(Redact::Strings, &["a.*"]);
        assert!(kept.needs_whole_dump() && !kept.needs_head_first());
        let arrays = redaction(Redact::Strings, &["int[]"]);
        assert!(!arrays.needs_whole_dump() && arrays.keep().array_types == [10]);
    }
}
