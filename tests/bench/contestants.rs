//! Who runs, and by which commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::bed;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::options::Options;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// The measure of all: the dump alone, neither compressed nor stored.
    Bare,
    Isal,
    Flate2,
    IsalS3,
    NoDisk,
    Jcmd,
    Pigz,
    Gzip,
}

/// Where and with what all of them run.
pub struct Site {
    pub s3: S3Server,
    work: PathBuf,
    isal: PathBuf,
    flate2: Option<PathBuf>,
    knows_no_disk: bool,
}

impl Site {
    pub fn new(options: &Options) -> Site {
        let isal = options.isal();
        let help = Command::new(&isal).args(["dump", "--help"]).output();
        let knows_no_disk = help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--no-disk"));
        let site = Site { s3: S3Server::start(), work: options.work(), isal, flate2: options.flate2(), knows_no_disk };
        site.clear();
        site
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

    fn raw(&self) -> PathBuf {
        self.work.join("dump/peer.hprof")
    }

    fn flate2(&self) -> Option<&Path> {
        self.flate2.as_deref().filter(|path| path.exists())
    }

    /// First lines of what the contestants say about themselves.
    pub fn versions(&self) -> Vec<String> {
        let ours = [Some(&*self.isal), self.flate2()].into_iter().flatten().map(|path| first_line(path, "--version"));
        let peers = [("jattach", ""), ("gzip", "--version"), ("pigz", "--version"), ("curl", "--version")];
        ours.chain(peers.into_iter().map(|(program, flag)| first_line(Path::new(program), flag))).collect()
    }
}

impl Contestant {
    pub const ALL: [Contestant; 8] = [
        Contestant::Bare,
        Contestant::Isal,
        Contestant::Flate2,
        Contestant::IsalS3,
        Contestant::NoDisk,
        Contestant::Jcmd,
        Contestant::Pigz,
        Contestant::Gzip,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Contestant::Bare => "jattach alone",
            Contestant::Isal => "ours (isal), directory",
            Contestant::Flate2 => "ours (flate2), directory",
            Contestant::IsalS3 => "ours (isal), S3",
            Contestant::NoDisk => "ours (isal), S3, --no-disk",
            Contestant::Jcmd => "jcmd -gz=1, S3",
            Contestant::Pigz => "jattach, pigz -1, S3",
            Contestant::Gzip => "jattach, gzip -1, S3",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Contestant::Isal | Contestant::Flate2 | Contestant::IsalS3 | Contestant::NoDisk)
    }

    /// Why it cannot run on this JDK.
    pub fn obstacle(self, jdk: &str, site: &Site) -> Option<String> {
        let isal = || (!site.isal.exists()).then(|| format!("no {}: make release", site.isal.display()));
        match self {
            Contestant::Bare => absent(&["jattach"]),
            Contestant::Gzip => absent(&["jattach", "gzip", "curl"]),
            Contestant::Pigz => absent(&["jattach", "pigz", "curl"]),
            Contestant::Jcmd if matches!(jdk, "8" | "11") => Some("it has no -gz".to_owned()),
            Contestant::Jcmd => absent(&["curl"]),
            Contestant::Flate2 => site.flate2().is_none().then(|| "no binary: name one by --flate2".to_owned()),
            Contestant::NoDisk if jdk == "8" => Some("it cannot write to a pipe".to_owned()),
            Contestant::NoDisk if isal().is_none() && !site.knows_no_disk => {
                Some(format!("{} does not know --no-disk", site.isal.display()))
            }
            Contestant::Isal | Contestant::IsalS3 | Contestant::NoDisk => isal(),
        }
    }

    /// Dumps and stores; returns where the stored file lies.
    pub fn run(self, pid: u32, jdk: &str, site: &Site) -> Result<PathBuf, String> {
        let isal = &site.isal;
        match self {
            Contestant::Bare => jattach(pid, site),
            Contestant::Isal => to_directory(isal, pid, site),
            Contestant::Flate2 => to_directory(site.flate2().ok_or("no binary")?, pid, site),
            Contestant::IsalS3 => with_s3(isal, pid, site, &[]),
            Contestant::NoDisk => with_s3(isal, pid, site, &["--no-disk"]),
            Contestant::Jcmd => jcmd(pid, jdk, site),
            Contestant::Pigz => compressed_by("pigz", pid, site),
            Contestant::Gzip => compressed_by("gzip", pid, site),
        }
    }
}

