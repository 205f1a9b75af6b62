//! From a process to its attach listener: the socket if there is one, else the attach file and SIGQUIT
//! (JDK: `attachListener_posix.cpp`, `VirtualMachineImpl.java`; the checks before the signal are
//! `checkCatchesAndSendQuitTo`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with};

use super::{AttachError, Identity, VirtualMachine};
use crate::deadline::Deadline;
use crate::discovery::Jvm;
use crate::discovery::hsperfdata::PerfData;
use crate::discovery::maps::Vm;
use crate::discovery::proc_status::SIGQUIT;

/// The JVM's directory for its socket, whatever java.io.tmpdir says (JDK: `os::get_temp_directory` on Linux).
const TMP: &str = "/tmp";

/// How often we look for the socket: a JVM at rest opens it within 10 to 22 ms of the signal.
const LOOK: Duration = Duration::from_millis(10);

/// How often a JVM that is not up yet is looked at.
const STARTING: Duration = Duration::from_millis(20);

pub(super) fn attach<'a>(
    jvm: &'a Jvm,
    timeout: Duration,
    deadline: &Deadline,
) -> Result<VirtualMachine<'a>, AttachError> {
    let stage = deadline.at_most(timeout);
    if jvm.vm == Vm::OpenJ9 {
        return Err(AttachError::OpenJ9 { pid: jvm.pid() });
    }
    let identity = identity_for(jvm)?;
    let tmp = open_tmp(jvm, identity)?;
    if !listener_answers(jvm, &tmp, identity, &stage)? {
        let outcome = start_listener(jvm, &tmp, identity, timeout, &stage);
        // The stage's time is the attach time-out, which has an answer of its own.
        outcome.map_err(|error| match error {
            AttachError::Stopped(_) if deadline.check("").is_ok() => no_answer(jvm, timeout),
            other => other,
        })?;
    }
    Ok(VirtualMachine { jvm, tmp, identity })
}

/// The identity that this JVM accepts; refused before anything is sent when we cannot have it.
fn identity_for(jvm: &Jvm) -> Result<Identity, AttachError> {
    let (ours, theirs) = (Identity::current(), jvm.identity);
    let other = |source| AttachError::OtherIdentity { pid: jvm.pid(), theirs, ours, source };
    if ours != theirs && ours.uid != 0 {
        return Err(other(None));
    }
    match theirs.run_as(|| ()) {
        Ok(()) => Ok(theirs),
        Err(source) => Err(other(Some(source))),
    }
}

fn open_tmp(jvm: &Jvm, identity: Identity) -> Result<OwnedFd, AttachError> {
    let opened = as_identity(identity, || jvm.target.open_dir(TMP));
    let opened = match opened {
        // /proc/PID/root is closed, but the JVM shares our file system when its number is the same inside.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && jvm.ns_pid == jvm.pid() => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(TMP, flags, Mode::empty()).map_err(io::Error::from)
        }
        other => other,
    };
    opened.map_err(|source| AttachError::NoTmp { pid: jvm.pid(), path: jvm.target.seen_from_here(TMP), source })
}

fn as_identity<T: Send>(identity: Identity, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    identity.run_as(f).map_err(io::Error::other)?
}

fn socket_name(jvm: &Jvm) -> String {
    format!(".java_pid{}", jvm.ns_pid)
}

fn socket_path(jvm: &Jvm) -> String {
    jvm.target.seen_from_here(&format!("{TMP}/{}", socket_name(jvm)))
}

fn no_answer(jvm: &Jvm, timeout: Duration) -> AttachError {
    AttachError::NoAnswer { pid: jvm.pid(), path: socket_path(jvm), seconds: timeout.as_secs() }
}

