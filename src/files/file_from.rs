//! Reads a file from an offset, without moving the offset of the descriptor, which other readers share.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// A reader of `file` that begins at offset `at`.
#[derive(Debug)]
pub struct FileFrom<'a> {
    pub file: &'a File,
    pub at: u64,
}

impl Read for FileFrom<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
