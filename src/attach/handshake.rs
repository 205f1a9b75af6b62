//! Connects to the attach listener of a process. Uses its socket if there is one, else the attach file and SIGQUIT
//! (JDK: `attachListener_posix.cpp`, `VirtualMachineImpl.java`; the checks before the signal are those of
//! `checkCatchesAndSendQuitTo`).

use std::time::{Duration, Instant};

use super::attach_file::AttachFile;
use super::patience::Patience;
use super::tmp::Tmp;
use super::{AttachError, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::base::identity::Identity;
use crate::jvm::Jvm;
use crate::jvm::hsperfdata::PerfData;
use crate::jvm::maps::Vm;
use crate::jvm::proc_status::SIGQUIT;

/// Interval of looking for the socket. An idle JVM opens it within 10 to 22 ms after the signal.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(10);

/// Interval of looking at a JVM that still starts.
const STARTING: Duration = Duration::from_millis(20);

/// Time after its start within which a JVM of any version catches the signal. With -Xrs it never does. The longest seen
/// was 94 ms.
const STARTS_WITHIN: Duration = Duration::from_secs(3);

/// Age from which the signal thread of a JVM proves that its handler is installed: the handler follows a moment after.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// The thread "Signal Dispatcher" with its name cut by the kernel; JDK 28 cuts it itself. Early updates of JDK 8 name
/// no threads.
const SIGNAL_THREAD: [&str; 2] = ["Signal Dispatch", "Signal ..atcher"];

/// The thread of the attach listener. Exists after the first signal (JDK: `attachListener.cpp`,
/// `AttachListener::init`).
const ATTACH_THREAD: &str = "Attach Listener";

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
    let tmp = Tmp::open(jvm, identity)?;
    let attached = || {
        wait_while_stopped(jvm, &stage)?;
        if tmp.listener_answers(jvm, &stage)? { Ok(()) } else { start_listener(jvm, &tmp, identity, timeout, &stage) }
    };
    // If only the time of this stage is over, the error names the attach time-out.
    attached().map_err(|error| match error {
        AttachError::Stopped(_) if deadline.check("").is_ok() && is_stopped(jvm) => {
            AttachError::StaysStopped { pid: jvm.pid(), seconds: timeout.as_secs() }
        }
        AttachError::Stopped(_) if deadline.check("").is_ok() => {
            AttachError::NoAnswer { pid: jvm.pid(), path: tmp.socket_path(jvm), seconds: timeout.as_secs() }
        }
        other => other,
    })?;
    Ok(VirtualMachine { jvm, tmp, identity })
}

/// Implements [`VirtualMachine::prospect`].
pub(super) fn prospect(jvm: &Jvm) -> Result<(), AttachError> {
    if jvm.vm == Vm::OpenJ9 {
        return Err(AttachError::OpenJ9 { pid: jvm.pid() });
    }
    let identity = identity_for(jvm)?;
    // A missing /tmp is created only for a real attach.
    if let Some(tmp) = Tmp::find(jvm, identity)? {
        if tmp.has_socket(jvm)? {
            return Ok(());
        }
        tmp.must_be_writable(jvm)?;
    }
    match (attachable_by_perf_data(jvm), signal_is_safe(jvm)?) {
        (Some(false), _) => Err(AttachError::Disabled { pid: jvm.pid() }),
        (_, Some(true)) => Ok(()),
        (_, None) if is_up(jvm) => Ok(()),
        _ => Err(AttachError::WouldKill { pid: jvm.pid() }),
    }
}

/// Returns whether the JVM allows attaching, by its hsperfdata or by its options. `None` if neither says so.
fn attachable_by_perf_data(jvm: &Jvm) -> Option<bool> {
    let marked = jvm.perf_data.as_ref().and_then(PerfData::is_attachable);
    marked.or_else(|| jvm.disables_attach.then_some(false))
}

/// Returns the identity that this JVM accepts. Fails before anything is sent if this process cannot take it.
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

fn start_listener(
    jvm: &Jvm,
    tmp: &Tmp,
    identity: Identity,
    timeout: Duration,
    stage: &Deadline,
) -> Result<(), AttachError> {
    tmp.must_be_writable(jvm)?;
    if wait_until_signal_is_safe(jvm, tmp, stage)? {
        return Ok(());
    }
    wait_while_stopped(jvm, stage)?;
    let mut attach_file = AttachFile::create(jvm, tmp, identity)?;
    log::debug!("pid {}: attach file {}", jvm.pid(), attach_file.path);
    send_quit(jvm, identity)?;
    attach_file.signalled = true;
    let mut patience = Patience::new();
    let mut repeated = false;
    while !tmp.has_socket(jvm)? {
        let stopped = if is_stopped(jvm) { ", which is stopped" } else { "" };
        let what = format!("waiting for the attach listener of pid {}{stopped}", jvm.pid());
        stage.sleep(POLL_EVERY, &what)?;
        patience.tell(&what);
        if !jvm.target.is_alive() {
            return Err(AttachError::Gone { pid: jvm.pid() });
        }
        // A signal that came before the JVM was ready is lost, so it is repeated once. If the listener is already open,
        // another signal would make the JVM print its threads. So the socket and the listener's thread are checked once
        // more: the socket may be where we cannot see it.
        let may_be_lost = !repeated && patience.passed() > timeout / 2 && !is_stopped(jvm);
        if may_be_lost && !tmp.has_socket(jvm)? && !listens(jvm) {
            repeated = true;
            send_quit(jvm, identity)?;
        }
    }
    Ok(())
}

