//! One run per JVM: a second run waits until the first one is over.
//!
//! The lock is the name of an abstract socket, made of the JVM. It needs no file, and it vanishes with the process that
//! holds it. The containers of a pod share it, as they share the network. Any user of the network namespace can connect
//! to it, so the holder says nothing there and reads nothing. A run that waited looks into its own store for what
//! the other run has stored.

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

/// How often a run that waits tries to take the place.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// How often it says that it waits.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// A run listens, and takes connections off its queue at once. A holder that cannot be connected to for so long is no
/// run.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// How long a connection waits for room in the holder's queue.
const CONNECTS_WITHIN: Duration = Duration::from_secs(1);

/// Our place as the only run on a JVM.
#[derive(Debug, Default)]
pub struct SingleRun {
    /// Takes connections off the queue, until its descriptor says that the run is over. None without a place.
    door: Option<(JoinHandle<()>, Arc<OwnedFd>)>,
}

/// The place, and since when another run was waited for, if one was.
#[derive(Debug)]
pub struct Turn {
    pub place: SingleRun,
    pub waited_since: Option<SystemTime>,
}

/// Who listens on the place's name.
enum Holder {
    Process(Peer),
    /// The queue of connections is full.
    Busy,
    /// Nobody.
    None,
}

impl SingleRun {
    /// Takes the place, or waits until the run that has it is over. The place of a stranger is not waited for: any user
    /// of the network namespace could hold it.
    ///
    /// # Errors
    /// When this run is stopped while it waits.
    pub fn take(jvm: &Jvm, deadline: &Deadline) -> Result<Turn, Stopped> {
        let name = name_of(jvm);
        let Ok(address) = SocketAddr::from_abstract_name(&name) else { return Ok(Turn::without_place()) };
        let mut wait: Option<Wait> = None;
        loop {
            match UnixListener::bind_addr(&address).and_then(Self::hold) {
                Ok(place) => return Ok(Turn { place, waited_since: wait.map(|wait| wait.since) }),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    log::debug!("cannot make sure that this is the only run: {error}");
                    return Ok(Turn::without_place());
                }
                Err(_) => {}
            }
            let wait = wait.get_or_insert_with(Wait::begin);
            if let Err(stranger) = wait.look_at(holder(&name), jvm) {
                log::warn!("{stranger} holds the place of the run on pid {}; going on without it", jvm.pid());
                return Ok(Turn::without_place());
            }
            deadline.sleep(TRY_EVERY, &format!("waiting for the other run on pid {}", jvm.pid()))?;
        }
    }

    /// Whether another run has the place, or somebody else.
    pub fn is_taken(jvm: &Jvm) -> bool {
        !matches!(holder(&name_of(jvm)), Holder::None)
    }

    fn hold(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let over = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let theirs = Arc::clone(&over);
        let door = std::thread::Builder::new().spawn(move || keep_door(&listener, &theirs))?;
        Ok(Self { door: Some((door, over)) })
    }
}

impl Drop for SingleRun {
    fn drop(&mut self) {
        if let Some((door, over)) = self.door.take() {
            let _ = rustix::io::write(&*over, &1u64.to_ne_bytes());
            // It never waits for anything but this.
            let _ = joined_within(door, Duration::from_secs(2));
        }
    }
}

impl Turn {
    fn without_place() -> Self {
        Self { place: SingleRun::default(), waited_since: None }
    }
}

/// A wait for another run.
struct Wait {
    since: SystemTime,
    said: Option<Instant>,
    /// Since when the holder cannot be connected to.
    silent_since: Option<Instant>,
}

impl Wait {
    fn begin() -> Self {
        Self { since: SystemTime::now(), said: None, silent_since: None }
    }

    /// Says who is waited for; fails with the name of a stranger.
    fn look_at(&mut self, holder: Holder, jvm: &Jvm) -> Result<(), String> {
        match holder {
            Holder::Process(peer) if !is_trusted(peer, jvm) => Err(format!("another user (uid {})", peer.uid)),
            Holder::Process(peer) => {
                self.silent_since = None;
                self.say(peer, jvm.pid());
                Ok(())
            }
            // A run that has just ended, or has the name and listens in a moment, is no stranger.
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

/// A run of the JVM's own user counts: that user can hinder a dump in any case, as by a stopped JVM.
fn is_trusted(peer: Peer, jvm: &Jvm) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    [ours, 0, jvm.identity.uid].contains(&peer.uid)
}

/// The JVM, by its pid namespace, number and start: the same for all who see it.
pub fn name_of(jvm: &Jvm) -> String {
    // Root without SYS_PTRACE sees it as the JVM's user only.
    let link = || jvm.target.link("ns/pid");
    // One that is closed to us all is in our own namespace, if it has the same number there as here.
    let pid_ns = link().or_else(|_| jvm.identity.io(link)).or_else(|error| match jvm.ns_pid == jvm.pid() {
        true => std::fs::read_link("/proc/self/ns/pid"),
        false => Err(error),
    });
    let pid_ns = pid_ns.map(|link| link.display().to_string()).unwrap_or_default();
    format!("jmap-dump-tool/{pid_ns}/{}/{}", jvm.ns_pid, jvm.target.start_ticks().unwrap_or_default())
}

/// Whoever connects to a full queue waits in a line of its own (Linux: `net/unix/af_unix.c`, `unix_wait_for_peer`), so
/// that those who fill the queue do not keep us out.
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

/// Whoever connects learns whose socket it is (SO_PEERCRED), and nothing else. One descriptor is open at a time, so
/// that connections exhaust neither our descriptors nor the queue.
fn keep_door(listener: &UnixListener, over: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(over, PollFlags::IN)];
        if poll(&mut fds, None).is_err_and(|errno| errno != rustix::io::Errno::INTR) || !fds[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok(connection) => drop(connection),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // No descriptor is free; the connection stays in the queue.
            Err(_) => pause(TRY_EVERY),
        }
    }
}
