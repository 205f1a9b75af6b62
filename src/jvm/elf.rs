//! Finds a section in an ELF file (elf(5)). Does no I/O: the caller passes a read function. Only 64-bit little-endian
//! files, as on all machines that we build for.

/// The section in which a GraalVM native image keeps its heap (graal: `NativeImage.java`, `SectionName.SVM_HEAP`).
pub const SVM_HEAP: &str = ".svm_heap";

/// Most sections that are accepted; real files have fewer.
const SECTIONS_MAX: u16 = 2000;

/// Most bytes of the table of section names that are read.
const NAMES_MAX: u64 = 1 << 20;

/// Returns whether the table of section names contains `name`. `read` returns `len` bytes at an offset.
pub fn has_section(name: &str, read: impl Fn(u64, usize) -> Option<Vec<u8>>) -> bool {
    section_names(read).is_some_and(|names| names.split(|byte| *byte == 0).any(|entry| entry == name.as_bytes()))
}

fn section_names(read: impl Fn(u64, usize) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let header = read(0, 64)?;
    // ELFCLASS64, ELFDATA2LSB.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = u64_at(&header, 0x28)?;
    let (entry_size, count, names) = (u16_at(&header, 0x3a)?, u16_at(&header, 0x3c)?, u16_at(&header, 0x3e)?);
    if count > SECTIONS_MAX || names >= count {
        return None;
    }
    let entry = read(table.checked_add(u64::from(entry_size) * u64::from(names))?, 64)?;
    let (offset, size) = (u64_at(&entry, 0x18)?, u64_at(&entry, 0x20)?);
    read(offset, usize::try_from(size.min(NAMES_MAX)).ok()?)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(bytes: &[u8]) -> impl Fn(u64, usize) -> Option<Vec<u8>> + '_ {
        |at, len| {
            let at = usize::try_from(at).ok()?;
            bytes.get(at..at.checked_add(len)?).map(<[u8]>::to_vec)
        }
    }

    #[test]
    fn the_sections_of_this_very_program_are_found() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        assert!(has_section(".text", read_of(&program)));
        assert!(!has_section(SVM_HEAP, read_of(&program)));
    }

    #[test]
    fn other_files_have_no_sections() {
        assert!(!has_section(".text", read_of(b"#!/bin/sh\n")));
        assert!(!has_section(".text", read_of(&[b"\x7fELF\x02\x01".as_slice(), &[0xff; 64]].concat())));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let bytes = [b"\x7fELF\x02\x01".as_slice(), &bytes].concat();
            let _ = has_section(".text", read_of(&bytes));
        }
    }
}
