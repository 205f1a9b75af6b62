//! Keeps the SHA-256 of each page of an object whose file another user can write. The object is read once, and compared
//! with its known hash. From then on, each page is compared with that first reading. If that user changes the file
//! meanwhile, the read fails, and no byte of the change goes out.
//!
//! Size and times of the file prove less. Its owner sets its mtime. A page that the owner has mapped changes without
//! any time of the file (Linux: `file_update_time` is called when the page becomes writable, not at each store).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};

use super::pages::PAGE;
use crate::base::units::hex;

type Hash = [u8; SHA256_OUTPUT_LEN];

/// The hashes of an object's pages.
#[derive(Debug)]
pub struct PageHashes {
    bytes: u64,
    hashes: Vec<Hash>,
    /// The number and bytes of the page that was read last: readers take less than a page at a time.
    last: Mutex<(Option<usize>, Vec<u8>)>,
    changed: Arc<AtomicBool>,
}

impl PageHashes {
    /// Reads an object of `bytes` once. `read` fills a buffer from an offset.
    ///
    /// # Errors
    /// Errors of `read`. `InvalidData` if the SHA-256 of the whole object is not `sha256`.
    pub fn of(bytes: u64, sha256: &str, read: impl Fn(&mut [u8], u64) -> io::Result<()>) -> io::Result<Self> {
        let (mut whole, mut hashes, mut page) = (Context::new(&SHA256), Vec::new(), Vec::new());
        let mut at = 0;
        while at < bytes {
            page.resize((bytes - at).min(PAGE as u64) as usize, 0);
            read(&mut page, at)?;
            whole.update(&page);
            hashes.push(hash_of(&page));
            at += page.len() as u64;
        }
        if hex(whole.finish().as_ref()) != sha256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was sealed"));
        }
        Ok(Self { bytes, hashes, last: Mutex::default(), changed: Arc::default() })
    }

    /// Fills `buf` from the object at `at`, by `read`.
    ///
    /// # Errors
    /// Errors of `read`. `InvalidData` if a page is not what it was.
    pub fn read_exact_at(
        &self,
        mut buf: &mut [u8],
        mut at: u64,
        read: impl Fn(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        while !buf.is_empty() {
            let (number, inside) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            if last.0 != Some(number) {
                *last = (None, std::mem::take(&mut last.1));
                self.load(number, &mut last.1, &read)?;
                last.0 = Some(number);
            }
            let here = last.1.get(inside..).filter(|here| !here.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
            let n = here.len().min(buf.len());
            buf[..n].copy_from_slice(&here[..n]);
            buf = &mut buf[n..];
            at += n as u64;
        }
        Ok(())
    }

    /// Returns a flag that becomes true when a page is not what it was before.
    pub fn has_changed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.changed)
    }

    fn load(
        &self,
        number: usize,
        page: &mut Vec<u8>,
        read: impl Fn(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let known = self.hashes.get(number).ok_or(io::ErrorKind::UnexpectedEof)?;
        let at = number as u64 * PAGE as u64;
        page.resize((self.bytes - at).min(PAGE as u64) as usize, 0);
        // A file that has become shorter has changed as well.
        let is_same = read(page, at).map(|()| hash_of(page) == *known);
        if matches!(&is_same, Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
            || matches!(is_same, Ok(false))
        {
            self.changed.store(true, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it was changed while it was read"));
        }
        is_same.map(|_| ())
    }
}

fn hash_of(page: &[u8]) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, page).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn changed_page_is_never_given_out() {
        let object: Vec<u8> = (0..2 * PAGE + 100).map(|i| (i / 5) as u8).collect();
        let sha256 = hex(digest(&SHA256, &object).as_ref());
        let file = RefCell::new(object.clone());
        let read = |buf: &mut [u8], at: u64| {
            let file = file.borrow();
            let from = file.get(at as usize..at as usize + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(from);
            Ok(())
        };
        let bytes = object.len() as u64;
        assert!(PageHashes::of(bytes, &"0".repeat(64), read).is_err());
        let hashes = PageHashes::of(bytes, &sha256, read).unwrap();
        let has_changed = || hashes.has_changed().load(Ordering::Relaxed);
        let mut buf = vec![0; PAGE];
        let odd = PAGE as u64 - 7;
        hashes.read_exact_at(&mut buf, odd, read).unwrap();
        assert!(buf == object[odd as usize..][..PAGE] && !has_changed());
        assert!(hashes.read_exact_at(&mut buf, bytes - 7, read).is_err() && !has_changed());
        file.borrow_mut()[2 * PAGE + 50] ^= 1;
        hashes.read_exact_at(&mut buf[..7], 0, read).unwrap();
        assert_eq!(
            hashes.read_exact_at(&mut buf[..7], bytes - 7, read).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert!(has_changed());
        file.replace(object[..PAGE].to_vec());
        assert!(PageHashes::of(bytes, &sha256, read).is_err());
        assert_eq!(hashes.read_exact_at(&mut buf, odd, read).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
