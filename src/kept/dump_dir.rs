//! A private directory of the JVM's user in the JVM's own file system. `Drop` removes it with all that is in it, unless
//! the dump in it is kept ([`State`]).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};

use rustix::fs::{AtFlags, Dir, Mode, StatVfs, fstat, fstatvfs, mkdirat, renameat, statat, symlinkat, unlinkat};

use rustix::io::Errno;

use crate::base::faults::door;
use crate::base::identity::Identity;
use crate::files::entry::HeldDir;
use crate::files::regular_file::{self, Access, Links, PRIVATE};
use crate::files::rename::rename_new;
use crate::guard::{self, Note, Undo};
use crate::jvm::mountinfo::Mount;
use crate::jvm::target::Target;
use crate::kept::names::{GONE, PRIVATE_DIR};
use crate::kept::states::State;
use crate::kept::sweep;

/// More names than a dump has: its parts, 256 at most, each with an empty file, the spool and journals.
const NAMES_MAX: usize = 1000;

/// The private directory of one run.
#[derive(Debug)]
pub struct DumpDir {
    pub(super) parent: OwnedFd,
    pub(super) dir: Arc<HeldDir>,
    pub(super) name: String,
    pub(super) identity: Identity,
    /// The path as the JVM sees it.
    pub inside: String,
    /// The path as this process sees it: for messages.
    pub here: String,
    /// On what it lies, as far as the JVM's mount table tells.
    pub mount: Option<Mount>,
    pub(super) state: Mutex<State>,
    /// In use: others leave it alone.
    pub(super) held: Option<File>,
}

impl DumpDir {
    /// Makes it below `candidate`, a directory as the JVM sees it.
    ///
    /// # Errors
    /// When the JVM's user cannot write there.
    pub fn create(target: &Target, identity: Identity, candidate: &str, run_id: &str) -> io::Result<Self> {
        let candidate = candidate.trim_end_matches('/');
        let parent = identity.io(|| target.open_dir(candidate))?;
        Self::create_in(parent, target, identity, candidate, run_id)
    }

    /// Makes the directory below one that is held. `candidate` is the path of that one as the JVM sees it.
    ///
    /// # Errors
    /// As [`DumpDir::create`].
    pub fn create_in(
        parent: OwnedFd,
        target: &Target,
        identity: Identity,
        candidate: &str,
        run_id: &str,
    ) -> io::Result<Self> {
        let name = format!("{PRIVATE_DIR}{run_id}");
        let (dir, note) = identity.io(|| make(&parent, &name, identity))?;
        let held = identity.io(|| Ok(sweep::hold(&dir))).ok().flatten();
        if let Err(error) = identity.io(|| sweep::sweep(&parent)) {
            log::debug!("{candidate} cannot be looked at for what others have left: {error}");
        }
        let inside = format!("{candidate}/{name}");
        let mountinfo = target.read("mountinfo").or_else(|_| identity.io(|| target.read("mountinfo")));
        let mount = mountinfo.ok().and_then(|text| Mount::of(&inside, &text));
        let here = target.seen_from_here(&inside);
        let (dir, state) = (HeldDir::adopt(dir, &here), Mutex::new(State::Unfinished(Some(note))));
        Ok(Self { parent, dir, name, identity, inside, here, mount, state, held })
    }

    /// One that another process made, and left.
    ///
    /// # Errors
    /// When it is not there.
    pub fn adopt(parent: OwnedFd, name: String, identity: Identity) -> io::Result<Self> {
        let open = |name: &str| regular_file::hold_dir_in(&parent, name, Links::Refuse);
        let dir = identity.io(|| open(&name).or_else(|_| open(&hidden(&name))))?;
        let (inside, here) = (String::new(), name.clone());
        let (dir, state) = (HeldDir::adopt(dir, &here), Mutex::new(State::Unfinished(None)));
        Ok(Self { parent, dir, name, identity, inside, here, mount: None, state, held: None })
    }

