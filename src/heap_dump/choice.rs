//! Chooses the directory for the dump, and how the dump is read there.

use std::io;

use super::memory_room::Shortage;
use super::room::{Room, RoomError};
use super::{Estimate, Manner, PlanRequest};
use crate::base::units::Bytes;
use crate::compress::cpu_share::CpuShare;
use crate::jvm::Jvm;
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;

/// Directories that are tried if the user names none, as the JVM sees them.
pub const CANDIDATES: &[&str] = &["/dumps", "/heapdumps", "/var/tmp", "/tmp"];

/// The candidates that are not meant for dumps: other programs write there, too, and they may be small.
const ELSEWHERE: &[&str] = &["/var/tmp", "/tmp"];

/// Bytes of a heap. A smaller heap is written so fast that to read it meanwhile gains nothing. JDK 22 and later would
/// merge it before its parts could be taken over.
const WORTH_CAPTURING: u64 = 32 << 20;

/// The facts that are known of a dump in advance.
#[derive(Debug, Clone, Copy)]
pub struct Prospect {
    pub layout: Layout,
    /// `None` if the JVM does not tell how much of its heap is used, and for pipes.
    pub estimate: Option<Estimate>,
    /// Largest size of the raw dump in bytes; `u64::MAX` if no bound is known.
    pub raw_upper: u64,
    /// Processors that the container may use at a time.
    pub processors: f64,
}

impl Prospect {
    /// Returns whether the dump can be read while the JVM writes it.
    fn can_be_captured(&self) -> bool {
        match self.layout {
            Layout::Unknown => false,
            Layout::Patched | Layout::Sequential => true,
            Layout::Parts => self.estimate.is_none_or(|estimate| estimate.heap_used >= WORTH_CAPTURING),
        }
    }

    /// Chooses when the dump is read. Below two processors, nothing is compressed while the JVM dumps. A file with a
    /// name is not lost if the time is over before it is compressed. That takes room for the dump and its compressed
    /// copy. To merge its parts, a JVM needs room for them twice.
    fn manner(&self, request: &PlanRequest<'_>, room: &Room) -> Manner {
        if !self.can_be_captured() || request.whole {
            return Manner::Whole;
        }
        let can_merge =
            self.layout != Layout::Parts || self.estimate.is_some_and(|estimate| estimate.surely_fits(room.free));
        let waits = CpuShare::of(self.processors).waits();
        let has_room_for_both = can_merge && room.shortage(Manner::Whole).is_none();
        if waits && has_room_for_both { Manner::Whole } else { Manner::Captured }
    }
}

/// A directory that the JVM can write to.
#[derive(Debug)]
pub struct Candidate {
    pub dir: DumpDir,
    pub room: Room,
    pub manner: Manner,
    pub shortage: Option<Shortage>,
}

impl Candidate {
    fn make(jvm: &Jvm, parent: &str, request: &PlanRequest<'_>, prospect: &Prospect) -> io::Result<Self> {
        let dir = DumpDir::create(&jvm.target, jvm.identity, parent, request.run_id)?;
        let room = Room::of(&dir, jvm, request, prospect.layout, prospect.raw_upper)?;
        let manner = prospect.manner(request, &room);
        let shortage = room.shortage(manner).filter(|_| !request.no_disk);
        Ok(Self { dir, room, manner, shortage })
    }

    /// Returns whether the room is enough. Where dumps belong, the likely size has to fit, elsewhere the largest size.
    fn suffices(&self, belongs: bool, estimate: Option<Estimate>) -> bool {
        let free = self.room.free;
        let fits = |estimate: Estimate| if belongs { free >= estimate.likely } else { estimate.surely_fits(free) };
        estimate.is_none_or(fits) && self.shortage.is_none()
    }

    /// Returns how many bytes can be written without any harm.
    fn usable(&self) -> u64 {
        self.shortage.as_ref().map_or(u64::MAX, Shortage::usable).min(self.room.free)
    }

    fn why_not(&self, estimate: Option<Estimate>) -> String {
        if let Some(shortage) = &self.shortage {
            return shortage.to_string();
        }
        let (free, limit) = (Bytes(self.room.free), &self.room.limit);
        let likely = Bytes(estimate.map_or(0, |estimate| estimate.likely));
        format!("{free} can be used there ({limit}), and about {likely} are needed")
    }
}

/// Returns the first directory that suffices, or else the one with the most room. Adds a message for each that was
/// passed over.
///
/// # Errors
/// When the JVM's user can write to none of them.
pub fn choose(
    jvm: &Jvm,
    request: &PlanRequest<'_>,
    prospect: &Prospect,
) -> Result<(Candidate, Vec<String>), RoomError> {
    let mut best: Option<(usize, Candidate)> = None;
    let mut tried: Vec<Tried> = Vec::new();
    for (index, parent) in request.dirs.iter().enumerate() {
        match Candidate::make(jvm, parent, request, prospect) {
            Ok(candidate) => {
                let belongs = request.dirs_named || !ELSEWHERE.contains(&parent.as_str());
                if candidate.suffices(belongs, prospect.estimate) {
                    best = Some((index, candidate));
                    break;
                }
                tried.push(Tried { index, why: candidate.why_not(prospect.estimate), is_there: true });
                let rank = |candidate: &Candidate| (candidate.shortage.is_none(), candidate.usable());
                if best.as_ref().is_none_or(|(_, other)| rank(&candidate) > rank(other)) {
                    best = Some((index, candidate));
                }
            }
            Err(error) => {
                // If the user named none, most of the candidates do not exist.
                let is_there = request.dirs_named || error.kind() != io::ErrorKind::NotFound;
                tried.push(Tried { index, why: error.to_string(), is_there });
            }
        }
    }
    let Some((chosen, candidate)) = best else {
        let tried = tried.iter().map(|tried| format!("{}: {}", request.dirs[tried.index], tried.why));
        return Err(RoomError::NoDirectory { pid: jvm.pid(), tried: tried.collect::<Vec<_>>().join("; ") });
    };
    let passed = tried.iter().filter(|tried| tried.index < chosen && tried.is_there);
    let words = |tried: &Tried| {
        format!("{} was passed over for {}: {}", request.dirs[tried.index], request.dirs[chosen], tried.why)
    };
    Ok((candidate, passed.map(words).collect()))
}

/// A directory that does not suffice.
struct Tried {
    index: usize,
    why: String,
    is_there: bool,
}
