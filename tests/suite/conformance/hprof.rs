//! Heap dumps without a JVM: the smallest ones that are whole, of any size, and that no gzip makes smaller.

use std::io::Read;
use std::path::PathBuf;

/// One part of an upload.
pub const SMALL: usize = 40_000;
/// Three parts of 5 MiB, the last one shorter.
pub const LARGE: usize = 12_000_000;

/// Bytes of one name: a record of the file format.
const NAME: usize = 50_000;

/// A dump as a file in a directory of its own.
pub struct Dump {
    pub dir: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Dump {
    pub fn of(size: usize) -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        Self::with(hprof(size, || random.draw()))
    }

    /// One that gzip makes very small.
    pub fn of_one_letter(size: usize) -> Self {
        Self::with(hprof(size, || u64::from_ne_bytes([b'x'; 8])))
    }

    fn with(bytes: Vec<u8>) -> Self {
        let dump = Self { dir: tempfile::tempdir().unwrap(), bytes };
        std::fs::write(dump.path(), &dump.bytes).unwrap();
        dump
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("java_pid7.hprof")
    }

    pub fn word(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// What is stored is this dump, gzipped.
    #[track_caller]
    pub fn assert_is(&self, stored: &[u8]) {
        let mut raw = Vec::new();
        flate2::read::MultiGzDecoder::new(stored).read_to_end(&mut raw).unwrap();
        self.assert_is_plain(&raw);
    }

    #[track_caller]
    pub fn assert_is_plain(&self, raw: &[u8]) {
        assert!(raw == self.bytes, "{} bytes instead of {}", raw.len(), self.bytes.len());
    }
}

/// Names of such letters up to `size`, an empty heap, and the end record (JDK: heapDumper.cpp).
fn hprof(size: usize, mut letters: impl FnMut() -> u64) -> Vec<u8> {
    let mut bytes = b"JAVA PROFILE 1.0.2\0".to_vec();
    bytes.extend(8_u32.to_be_bytes());
    bytes.extend(0_u64.to_be_bytes());
    while bytes.len() < size {
        let id = letters().to_be_bytes();
        let name = (0..NAME.min(size) / 8).flat_map(|_| letters().to_be_bytes()).collect::<Vec<_>>();
        record(&mut bytes, 0x01, &[&id[..], &name].concat());
    }
    record(&mut bytes, 0x1C, &[]);
    record(&mut bytes, 0x2C, &[]);
    bytes
}

fn record(bytes: &mut Vec<u8>, tag: u8, body: &[u8]) {
    bytes.push(tag);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