    /// A new file for us to write and read.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        let create = || regular_file::create_in(&self.dir, name, Access::ReadWrite, PRIVATE);
        self.identity.io(|| door("openat", create))
    }

    /// Creates a file that belongs to this process's user.
    ///
    /// # Errors
    /// When the file system refuses, or that user may not write there.
    pub fn create_own_file(&self, name: &str) -> io::Result<File> {
        door("openat", || regular_file::create_in(&self.dir, name, Access::Write, PRIVATE))
    }

    /// A file that the JVM made.
    ///
    /// # Errors
    /// When it is not there, or `NotRegular`.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        self.identity.io(|| door("openat", || regular_file::open_in(&self.dir, name, Access::Read)))
    }

    /// Opens a file that the JVM has just made, and takes its name away: with an empty file of the name
    /// `instead` where the JVM will look for it again. `NotFound` while the JVM has not made it.
    ///
    /// # Errors
    /// `NotRegular`, or when the file system refuses.
    pub fn take_over(&self, name: &str, instead: Option<&str>) -> io::Result<File> {
        self.identity.io(|| {
            let file = door("openat", || regular_file::open_in(&self.dir, name, Access::ReadWrite))?;
            match instead {
                None => door("unlinkat", || Ok(unlinkat(&self.dir, name, AtFlags::empty())?))?,
                Some(empty) => {
                    door("openat", || regular_file::open_or_create_in(&self.dir, empty, Access::Write))?;
                    door("renameat", || Ok(renameat(&self.dir, empty, &self.dir, name)?))?;
                }
            }
            Ok(file)
        })
    }

    /// A link by which the JVM writes elsewhere.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create_link(&self, name: &str, target: &str) -> io::Result<()> {
        self.identity.io(|| door("symlinkat", || Ok(symlinkat(target, &self.dir, name)?)))
    }

    /// The names of the files there that begin with `prefix`: at most so many, for anybody with the JVM's user may have
    /// made others.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.identity.io(|| {
            let mut names = Vec::new();
            self.each_name(|name| {
                let name = name.to_str().filter(|name| name.starts_with(prefix) && names.len() < NAMES_MAX);
                names.extend(name.map(str::to_owned));
                Ok(())
            })?;
            Ok(names)
        })
    }

    pub fn has(&self, name: &str) -> bool {
        self.stat_size(name).is_some()
    }

    /// Size of all files there whose names begin with `prefix`.
    pub fn size_of(&self, prefix: &str) -> u64 {
        let names = self.names(prefix).unwrap_or_default();
        names.iter().filter_map(|name| self.stat_size(name)).sum()
    }

    pub fn stat_size(&self, name: &str) -> Option<u64> {
        let stat =
            self.identity.io(|| door("statat", || Ok(statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?))).ok()?;
        u64::try_from(stat.st_size).ok()
    }

    /// # Errors
    /// When the file system does not tell.
    pub fn free_space(&self) -> io::Result<StatVfs> {
        door("fstatvfs", || Ok(fstatvfs(&self.dir)?))
    }

    /// # Errors
    /// When it cannot be removed.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        self.identity.io(|| door("unlinkat", || Ok(unlinkat(&self.dir, name, AtFlags::empty())?)))
    }

    /// # Errors
    /// When the file system refuses, or the new name is taken.
    pub fn rename_file(&self, from: &str, to: &str) -> io::Result<()> {
        self.identity.io(|| door("renameat", || rename_new(&self.dir, from, to)))
    }

    /// Returns whether the files here belong to another user.
    pub fn is_of_another(&self) -> bool {
        self.identity.uid != Identity::current().uid
    }

    pub(super) fn each_name(&self, mut each: impl FnMut(&OsStr) -> io::Result<()>) -> io::Result<()> {
        let dir = regular_file::open_dir_in(&self.dir, ".", Links::Refuse)?;
        for entry in Dir::read_from(&dir)?.filter_map(Result::ok) {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                each(name)?;
            }
        }
        Ok(())
    }

    /// Removes all files there.
    ///
    /// # Errors
    /// When one of them stays.
    pub fn clear(&self) -> io::Result<()> {
        self.identity.io(|| self.each_name(|name| self.unlink(name)))
    }

    /// Also an empty directory, which a JVM has no reason to make.
    pub(super) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Ok(unlinkat(&self.dir, name, AtFlags::REMOVEDIR)?),
            other => Ok(other?),
        }
    }
}

/// The name of a private directory that is being removed.
pub(super) fn hidden(name: &str) -> String {
    format!("{name}{GONE}")
}

impl AsFd for DumpDir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

fn make(parent: &OwnedFd, name: &str, identity: Identity) -> io::Result<(OwnedFd, Note)> {
    let note = guard::note(Undo::DumpDir { name: name.to_owned(), identity }, &[parent.as_fd()]);
    door("mkdirat", || Ok(mkdirat(parent, name, Mode::RWXU)?))?;
    let opened = door("openat", || regular_file::hold_dir_in(parent, name, Links::Refuse));
    let made = opened.and_then(|dir| {
        // The JVM must own it; a file system that maps users may disagree.
        if fstat(&dir)?.st_uid == identity.uid {
            Ok(dir)
        } else {
            Err(io::Error::other("it gives files another owner"))
        }
    });
    match made {
        Ok(dir) => Ok((dir, note)),
        Err(error) => {
            unlinkat(parent, name, AtFlags::REMOVEDIR)?;
            Err(error)
        }
    }
}

/// Whether the JVM is in the same namespace of this kind (namespaces(7)); `None` where the kernel does not tell.
pub(crate) fn shares_namespace(target: &Target, identity: Identity, kind: &str) -> Option<bool> {
    let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    let name = format!("ns/{kind}");
    let theirs = target.link(&name).or_else(|_| identity.io(|| target.link(&name))).ok()?;
    Some(ours == theirs)
}
