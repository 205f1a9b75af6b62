//! Finds the directory of a JVM's attach socket, attach file and hsperfdata. It is /tmp, whatever java.io.tmpdir says.
//! From JDK 28 on `-XX:AltTempDir` can name another one (JDK-8384557; `os_linux.cpp`, `os::get_temp_directory`).

use std::io;

use super::command_line::CommandLine;
use super::maps::Mapped;
use super::target::Target;
use crate::base::identity::Identity;

/// The default directory.
pub const TMP: &str = "/tmp";

/// The name of the option. The library of a JVM that knows an option contains its name (JDK: `jvmFlag.cpp`).
const OPTION: &[u8] = b"AltTempDir";

/// Most bytes of the library that are searched. 30 MB were seen; a library with debug symbols may be ten times as long.
const LIBRARY_MAX: u64 = 512 << 20;

/// The visible facts of a process's start.
pub struct Start<'a> {
    target: &'a Target,
    identity: Identity,
    pub line: CommandLine,
}

impl<'a> Start<'a> {
    pub fn of(target: &'a Target, identity: Identity) -> Self {
        let read = |name: &str| target.read(name).or_else(|_| identity.io(|| target.read(name))).unwrap_or_default();
        let environ = read("environ");
        let variable = |name: &str| {
            let value = |entry: &[u8]| Some(as_text(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?));
            environ.split(|byte| *byte == 0).find_map(value)
        };
        let file = |name: &str| {
            let read = || target.read_named_inside(name);
            Some(as_text(&read().or_else(|_| identity.io(read)).ok()?))
        };
        let line = CommandLine::of(&read("cmdline"), &variable, &file);
        Self { target, identity, line }
    }

    /// Returns the directory. The mapped hsperfdata is the best proof of it.
    pub fn temp_dir(&self, mapped: &Mapped) -> String {
        let kept_in = mapped.hsperfdata.as_deref().and_then(dir_of).map(str::to_owned);
        let told = || self.line.alt_temp_dir().filter(|_| self.knows_the_option(mapped)).map(str::to_owned);
        // The kernel may report a path that the process does not know, for example under another root.
        kept_in.filter(|dir| self.has(dir)).or_else(told).unwrap_or_else(|| TMP.to_owned())
    }

    fn has(&self, dir: &str) -> bool {
        let open = || self.target.open_dir(dir);
        let opened = self.identity.io(open).or_else(|_| open());
        opened.is_ok_and(|_| true)
    }

    /// Returns whether the JVM knows the option. An older JVM may ignore it (IgnoreUnrecognizedVMOptions).
    fn knows_the_option(&self, mapped: &Mapped) -> bool {
        let Some(library) = &mapped.library else { return true };
        let look = || self.target.finds_inside(library, OPTION, LIBRARY_MAX);
        look().or_else(|_: io::Error| self.identity.io(look)).unwrap_or(true)
    }
}

fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns DIR of `DIR/hsperfdata_USER/PID`.
fn dir_of(hsperfdata: &str) -> Option<&str> {
    let (user_dir, _) = hsperfdata.rsplit_once('/')?;
    let (dir, _) = user_dir.rsplit_once('/')?;
    (!dir.is_empty()).then_some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_one_that_holds_hsperfdata() {
        assert_eq!(dir_of("/tmp/hsperfdata_u/12"), Some("/tmp"));
        assert_eq!(dir_of("/a/hsperfdata_x/hsperfdata_u/12"), Some("/a/hsperfdata_x"));
        assert_eq!(dir_of("/hsperfdata_u/12"), None);
        assert_eq!(dir_of("12"), None);
    }
}
