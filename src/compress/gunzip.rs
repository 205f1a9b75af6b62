//! Reads gzip members in a row as one stream. Zero bytes behind the last member are padding, as on a tape or a block
//! device, and belong to it (gzip(1), "Special use"). Other bytes there are reported as such.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::gzip::MAGIC;

/// The bytes behind the last member are neither a member nor padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("other bytes follow the end of the gzip stream")]
pub struct OtherBytes;

/// Reads gzip members in a row.
pub struct Gunzip<'a> {
    member: GzDecoder<Box<dyn BufRead + 'a>>,
    is_first: bool,
}

impl std::fmt::Debug for Gunzip<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gunzip").finish_non_exhaustive()
    }
}

impl<'a> Gunzip<'a> {
    pub fn new(gz: impl Read + 'a) -> Self {
        Self { member: GzDecoder::new(Box::new(BufReader::with_capacity(64 << 10, gz))), is_first: true }
    }

    /// Goes on to the next member. Returns false if there is none.
    fn has_next(&mut self) -> io::Result<bool> {
        let mut gz = std::mem::replace(self.member.get_mut(), Box::new(io::empty()));
        let next = find_next(&mut gz);
        self.member.reset(gz);
        next
    }
}

impl Read for Gunzip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.member.read(buf) {
                Ok(0) if self.has_next()? => self.is_first = false,
                // The bytes begin like a member, but are none.
                Err(error) if !self.is_first && self.member.header().is_none() && is_bad_header(&error) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, OtherBytes));
                }
                other => return other,
            }
        }
    }
}

/// Returns whether the error is that of a bad gzip header (flate2: `bufread.rs`, `bad_header`).
fn is_bad_header(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn find_next(gz: &mut impl BufRead) -> io::Result<bool> {
    let mut padding = false;
    loop {
        let here = gz.fill_buf()?;
        let zeros = here.iter().take_while(|byte| **byte == 0).count();
        let (len, next) = (here.len(), here.get(zeros).copied());
        padding |= zeros > 0;
        gz.consume(zeros);
        match next {
            None if len == 0 => return Ok(false),
            None => {}
            Some(byte) if byte == MAGIC[0] && !padding => return Ok(true),
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, OtherBytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(gz: &[u8]) -> io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        Gunzip::new(gz).read_to_end(&mut raw).map(|_| raw)
    }

    #[test]
    fn padding_belongs_to_a_stream_and_other_bytes_do_not() {
        let two = [gz(b"one"), gz(b"two")].concat();
        for padding in [0, 1, 512, 200_000] {
            assert_eq!(read(&[&two[..], &vec![0; padding]].concat()).unwrap(), b"onetwo", "{padding}");
        }
        for behind in [&b"x"[..], b"\0\0x", b"\x1f", b"\x1f\x8bxx", b"\x1fxxxxxxxxxxxx"] {
            let error = read(&[&two[..], behind].concat()).unwrap_err();
            assert!(crate::compress::gzip::is_damage(&error), "{behind:?}: {error}");
        }
        assert!(read(&[&two[..], b"text"].concat()).unwrap_err().to_string().contains("other bytes"));
    }

    #[test]
    fn wrong_checksum_is_damage() {
        let (mut bytes, len) = (gz(b"text"), gz(b"text").len());
        bytes[len - 8] ^= 1;
        assert!(crate::compress::gzip::is_damage(&read(&bytes).unwrap_err()));
        assert_eq!(read(&bytes[..len - 3]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