fn listens(jvm: &Jvm) -> bool {
    jvm.target.thread_names().iter().any(|name| name == ATTACH_THREAD)
}

fn is_stopped(jvm: &Jvm) -> bool {
    jvm.target.status().is_ok_and(|status| status.is_stopped())
}

/// Waits while the JVM is stopped. A stopped JVM does not handle a signal. If it goes on after the attach file is gone,
/// the signal makes it print its threads.
fn wait_while_stopped(jvm: &Jvm, stage: &Deadline) -> Result<(), AttachError> {
    let mut patience = Patience::new();
    let what = format!("waiting for pid {}, which is stopped, to go on", jvm.pid());
    while is_stopped(jvm) {
        stage.sleep(POLL_EVERY, &what)?;
        patience.tell(&what);
    }
    Ok(())
}

/// Checks once more that the signal is safe, and sends it. First as the JVM's user, because root without the capability
/// KILL may not signal other users (kill(2)). Then with our own identity, for a JVM that changed its user and so has
/// another real uid.
fn send_quit(jvm: &Jvm, identity: Identity) -> Result<(), AttachError> {
    if signal_is_safe(jvm)? == Some(false) {
        return Err(AttachError::WouldKill { pid: jvm.pid() });
    }
    let sent = identity.io(|| jvm.target.send_quit()).or_else(|_| jvm.target.send_quit());
    sent.map_err(|source| AttachError::Signal { pid: jvm.pid(), source })
}

/// Waits for a JVM that still starts. Returns true if its socket has appeared, so that no signal is needed.
fn wait_until_signal_is_safe(jvm: &Jvm, tmp: &Tmp, stage: &Deadline) -> Result<bool, AttachError> {
    if attachable_by_perf_data(jvm) == Some(false) {
        return Err(AttachError::Disabled { pid: jvm.pid() });
    }
    let limit = Instant::now() + STARTS_WITHIN.saturating_sub(jvm.target.age().unwrap_or_default());
    loop {
        match signal_is_safe(jvm)? {
            Some(true) => return Ok(false),
            None if is_up(jvm) => return Ok(false),
            _ if Instant::now() >= limit => return Err(AttachError::WouldKill { pid: jvm.pid() }),
            _ => {}
        }
        stage.sleep(STARTING, &format!("waiting for pid {} to start", jvm.pid()))?;
        if tmp.has_socket(jvm)? {
            return Ok(true);
        }
    }
}

/// Returns whether the JVM is ready for the signal, where the kernel does not show the caught signals (gVisor).
/// hsperfdata says so. A JVM without hsperfdata has a signal thread, unless -Xrs is set (JDK:
/// `os::initialize_jdk_signal_support`).
fn is_up(jvm: &Jvm) -> bool {
    match &jvm.perf_data {
        Some(data) => data.accessible && data.is_attachable() == Some(true),
        None => {
            let settled = jvm.target.age().is_some_and(|age| age > SETTLES_WITHIN);
            settled && has_signal_thread(jvm)
        }
    }
}

fn has_signal_thread(jvm: &Jvm) -> bool {
    jvm.target.thread_names().iter().any(|name| SIGNAL_THREAD.contains(&&**name))
}

/// Returns whether the process catches SIGQUIT: its default action ends the process. `None` if the kernel does not say.
/// A process with one thread is not safe: it is a newly forked child, whose signal handlers vanish at its exec.
fn signal_is_safe(jvm: &Jvm) -> Result<Option<bool>, AttachError> {
    let status = jvm.target.status().map_err(|_| AttachError::Gone { pid: jvm.pid() })?;
    if !status.is_alive() {
        return Err(AttachError::Gone { pid: jvm.pid() });
    }
    if status.threads == Some(1) {
        return Ok(Some(false));
    }
    let caught = status.catches(SIGQUIT);
    // The name of a process is no proof: a program that is no JVM may catch the signal in order to end.
    if jvm.by_name_only && caught == Some(true) && jvm.perf_data.is_none() && !has_signal_thread(jvm) {
        return Ok(Some(false));
    }
    Ok(caught)
}
