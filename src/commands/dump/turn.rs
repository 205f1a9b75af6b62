//! One run per JVM: a second run waits until the first one is over.
//!
//! The lock is the name of an abstract socket, which is made from the JVM. The socket needs no file, and vanishes with
//! its process. The containers of a pod share it, because they share the network. Any user of the network namespace can
//! connect to it, so a run neither writes nor reads there. A run that waited looks into its own store for the dump of
//! the other run.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::base::deadline::{Deadline, Stopped};
use crate::base::sys::{Peer, peer_of};
use crate::base::waiting::{joined_within, pause};
use crate::jvm::Jvm;

/// Time between two tries of a run that waits for the turn.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Time between two messages of a run that waits.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Time after which a process that cannot be connected to is no run. A run listens, and takes connections off its queue
/// at once.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// Time for which a connection waits for room in the other process's queue.
const CONNECTS_WITHIN: Duration = Duration::from_secs(1);

/// The turn of this run on a JVM. It ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    /// Time when this run began to wait for another one, if it did.
    pub waited_since: Option<SystemTime>,
    /// `None` without the lock.
    _door: Option<Door>,
}

/// The process that listens on the lock's name.
enum Holder {
    Process(Peer),
    /// The queue of connections is full.
    Busy,
    /// Nobody listens.
    None,
}

impl Turn {
    /// Takes the turn, or waits until the run that has it is over. The run does not wait for a stranger: any user of
    /// the network namespace could hold the lock.
    ///
    /// # Errors
    /// When this run is stopped while it waits.
    pub fn take(jvm: &Jvm, deadline: &Deadline) -> Result<Self, Stopped> {
        let name = name_of(jvm);
        let Ok(address) = SocketAddr::from_abstract_name(&name) else { return Ok(Self::without_lock()) };
        let mut wait: Option<Wait> = None;
        loop {
            match UnixListener::bind_addr(&address).and_then(Door::open) {
                Ok(door) => return Ok(Self { _door: Some(door), waited_since: wait.map(|wait| wait.since) }),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    log::debug!("cannot make sure that this is the only run: {error}");
                    return Ok(Self::without_lock());
                }
                Err(_) => {}
            }
            let wait = wait.get_or_insert_with(Wait::begin);
            if let Err(stranger) = wait.look_at(holder(&name), jvm) {
                log::warn!("{stranger} holds the lock of the run on pid {}; going on without it", jvm.pid());
                return Ok(Self::without_lock());
            }
            deadline.sleep(TRY_EVERY, &format!("waiting for the other run on pid {}", jvm.pid()))?;
        }
    }

    /// Returns whether another run, or somebody else, holds the lock.
    pub fn is_taken(jvm: &Jvm) -> bool {
        !matches!(holder(&name_of(jvm)), Holder::None)
    }

    fn without_lock() -> Self {
        Self { waited_since: None, _door: None }
    }
}

/// The thread that takes connections off the queue of the lock.
#[derive(Debug)]
struct Door {
    thread: Option<JoinHandle<()>>,
    /// Ends the thread.
    over: Arc<OwnedFd>,
}

impl Door {
    fn open(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let over = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let theirs = Arc::clone(&over);
        let thread = std::thread::Builder::new().spawn(move || keep_door(&listener, &theirs))?;
        Ok(Self { thread: Some(thread), over })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.over, &1u64.to_ne_bytes());
        // The thread waits for nothing but this.
        let _ = self.thread.take().map(|thread| joined_within(thread, Duration::from_secs(2)));
    }
}

/// A wait for another run.
struct Wait {
    since: SystemTime,
    said: Option<Instant>,
    /// Time since which the other process cannot be connected to.
    silent_since: Option<Instant>,
}

impl Wait {
    fn begin() -> Self {
        Self { since: SystemTime::now(), said: None, silent_since: None }
    }

    /// Reports which run this one waits for. Fails with the name of a stranger.
    fn look_at(&mut self, holder: Holder, jvm: &Jvm) -> Result<(), String> {
        match holder {
            Holder::Process(peer) if !is_trusted(peer, jvm) => Err(format!("another user (uid {})", peer.uid)),
            Holder::Process(peer) => {
                self.silent_since = None;
                self.say(peer, jvm.pid());
                Ok(())
            }
            // A run that has just ended, or that has the name and listens in a moment, is no stranger.
            Holder::Busy | Holder::None => {
                let is_silent = self.silent_since.get_or_insert_with(Instant::now).elapsed() > SILENT_FOR;
                if is_silent { Err("a process that cannot be connected to".into()) } else { Ok(()) }
            }
        }
    }

    fn say(&mut self, peer: Peer, pid: i32) {
        let who = peer.pid.map_or_else(String::new, |pid| format!("process {pid}, "));
        match self.said {
            None => log::warn!("another run is dumping pid {pid} ({who}uid {}); waiting until it is over", peer.uid),
            Some(said) if said.elapsed() < SAY_EVERY => return,
            Some(_) => log::info!("waiting for the other run on pid {pid} ({who}uid {})", peer.uid),
        }
        self.said = Some(Instant::now());
    }
}

/// Returns whether the process counts as a run. The JVM's own user counts: that user can hinder a dump in any case, for
/// example by a stopped JVM.
fn is_trusted(peer: Peer, jvm: &Jvm) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    [ours, 0, jvm.identity.uid].contains(&peer.uid)
}

/// Returns a name of the JVM from its pid namespace, pid and start. All processes that see the JVM make the same name.
pub fn name_of(jvm: &Jvm) -> String {
    // Root without SYS_PTRACE can read the link only as the JVM's user.
    let link = || jvm.target.link("ns/pid");
    // If nobody can read the link, the JVM is in this process's namespace if it has the same pid there as here.
    let pid_ns = link().or_else(|_| jvm.identity.io(link)).or_else(|error| match jvm.ns_pid == jvm.pid() {
        true => std::fs::read_link("/proc/self/ns/pid"),
        false => Err(error),
    });
    let pid_ns = pid_ns.map(|link| link.display().to_string()).unwrap_or_default();
    format!("jmap-dump-tool/{pid_ns}/{}/{}", jvm.ns_pid, jvm.target.start_ticks().unwrap_or_default())
}

/// Finds the process that holds the lock. A connection to a full queue waits in a line of its own (Linux:
/// `net/unix/af_unix.c`, `unix_wait_for_peer`). So processes that fill the queue do not keep this one out.
fn holder(name: &str) -> Holder {
    let connected = || {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(CONNECTS_WITHIN))?;
        connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        peer_of(&socket)
    };
    match connected() {
        Ok(peer) => Holder::Process(peer),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Holder::Busy,
        Err(_) => Holder::None,
    }
}

/// Takes connections until the run is over. A process that connects learns whose socket it is (SO_PEERCRED), and
/// nothing else. One descriptor is open at a time, so that connections exhaust neither the descriptors of this process
/// nor the queue.
fn keep_door(listener: &UnixListener, over: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(over, PollFlags::IN)];
        if poll(&mut fds, None).is_err_and(|errno| errno != rustix::io::Errno::INTR) || !fds[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok(connection) => drop(connection),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // No descriptor is free, so the connection stays in the queue.
            Err(_) => pause(TRY_EVERY),
        }
    }
}
