//! One run per JVM: the second one waits and gives back the first one's receipt and exit status.
//!
//! The meeting point is an abstract socket, named after the JVM: it needs no file, and it vanishes with the
//! process that holds it. Containers of one pod share it, as they share the network.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::deadline::{Deadline, Stopped, Woken};
use crate::discovery::Jvm;
use crate::sys::peer_of;
use crate::waiting::joined_within;

/// Our place as the only run on a JVM.
#[derive(Debug, Default)]
pub struct SingleRun {
    wish: String,
    waiting: Arc<Mutex<Vec<UnixStream>>>,
    /// Accepts those who wait, until its descriptor says that the run is over. None without a meeting point.
    door: Option<(JoinHandle<()>, Arc<OwnedFd>)>,
}

/// What became of the wish to be the only run.
#[derive(Debug)]
pub enum Turn {
    /// With the time since when another run was waited for, if one was.
    Ours(SingleRun, Option<SystemTime>),
    /// Another run was at it; its receipt, as JSON.
    Theirs(String),
}

impl SingleRun {
    /// Takes the place, or waits for the run that has it. One that had another wish, or died without a word, is
    /// followed by us.
    ///
    /// # Errors
    /// When this run is stopped while it waits.
    pub fn take(jvm: &Jvm, wish: &str, deadline: &Deadline) -> Result<Turn, Stopped> {
        let mut since = None;
        let Ok(address) = SocketAddr::from_abstract_name(name_of(jvm)) else {
            return Ok(Turn::Ours(Self::default(), since));
        };
        loop {
            match UnixListener::bind_addr(&address).and_then(|listener| Self::hold(listener, wish)) {
                Ok(ours) => return Ok(Turn::Ours(ours, since)),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    log::debug!("cannot make sure that this is the only run: {error}");
                    return Ok(Turn::Ours(Self::default(), since));
                }
                Err(_) => {}
            }
            since.get_or_insert_with(SystemTime::now);
            match follow(&address, jvm.pid(), deadline)? {
                Some(answer) => match answer.split_once('\n') {
                    Some((theirs, receipt)) if theirs == wish => return Ok(Turn::Theirs(receipt.to_owned())),
                    Some(_) => log::info!("the other run on pid {} had another aim", jvm.pid()),
                    None => log::info!("the other run on pid {} has given up its turn, or died", jvm.pid()),
                },
                None => return Ok(Turn::Ours(Self::default(), since)),
            }
            deadline.sleep(Duration::from_millis(50), "taking over from another run")?;
        }
    }

    /// Whether another run has the place, or somebody else.
    pub fn is_taken(jvm: &Jvm) -> bool {
        SocketAddr::from_abstract_name(name_of(jvm)).is_ok_and(|address| UnixStream::connect_addr(&address).is_ok())
    }

    fn hold(listener: UnixListener, wish: &str) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let over = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let waiting = Arc::default();
        let door = {
            let (waiting, over) = (Arc::clone(&waiting), Arc::clone(&over));
            std::thread::spawn(move || keep_door(&listener, &waiting, &over))
        };
        Ok(Self { wish: wish.to_owned(), waiting, door: Some((door, over)) })
    }

    /// Tells those who wait how the run ended.
    pub fn tell(mut self, receipt: &str) {
        self.close_door();
        for mut stream in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Whoever went away meanwhile misses nothing.
            let _ = stream.set_write_timeout(Some(Duration::from_secs(2)));
            let _ = stream.write_all(format!("{}\n{receipt}", self.wish).as_bytes());
        }
    }

    fn close_door(&mut self) {
        if let Some((door, over)) = self.door.take() {
            let _ = rustix::io::write(&*over, &1u64.to_ne_bytes());
            // It accepts and waits, nothing else.
            let _ = joined_within(door, Duration::from_secs(2));
        }
    }
}

impl Drop for SingleRun {
    fn drop(&mut self) {
        self.close_door();
    }
}

/// The JVM, by its pid namespace, number and start: the same for all who see it.
pub fn name_of(jvm: &Jvm) -> String {
    // Root without SYS_PTRACE sees it as the JVM's user only.
    let link = || jvm.target.link("ns/pid");
    let pid_ns = link().or_else(|_| jvm.identity.io(link)).map(|link| link.display().to_string()).unwrap_or_default();
    format!("jmap-dump-tool/{pid_ns}/{}/{}", jvm.ns_pid, jvm.target.start_ticks().unwrap_or_default())
}

fn keep_door(listener: &UnixListener, waiting: &Mutex<Vec<UnixStream>>, over: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(over, PollFlags::IN)];
        if poll(&mut fds, None).is_err_and(|errno| errno != rustix::io::Errno::INTR) {
            return;
        }
        let ended = !fds[1].revents().is_empty();
        while let Ok((stream, _)) = listener.accept() {
            waiting.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
        if ended {
            return;
        }
    }
}

/// Waits for the other run's wish and receipt: empty when it died. `None` when the place is held by a stranger, whose
/// word counts nothing.
fn follow(address: &SocketAddr, pid: i32, deadline: &Deadline) -> Result<Option<String>, Stopped> {
    let Ok(mut stream) = UnixStream::connect_addr(address) else { return Ok(Some(String::new())) };
    let ours = rustix::process::geteuid().as_raw();
    match peer_of(&stream) {
        Ok(peer) if peer.uid == ours || peer.uid == 0 => {}
        _ => {
            log::warn!("another user holds the place of the run on pid {pid}; going on without it");
            return Ok(None);
        }
    }
    log::warn!("another run is dumping pid {pid}; waiting for its receipt");
    let mut receipt = Vec::new();
    loop {
        let what = format!("waiting for the other run on pid {pid}");
        if deadline.wait(stream.as_fd(), PollFlags::IN, Duration::from_secs(5), &what)? == Woken::TimedOut {
            log::info!("{what}");
            continue;
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return Ok(Some(String::from_utf8_lossy(&receipt).into_owned())),
            Ok(n) => receipt.extend_from_slice(&piece[..n]),
        }
    }
}
