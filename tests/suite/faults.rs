//! Every write, read, thread and channel end of the pipeline fails in turn, and the run ends.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use jmap_dump_tool::Histogram;
use jmap_dump_tool::block::Section;
use jmap_dump_tool::compressor::{Compression, PipelineError};
use jmap_dump_tool::cpu_share::CpuShare;
use jmap_dump_tool::deadline::Deadline;
use jmap_dump_tool::faults::arm;
use jmap_dump_tool::key::{ObjectKey, Place};
use jmap_dump_tool::progress::Progress;
use jmap_dump_tool::source::{Source, SourceError};
use jmap_dump_tool::spool::Spool;
use jmap_dump_tool::streamed::{self, StreamError};
use jmap_dump_tool::url::StoreUrl;
use jmap_dump_tool::{Context, Delivery, spooled};
use jmap_dump_tool::{Secret, StoreSettings, Upload};

use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};

const PAGE: usize = 1 << 20;

/// Where a stage can fail, by the words of `faults::door`.
const PLACES: [&str; 7] = [
    "read the dump",
    "compress",
    "hand on a block",
    "take a block",
    "write the spool",
    "read the spool",
    "send a part",
];

/// The pipeline's own bound is far below; a run that waits without an end does not come back at all.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A dump of one name after the other, which do not compress. The application waits for its first half, which is
/// written whether or not it is read.
struct Names<'a> {
    noise: &'a [u8],
    given: usize,
    attended: usize,
}

/// Two parts and a bit.
const PAGES: usize = 7;

impl Names<'_> {
    fn page(&self, page: &mut Vec<u8>) {
        if self.given == 0 {
            page.extend(b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0");
        }
        page.extend([1, 0, 0, 0, 0]);
        page.extend((self.noise.len() as u32).to_be_bytes());
        page.extend(self.noise);
    }
}

/// Almost a page of it.
fn noise() -> Vec<u8> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..PAGE - 100).map(|_| next()).collect()
}

impl Source for Names<'_> {
    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        match self.given {
            n if n < PAGES => self.page(page),
            n if n == PAGES => page.extend([0x2c, 0, 0, 0, 0, 0, 0, 0, 0]),
            _ => return Ok(None),
        }
        self.given += 1;
        Ok(Some(Section::Head))
    }

    fn attend(&mut self) -> Result<(), SourceError> {
        self.attended += 1;
        Ok(())
    }

    fn pauses(&self) -> bool {
        self.given + self.attended < PAGES / 2
    }

    fn is_written(&self) -> bool {
        !self.pauses()
    }
}

/// How the object is made.
#[derive(Debug, Clone, Copy)]
enum Way {
    Spooled,
    /// By the spool into the parts of a store.
    Uploaded,
    Straight,
}

impl Way {
    const ALL: [Self; 3] = [Self::Spooled, Self::Uploaded, Self::Straight];

    /// A place that another way has as well is tried there, but for the ends of the spool. A sequential dump is read again
    /// from the spool only to send it.
    fn places(self) -> impl Iterator<Item = &'static str> {
        let has = move |place: &&str| match (self, place.ends_with("spool"), *place == "send a part") {
            (Self::Spooled, _, sends) => !sends && *place != "read the spool",
            (Self::Uploaded, is_of_spool, sends) => is_of_spool || sends,
            (Self::Straight, is_of_spool, _) => !is_of_spool,
        };
        PLACES.into_iter().filter(has)
    }
}

struct Bed {
    server: S3Server,
    settings: StoreSettings,
    deadline: Deadline,
    noise: Vec<u8>,
}

impl Bed {
    fn new() -> Self {
        let server = S3Server::start();
        let settings = StoreSettings {
            endpoint: Some(server.endpoint()),
            region: Some("us-east-1".into()),
            path_style: Some(true),
            access_key_id: Some(Secret::new(KEY)),
            secret_access_key: Some(Secret::new(SECRET)),
            ..StoreSettings::of(StoreUrl::parse(&format!("s3://{BUCKET}")).unwrap())
        };
        let deadline = Deadline::after(Duration::from_secs(600)).unwrap();
        Self { server, settings, deadline, noise: noise() }
    }

