//! The checksums that object stores name, each by one table, with the names of the crate `crc-fast`.
#![forbid(unsafe_code)]

/// The algorithms, by their names in the CRC catalogue (reveng.sourceforge.io/crc-catalogue). All are reflected, and
/// begin and end with all bits inverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    Crc32IsoHdlc,
    Crc32Iscsi,
    Crc64Nvme,
}

/// The remainders of each byte, and all bits of the width.
#[derive(Debug)]
struct Table([u64; 256], u64);

static CRC32_ISO_HDLC: Table = Table::of(0xedb8_8320, u32::MAX as u64);
static CRC32_ISCSI: Table = Table::of(0x82f6_3b78, u32::MAX as u64);
static CRC64_NVME: Table = Table::of(0x9a6c_9329_ac4b_c9b5, u64::MAX);

impl Table {
    const fn of(polynomial: u64, all_bits: u64) -> Self {
        let mut remainders = [0; 256];
        let mut byte = 0;
        while byte < remainders.len() {
            let mut rest = byte as u64;
            let mut bit = 0;
            while bit < 8 {
                rest = if rest & 1 == 1 { rest >> 1 ^ polynomial } else { rest >> 1 };
                bit += 1;
            }
            remainders[byte] = rest;
            byte += 1;
        }
        Self(remainders, all_bits)
    }
}

/// A checksum of bytes that come in pieces.
#[derive(Debug, Clone)]
pub struct Digest {
    table: &'static Table,
    rest: u64,
}

impl Digest {
    #[must_use]
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        let table = match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => &CRC32_ISO_HDLC,
            CrcAlgorithm::Crc32Iscsi => &CRC32_ISCSI,
            CrcAlgorithm::Crc64Nvme => &CRC64_NVME,
        };
        Self { table, rest: table.1 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.rest = self.rest >> 8 ^ self.table.0[usize::from(self.rest as u8 ^ byte)];
        }
    }

    #[must_use]
    pub fn finalize(&self) -> u64 {
        self.rest ^ self.table.1
    }
}
