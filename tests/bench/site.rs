//! Where and with what all contestants run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::companions::{Neighbours, StoreServer};
use crate::options::Options;
use crate::quota::Quota;

pub struct Site {
    pub s3: StoreServer,
    pub isal: PathBuf,
    pub quota: Option<Quota>,
    busy: usize,
    work: PathBuf,
    flate2: Option<PathBuf>,
    knows_no_disk: bool,
    _neighbours: Neighbours,
}

impl Site {
    pub fn new(options: &Options) -> Result<Site, String> {
        let isal = options.isal();
        let help = Command::new(&isal).args(["dump", "--help"]).output();
        let knows_no_disk = help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--no-disk"));
        let (base, work) = (options.base(), options.work());
        fs::create_dir_all(&base).map_err(|e| format!("{}: {e}", base.display()))?;
        let site = Site {
            s3: StoreServer::start(&base),
            isal,
            quota: options.cpus.map(Quota::new).transpose()?,
            busy: options.busy,
            work,
            flate2: options.flate2(),
            knows_no_disk,
            _neighbours: Neighbours::start(options.busy),
        };
        site.clear();
        Ok(site)
    }

    /// Each run begins with two empty directories and an empty bucket.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(&self.work);
        fs::create_dir_all(self.work.join("dump")).expect("the work directory can be made");
        let bucket = self.s3.object("");
        let root = bucket.parent().expect("a bucket lies in the server's directory");
        for entry in fs::read_dir(root).expect("the server's directory is there").flatten() {
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
        fs::create_dir(&bucket).expect("a new bucket");
    }

    pub fn work(&self) -> &Path {
        &self.work
    }

    /// A dump as the JVM writes it.
    pub fn raw(&self) -> PathBuf {
        self.work.join("dump/peer.hprof")
    }

    pub fn flate2(&self) -> Option<&Path> {
        self.flate2.as_deref().filter(|path| path.exists())
    }

    pub fn knows_no_disk(&self) -> bool {
        self.knows_no_disk
    }

    /// A program under the limits of the JVM.
    pub fn command(&self, program: impl AsRef<Path>, jvm: u32) -> Command {
        let program = program.as_ref();
        let Some(quota) = &self.quota else { return Command::new(program) };
        let words = quota.beside(jvm);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    /// Processors that JVM and contestant may use at a time.
    pub fn cpus(&self) -> f64 {
        let machine = std::thread::available_parallelism().map_or(1.0, |count| usize::from(count) as f64);
        self.quota.as_ref().map_or(machine, |quota| quota.cpus.min(machine))
    }

    /// First lines of what the contestants say about themselves, and what is unusual about this place.
    pub fn lines(&self) -> Vec<String> {
        let ours = [Some(&*self.isal), self.flate2()].into_iter().flatten().map(|path| first_line(path, "--version"));
        let peers = [("jattach", ""), ("igzip", "--version"), ("gzip", "--version"), ("pigz", "--version")];
        let peers = peers.into_iter().chain([("curl", "--version")]);
        let peers = peers.map(|(program, flag)| first_line(Path::new(program), flag));
        let quota = self.quota.as_ref().map(|quota| format!("CPU quota of JVM and contestants: {}", quota.cpus));
        let busy = (self.busy > 0).then(|| format!("busy neighbours at normal priority: {}", self.busy));
        ours.chain(peers).chain(quota).chain(busy).filter(|line| !line.is_empty()).collect()
    }
}

/// Some print it on stderr, some end with an error.
fn first_line(program: &Path, flag: &str) -> String {
    let flags = Some(flag).filter(|flag| !flag.is_empty());
    let Ok(ended) = Command::new(program).args(flags).stdin(Stdio::null()).output() else {
        return format!("{}: absent", program.display());
    };
    let said = [ended.stdout, ended.stderr].concat();
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
}
