//! Who runs, and by which commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::common::bed;
use crate::common::s3::{BUCKET, KEY, SECRET};
use crate::site::Site;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    /// The measure of all: the dump alone, neither compressed nor stored
    Bare,
    /// Ours with ISA-L, into a directory
    Isal,
    /// Ours with flate2, into a directory
    Flate2,
    /// Ours with ISA-L, into S3
    IsalS3,
    /// Ours with ISA-L, into S3 without a disk
    NoDisk,
    /// The JVM's own compression, into S3
    Jcmd,
    /// jattach, then pigz, into S3
    Pigz,
    /// jattach, then gzip, into S3
    Gzip,
    /// The measure of processor time: `igzip -1` of a dump that is already a file
    Igzip,
}

/// The pause is what is measured here: nothing ends it early.
const NO_DISK: [&str; 3] = ["--no-disk", "--max-pause", "10m"];

/// What a run has left.
pub struct Outcome {
    /// The stored file.
    pub stored: PathBuf,
    /// Until the compressed dump was a file here, if its upload came after that.
    pub local: Option<Duration>,
}

impl Contestant {
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
            Contestant::Igzip => "igzip -1 of the dump",
        }
    }

    pub fn dumps(self) -> bool {
        self != Contestant::Igzip
    }

    pub fn uses_s3(self) -> bool {
        !matches!(self, Contestant::Bare | Contestant::Isal | Contestant::Flate2 | Contestant::Igzip)
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
            Contestant::Igzip => absent(&["jattach", "igzip"]),
            Contestant::Jcmd if matches!(jdk, "8" | "11") => Some("it has no -gz".to_owned()),
            Contestant::Jcmd => absent(&["curl"]),
            Contestant::Flate2 => site.flate2().is_none().then(|| "no binary: name one by --flate2".to_owned()),
            Contestant::NoDisk if jdk == "8" => Some("it cannot write to a pipe".to_owned()),
            Contestant::NoDisk if isal().is_none() && !site.knows_no_disk() => {
                Some(format!("{} does not know --no-disk", site.isal.display()))
            }
            Contestant::Isal | Contestant::IsalS3 | Contestant::NoDisk => isal(),
        }
    }

    /// What comes before the measured time.
    pub fn prepare(self, pid: u32, site: &Site) -> Result<(), String> {
        if self == Contestant::Igzip { jattach(pid, site).map(drop) } else { Ok(()) }
    }

    /// Dumps and stores.
    pub fn run(self, pid: u32, jdk: &str, site: &Site) -> Result<Outcome, String> {
        let isal = &site.isal;
        let here = |stored: Result<PathBuf, String>| stored.map(|stored| Outcome { stored, local: None });
        match self {
            Contestant::Bare => here(jattach(pid, site)),
            Contestant::Isal => here(to_directory(isal, pid, site)),
            Contestant::Flate2 => here(to_directory(site.flate2().ok_or("no binary")?, pid, site)),
            Contestant::IsalS3 => here(with_s3(isal, pid, site, &[])),
            Contestant::NoDisk => here(with_s3(isal, pid, site, &NO_DISK)),
            Contestant::Jcmd => uploaded(pid, site, || jcmd(pid, jdk, site)),
            Contestant::Pigz => uploaded(pid, site, || compressed_by("pigz", pid, site)),
            Contestant::Gzip => uploaded(pid, site, || compressed_by("gzip", pid, site)),
            Contestant::Igzip => here(igzip(pid, site)),
        }
    }
}

/// `--all` as with the peers: whether the JVM collects first decides on the pause.
fn ours(binary: &Path, pid: u32, site: &Site) -> Command {
    let mut command = site.command(binary, pid);
    command.args(["bench", "heap", "prod", "--all", "--output", "json", "--pid", &pid.to_string()]);
    command.arg("--dir").arg(site.work().join("dump")).env_clear();
    command
}

fn to_directory(binary: &Path, pid: u32, site: &Site) -> Result<PathBuf, String> {
    let store = site.work().join("store");
    let receipt = run(ours(binary, pid, site).arg("--store").arg(&store))?;
    Ok(store.join(key(&receipt)?))
}

fn with_s3(binary: &Path, pid: u32, site: &Site, more: &[&str]) -> Result<PathBuf, String> {
    let mut command = ours(binary, pid, site);
    command.args(["--store", &format!("s3://{BUCKET}/heaps")]).args(more);
    command.args(["--endpoint", site.s3.endpoint(), "--region", "us-east-1"]);
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
    let words = run(site.command("jattach", pid).args([&pid.to_string(), "dumpheap"]).arg(&file).arg("-all"))?;
    is_dumped(file, &words)
}

/// jattach and jcmd end with 0 whatever the JVM has said.
fn is_dumped(file: PathBuf, words: &str) -> Result<PathBuf, String> {
    let is_there = fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0);
    if is_there { Ok(file) } else { Err(format!("no dump: {}", words.trim())) }
}

fn jcmd(pid: u32, jdk: &str, site: &Site) -> Result<PathBuf, String> {
    let file = site.work().join("dump/peer.hprof.gz");
    let mut command = site.command(bed::home(jdk).join("bin/jcmd"), pid);
    let words = run(command.args([&pid.to_string(), "GC.heap_dump", "-all", "-gz=1"]).arg(&file))?;
    is_dumped(file, &words)
}

fn compressed_by(program: &str, pid: u32, site: &Site) -> Result<PathBuf, String> {
    let raw = jattach(pid, site)?;
    run(site.command(program, pid).arg("-1").arg(&raw))?;
    Ok(raw.with_extension("hprof.gz"))
}

fn igzip(pid: u32, site: &Site) -> Result<PathBuf, String> {
    let file = site.raw().with_extension("hprof.gz");
    run(site.command("igzip", pid).args(["-1", "-k", "-o"]).arg(&file).arg(site.raw()))?;
    Ok(file)
}

fn uploaded(pid: u32, site: &Site, compress: impl Fn() -> Result<PathBuf, String>) -> Result<Outcome, String> {
    let begun = Instant::now();
    let file = compress()?;
    let local = Some(begun.elapsed());
    Ok(Outcome { stored: upload(&file, pid, site)?, local })
}

/// curl at its fastest: the body is not hashed.
fn upload(file: &Path, pid: u32, site: &Site) -> Result<PathBuf, String> {
    let mut curl = site.command("curl", pid);
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