/// Whether the socket is there and alive. What a dead JVM of the same number left behind is removed.
fn listener_answers(jvm: &Jvm, tmp: &OwnedFd, identity: Identity, stage: &Deadline) -> Result<bool, AttachError> {
    if !socket_is_there(jvm, tmp)? {
        return Ok(false);
    }
    match connect(jvm, tmp, identity, stage) {
        Ok(_) => Ok(true),
        Err(AttachError::Connect { source, .. }) if source.kind() == io::ErrorKind::ConnectionRefused => {
            remove_stale_socket(jvm, tmp, identity)?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn socket_is_there(jvm: &Jvm, tmp: &OwnedFd) -> Result<bool, AttachError> {
    let in_the_way = |what: String| AttachError::InTheWay { pid: jvm.pid(), path: socket_path(jvm), what };
    match statat(tmp, socket_name(jvm), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(in_the_way(errno.to_string())),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
            Err(in_the_way("it is not a socket".into()))
        }
        Ok(stat) if stat.st_uid != jvm.identity.uid && stat.st_uid != 0 => {
            Err(in_the_way(format!("it belongs to uid {}, the JVM is uid {}", stat.st_uid, jvm.identity.uid)))
        }
        Ok(_) => Ok(true),
    }
}

fn remove_stale_socket(jvm: &Jvm, tmp: &OwnedFd, identity: Identity) -> Result<(), AttachError> {
    log::info!("pid {}: removing the stale attach socket {}", jvm.pid(), socket_path(jvm));
    as_identity(identity, || Ok(unlinkat(tmp, socket_name(jvm), AtFlags::empty())?)).map_err(|error| {
        AttachError::InTheWay {
            pid: jvm.pid(),
            path: socket_path(jvm),
            what: format!("stale, and not removable: {error}"),
        }
    })
}

/// One connection: the JVM takes one operation on each. Made with the identity that the JVM accepts.
pub(super) fn connect(
    jvm: &Jvm,
    tmp: &OwnedFd,
    identity: Identity,
    deadline: &Deadline,
) -> Result<UnixStream, AttachError> {
    // Through the held directory: a path through /proc/PID/root could name another process by now.
    let path = format!("/proc/self/fd/{}/{}", tmp.as_raw_fd(), socket_name(jvm));
    let error = |source| AttachError::Connect { pid: jvm.pid(), path: socket_path(jvm), source };
    let begun = Instant::now();
    loop {
        match as_identity(identity, || connect_nonblocking(&path)) {
            // The listener's queue is full: others wait before us.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let what = format!("waiting behind others for the attach listener of pid {}", jvm.pid());
                deadline.sleep(LOOK, &what)?;
                log_patience(begun, &what);
            }
            Err(source) => return Err(error(source)),
            Ok(stream) => {
                stream.set_nonblocking(false).map_err(error)?;
                return Ok(stream);
            }
        }
    }
}

fn connect_nonblocking(path: &str) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect_to(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Says every five seconds for what we wait.
fn log_patience(begun: Instant, what: &str) {
    let passed = begun.elapsed();
    if passed.as_millis() % 5000 < LOOK.as_millis() {
        log::info!("{what} ({} s)", passed.as_secs());
    }
}

fn start_listener(
    jvm: &Jvm,
    tmp: &OwnedFd,
    identity: Identity,
    timeout: Duration,
    stage: &Deadline,
) -> Result<(), AttachError> {
    if wait_until_signal_is_safe(jvm, tmp, stage)? {
        return Ok(());
    }
    let attach_file = AttachFile::create(jvm, identity)?;
    log::debug!("pid {}: attach file {}", jvm.pid(), attach_file.path);
    send_quit(jvm)?;
    let begun = Instant::now();
    let mut repeated = false;
    while !socket_is_there(jvm, tmp)? {
        let what = format!("waiting for the attach listener of pid {}", jvm.pid());
        stage.sleep(LOOK, &what)?;
        log_patience(begun, &what);
        if !jvm.target.is_alive() {
            return Err(AttachError::Gone { pid: jvm.pid() });
        }
        // A signal that came before the JVM was ready is lost.
        if !repeated && begun.elapsed() > timeout / 2 {
            repeated = true;
            send_quit(jvm)?;
        }
    }
    Ok(())
}

/// The last look before the signal, and the signal.
fn send_quit(jvm: &Jvm) -> Result<(), AttachError> {
    if signal_is_safe(jvm)? == Some(false) {
        return Err(AttachError::WouldKill { pid: jvm.pid() });
    }
    jvm.target.send_quit().map_err(|source| AttachError::Signal { pid: jvm.pid(), source })
}

/// Waits for a JVM that is still starting. True when its socket appeared meanwhile, so that no signal is needed.
fn wait_until_signal_is_safe(jvm: &Jvm, tmp: &OwnedFd, stage: &Deadline) -> Result<bool, AttachError> {
    if jvm.perf_data.as_ref().and_then(PerfData::is_attachable) == Some(false) {
        return Err(AttachError::Disabled { pid: jvm.pid() });
    }
    // A JVM of any version catches the signal within this time of its start, or never (-Xrs).
    let limit = Instant::now() + Duration::from_secs(3);
    loop {
        match signal_is_safe(jvm)? {
            Some(true) => return Ok(false),
            None if is_up(jvm) => return Ok(false),
            _ if Instant::now() > limit => return Err(AttachError::WouldKill { pid: jvm.pid() }),
            _ => {}
        }
        stage.sleep(STARTING, &format!("waiting for pid {} to start", jvm.pid()))?;
        if socket_is_there(jvm, tmp)? {
            return Ok(true);
        }
    }
}

/// Where the kernel does not show the caught signals, the JVM's own mark must do.
fn is_up(jvm: &Jvm) -> bool {
    jvm.perf_data.as_ref().is_some_and(|data| data.accessible && data.is_attachable() == Some(true))
}

/// Whether SIGQUIT is caught: its default action ends the process. A process of one thread is a child that was
/// just forked, whose handlers are about to vanish. `None` where the kernel does not say.
fn signal_is_safe(jvm: &Jvm) -> Result<Option<bool>, AttachError> {
    let status = jvm.target.status().map_err(|_| AttachError::Gone { pid: jvm.pid() })?;
    if status.is_zombie() {
        return Err(AttachError::Gone { pid: jvm.pid() });
    }
    if status.threads == Some(1) {
        return Ok(Some(false));
    }
    Ok(status.catches(SIGQUIT))
}

/// The file that tells the JVM that SIGQUIT means attach; removed in `Drop`.
struct AttachFile {
    dir: OwnedFd,
    name: String,
    path: String,
    identity: Identity,
}

impl AttachFile {
    /// The JVM looks into its current directory first, then into /tmp.
    fn create(jvm: &Jvm, identity: Identity) -> Result<Self, AttachError> {
        let name = format!(".attach_pid{}", jvm.ns_pid);
        let places: [(&str, &(dyn Fn() -> io::Result<OwnedFd> + Sync)); 2] =
            [("cwd", &|| jvm.target.open_cwd()), ("root/tmp", &|| jvm.target.open_dir(TMP))];
        let mut last = None;
        for (place, open) in places {
            let path = format!("/proc/{}/{place}/{name}", jvm.pid());
            match as_identity(identity, || create_in(&open()?, &name, identity)) {
                Ok(dir) => return Ok(Self { dir, name, path, identity }),
                Err(source) => last = Some(AttachError::AttachFile { pid: jvm.pid(), path, source }),
            }
        }
        // Two places were tried, so there is an error.
        Err(last.unwrap_or(AttachError::Gone { pid: jvm.pid() }))
    }
}

/// Creates the file with the JVM's own user as owner; a stale one of any owner is replaced if we may.
fn create_in(dir: &OwnedFd, name: &str, identity: Identity) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::WUSR;
    let fd = match openat(dir, name, flags, mode) {
        Err(Errno::EXIST) => {
            unlinkat(dir, name, AtFlags::empty())?;
            openat(dir, name, flags, mode)?
        }
        other => other?,
    };
    // NFS and user namespaces may give the file another owner, whom the JVM would not accept.
    if rustix::fs::fstat(&fd)?.st_uid != identity.uid {
        unlinkat(dir, name, AtFlags::empty())?;
        return Err(io::Error::other("the file system gives it another owner"));
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(dir, 0)?)
}

impl Drop for AttachFile {
    fn drop(&mut self) {
        let removed = as_identity(self.identity, || Ok(unlinkat(&self.dir, &self.name, AtFlags::empty())?));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("cannot remove the attach file {}: {error}", self.path);
        }
    }
}
