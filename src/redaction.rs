//! `--redact`: what is to stay readable is found out, by the dump itself where it can be read more than once, else by
//! what the JVM says of its threads.

use std::collections::HashSet;
use std::io::{self, Read};

use glob::Pattern;
use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::heap_dump::Layout;
use crate::hprof::{Goals, Keep, Lookout, Redact, Redactor, STRING, THREAD, THREAD_NAME, Walker, java_name, names};
use crate::pages::PAGE;

/// What the user wants to be taken out, and what not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    pub what: Redact,
    /// Patterns of class names as Java writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_classes: Vec<String>,
}

impl Redaction {
    /// Whether what stays, or what goes, can only be told by a dump that is there as a whole: one that is written in
    /// parts may have instances before their classes.
    pub fn needs_whole_dump(&self, layout: Layout) -> bool {
        !self.keep_classes.is_empty() || (self.what == Redact::All && layout == Layout::Parts)
    }

    /// For a dump that passes by once. The names of threads are in the JVM's own `threads`.
    pub fn in_passing(&self, threads: &str) -> Redactor {
        let mut keep = Keep::default();
        threads.lines().filter_map(thread_name).for_each(|name| keep.text(name));
        Redactor::new(self.what, keep)
    }

    /// For a dump that can be read as often as it is opened. What it does not tell does not stay.
    ///
    /// # Errors
    /// When it cannot be read, or the run is stopped.
    pub fn of_file<R: Read>(&self, open: impl Fn() -> io::Result<R>, deadline: &Deadline) -> io::Result<Redactor> {
        let patterns: Vec<Pattern> = self.keep_classes.iter().filter_map(|text| Pattern::new(text).ok()).collect();
        let is_kept = |symbol: &str| patterns.iter().any(|pattern| pattern.matches(&java_name(symbol)));
        let is_wanted = |symbol: &str| [THREAD, THREAD_NAME, STRING].contains(&symbol) || is_kept(symbol);
        let symbols = names::which(open()?, is_wanted)?;
        let mut lookout = Lookout::new(Goals::of(&symbols, is_kept));
        look(open()?, &mut lookout, deadline)?;
        if lookout.has_found() {
            lookout = lookout.again();
            look(open()?, &mut lookout, deadline)?;
        }
        if lookout.too_many {
            log::warn!("the classes that are to be kept have too many instances: some of them are redacted");
        }
        let (arrays, classes) = lookout.finish();
        Ok(Redactor::new(self.what, Keep { arrays, classes, texts: HashSet::new() }))
    }

    /// What a receipt says.
    pub fn word(&self) -> &'static str {
        match self.what {
            Redact::Strings => "strings",
            Redact::All => "all",
        }
    }
}

/// A dump that is damaged is judged later; here it tells what it tells.
fn look(mut raw: impl Read, lookout: &mut Lookout, deadline: &Deadline) -> io::Result<()> {
    let (mut walker, mut page) = (Walker::new(), Vec::with_capacity(PAGE));
    loop {
        deadline.check("looking for what is to stay readable").map_err(io::Error::other)?;
        page.clear();
        match raw.by_ref().take(PAGE as u64).read_to_end(&mut page) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        if walker.push_to(&page, lookout).is_err() {
            return Ok(());
        }
        lookout.absorb(&page);
    }
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
        assert!(!redaction(Redact::Strings, &[]).needs_whole_dump(Layout::Parts));
        assert!(redaction(Redact::All, &[]).needs_whole_dump(Layout::Parts));
        assert!(!redaction(Redact::All, &[]).needs_whole_dump(Layout::Sequential));
        assert!(redaction(Redact::Strings, &["a.*"]).needs_whole_dump(Layout::Sequential));
    }
}
