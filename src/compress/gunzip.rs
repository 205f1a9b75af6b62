//! Reads gzip members in a row as one stream. Zero bytes behind the last member are padding, as on a tape or a block
//! device, and belong to it (gzip(1), "Special use"). Other bytes there are reported as such.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::gzip::MAGIC;

/// The bytes behind the last member are neither a member nor padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes follow the last member of the gzip stream")]
pub struct OtherBytes(u64);

impl OtherBytes {
    /// Returns whether the error is this one.
    pub fn are_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Counts the bytes that were consumed.
struct Counted<'a> {
    gz: Box<dyn BufRead + 'a>,
    consumed: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.gz.read(buf)?;
        self.consumed += n as u64;
        Ok(n)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.gz.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.consumed += n as u64;
        self.gz.consume(n);
    }
}

impl Counted<'_> {
    /// Reads to the end. Returns the error for all bytes behind `end`, where the last member ended.
    fn others(&mut self, end: u64) -> io::Error {
        match io::copy(self, &mut io::sink()) {
            Ok(_) => io::Error::new(io::ErrorKind::InvalidData, OtherBytes(self.consumed - end)),
            Err(error) => error,
        }
    }
}

/// Reads gzip members in a row.
pub struct Gunzip<'a> {
    member: GzDecoder<Counted<'a>>,
    is_first: bool,
    /// The offset at which the member before this one ended.
    end: u64,
}

impl std::fmt::Debug for Gunzip<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gunzip").finish_non_exhaustive()
    }
}

impl<'a> Gunzip<'a> {
    pub fn new(gz: impl Read + 'a) -> Self {
        let gz = Counted { gz: Box::new(BufReader::with_capacity(64 << 10, gz)), consumed: 0 };
        Self { member: GzDecoder::new(gz), is_first: true, end: 0 }
    }

    /// Goes on to the next member. Returns false if there is none.
    fn has_next(&mut self) -> io::Result<bool> {
        let nothing = Counted { gz: Box::new(io::empty()), consumed: 0 };
        let mut gz = std::mem::replace(self.member.get_mut(), nothing);
        self.end = gz.consumed;
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
                    return Err(self.member.get_mut().others(self.end));
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

fn find_next(gz: &mut Counted<'_>) -> io::Result<bool> {
    let (mut padding, end) = (false, gz.consumed);
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
            Some(_) => return Err(gz.others(end)),
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
        for (behind, n) in [(&b"text"[..], 4), (b"\0\0x", 3), (b"\x1f\x8bxxxxxxxxxx", 12), (b"\x1fxxxxxxxxxxxx", 13)] {
            let error = read(&[&two[..], behind].concat()).unwrap_err();
            assert_eq!(error.to_string(), format!("{n} bytes follow the last member of the gzip stream"), "{behind:?}");
        }
    }

    #[test]
    fn wrong_checksum_is_damage() {
        let (mut bytes, len) = (gz(b"text"), gz(b"text").len());
        bytes[len - 8] ^= 1;
        assert!(crate::compress::gzip::is_damage(&read(&bytes).unwrap_err()));
        assert_eq!(read(&bytes[..len - 3]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