    fn run(&self, way: Way, workers: usize) -> Result<Delivery, StreamError> {
        let mut raw = Names { noise: &self.noise, given: 0, attended: 0 };
        let part_size = 5 << 20;
        let cpu_share = match way {
            // One of them from the start where there are several: the others wait at the gate.
            Way::Spooled | Way::Uploaded => {
                let (early, uploads_early) = (workers / 2, workers > 2);
                CpuShare { workers: early, later: workers - early, uploads_early, is_pressed: false }
            }
            Way::Straight => CpuShare { workers, later: 0, uploads_early: true, is_pressed: true },
        };
        let compression = Compression { cpu_share, level: 1, part_size, redactor: None };
        let progress = Progress::silent();
        let context = Context { progress: &progress, deadline: &self.deadline };
        let key = ObjectKey::new(&Place::new("shop", "cart", "prod").unwrap(), chrono::Utc::now(), "pod", 1, "abcdef");
        let open = || Upload::open(&self.settings, &key, part_size, &self.deadline).unwrap();
        match way {
            Way::Spooled | Way::Uploaded => {
                let spool = Spool::new(tempfile::tempfile().unwrap());
                let mut upload = matches!(way, Way::Uploaded).then(open);
                let (upload, sealed) = (upload.as_mut(), |_: &_, _: &_, _| {});
                Ok(spooled::run(&mut raw, spool, upload, compression, context, sealed)?)
            }
            Way::Straight => {
                let (mut upload, mut histogram) = (open(), Histogram::new());
                streamed::run(&mut raw, &mut upload, compression, context, &mut histogram)
            }
        }
    }
}

/// Two hundred faults and more: an error and a panic at each place, by 1, 2 and 4 workers, with a spool and without.
#[test]
fn pipeline_with_any_fault_ends() {
    keep_quiet_on_demand();
    let bed = Arc::new(Bed::new());
    let mut faults = 0;
    for (way, workers) in Way::ALL.into_iter().flat_map(|way| [1, 2, 4].map(|n| (way, n))) {
        for place in way.places() {
            // How often it is passed by, by a fault that never comes.
            arm(&format!("{place}/999999:5"));
            let whole = bed.run(way, workers).unwrap();
            assert!(whole.walk.complete && whole.sent.is_ok(), "{way:?}, {workers} workers: {whole:?}");
            let calls = arm("");
            for nth in spread(calls) {
                for what in ["28", "panic"] {
                    let fault = format!("{place}/{nth}:{what}");
                    assert_ends(&bed, way, workers, &fault);
                    faults += 1;
                }
            }
        }
    }
    eprintln!("{faults} faults, and each run has ended");
    assert!(faults >= 200, "{faults} faults");
    // A part whose sender is gone may arrive behind the abort: the server keeps its file, and lists no upload.
    assert_eq!(bed.server.listed_uploads(), Vec::<String>::new());
}

/// What panics on demand need not say where: that takes a third of a second.
fn keep_quiet_on_demand() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>();
        if !words.is_some_and(|words| words.ends_with("panics on demand")) {
            told(panic);
        }
    }));
}

/// The first, the last, and one between.
fn spread(calls: usize) -> Vec<usize> {
    let mut some: Vec<usize> =
        [1, calls.div_ceil(2), calls].into_iter().filter(|nth| (1..=calls).contains(nth)).collect();
    some.dedup();
    some
}

#[track_caller]
fn assert_ends(bed: &Arc<Bed>, way: Way, workers: usize, fault: &str) {
    arm(fault);
    let (done, ended) = mpsc::channel();
    let bed = Arc::clone(bed);
    let begun = Instant::now();
    let run = Mutex::new(bed);
    std::thread::spawn(move || {
        let bed = run.into_inner().unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bed.run(way, workers)));
        let _ = done.send(outcome);
    });
    let what = format!("{way:?}, {workers} workers, {fault}");
    let outcome = ended.recv_timeout(ENDS_WITHIN).unwrap_or_else(|_| panic!("{what}: the run hangs"));
    arm("");
    assert!(begun.elapsed() < Duration::from_secs(15), "{what}: after {:?}", begun.elapsed());
    match outcome {
        Err(_) => assert!(fault.ends_with("panic"), "{what}"),
        // A store that fails does not end the work: it is told.
        Ok(Ok(piped)) => assert!(piped.sent.is_err(), "{what}: {piped:?}"),
        Ok(Err(error)) => {
            assert!(!matches!(error, StreamError::Pipeline(PipelineError::Halted)), "{what}: no stage says why")
        }
    }
}