/// `--all` as with the peers: whether the JVM collects first decides on the pause.
fn ours(binary: &Path, pid: u32, site: &Site) -> Command {
    let mut command = Command::new(binary);
    command.args(["bench", "heap", "prod", "--all", "--output", "json", "--pid", &pid.to_string()]);
    command.arg("--dir").arg(site.work.join("dump")).env_clear();
    command
}

fn to_directory(binary: &Path, pid: u32, site: &Site) -> Result<PathBuf, String> {
    let store = site.work.join("store");
    let receipt = run(ours(binary, pid, site).arg("--store").arg(&store))?;
    Ok(store.join(key(&receipt)?))
}

fn with_s3(binary: &Path, pid: u32, site: &Site, more: &[&str]) -> Result<PathBuf, String> {
    let mut command = ours(binary, pid, site);
    command.args(["--store", &format!("s3://{BUCKET}/heaps")]).args(site.s3.flags()).args(more);
    command.env("JMAP_DUMP_ACCESS_KEY_ID", KEY).env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET);
    let receipt = run(&mut command)?;
    Ok(site.s3.object("heaps").join(key(&receipt)?))
}

fn key(receipt: &str) -> Result<String, String> {
    let receipt: serde_json::Value = serde_json::from_str(receipt).map_err(|e| format!("no JSON receipt: {e}"))?;
    receipt["object"]["key"].as_str().map(str::to_owned).ok_or_else(|| format!("no key in {receipt}"))
}

fn jattach(pid: u32, site: &Site) -> Result<PathBuf, String> {
    let file = site.raw();
    let words = run(Command::new("jattach").args([&pid.to_string(), "dumpheap"]).arg(&file).arg("-all"))?;
    is_dumped(file, &words)
}

/// jattach and jcmd end with 0 whatever the JVM has said.
fn is_dumped(file: PathBuf, words: &str) -> Result<PathBuf, String> {
    let is_there = fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0);
    if is_there { Ok(file) } else { Err(format!("no dump: {}", words.trim())) }
}

fn jcmd(pid: u32, jdk: &str, site: &Site) -> Result<PathBuf, String> {
    let file = site.work.join("dump/peer.hprof.gz");
    let program = bed::home(jdk).join("bin/jcmd");
    let words = run(Command::new(program).args([&pid.to_string(), "GC.heap_dump", "-all", "-gz=1"]).arg(&file))?;
    upload(&is_dumped(file, &words)?, site)
}

fn compressed_by(program: &str, pid: u32, site: &Site) -> Result<PathBuf, String> {
    let raw = jattach(pid, site)?;
    run(Command::new(program).arg("-1").arg(&raw))?;
    upload(&raw.with_extension("hprof.gz"), site)
}

/// curl at its fastest: the body is not hashed.
fn upload(file: &Path, site: &Site) -> Result<PathBuf, String> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", &format!("{KEY}:{SECRET}")]);
    curl.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T"]).arg(file);
    run(curl.arg(format!("{}/{BUCKET}/peer.hprof.gz", site.s3.endpoint())))?;
    Ok(site.s3.object("peer.hprof.gz"))
}

/// What it printed, or what it complained about.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = [ended.stderr, ended.stdout].concat();
    Err(format!("{name}: {}: {}", ended.status, String::from_utf8_lossy(&said).trim()))
}

fn absent(programs: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    let missing = programs.iter().find(|program| !is_there(program))?;
    Some(format!("no {missing}: run tests/bench/install.sh"))
}

/// Some print it on stderr, some end with an error.
fn first_line(program: &Path, flag: &str) -> String {
    let flags = Some(flag).filter(|flag| !flag.is_empty());
    let Ok(ended) = Command::new(program).args(flags).output() else {
        return format!("{}: absent", program.display());
    };
    let said = [ended.stdout, ended.stderr].concat();
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
}
