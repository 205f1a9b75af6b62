//! The checksums below the object stores: our crate in the place of `crc-fast`.

use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc32IsoHdlc, Crc64Nvme};
use crc_fast::Digest;

/// The check values of the CRC catalogue (reveng.sourceforge.io/crc-catalogue) for the bytes `123456789`.
#[test]
fn checksums_of_the_catalogue_are_right() {
    for (algorithm, check) in
        [(Crc32IsoHdlc, 0xcbf4_3926), (Crc32Iscsi, 0xe306_9283), (Crc64Nvme, 0xae8b_1486_0a79_9888)]
    {
        let mut digest = Digest::new(algorithm);
        digest.update(b"1234");
        digest.update(b"56789");
        assert_eq!(digest.finalize(), check, "{algorithm:?}");
    }
}
