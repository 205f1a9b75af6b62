//! Six hexadecimal digits that make the names of a run unique.

use ring::rand::{SecureRandom, SystemRandom};

use super::units::hex;

/// Returns a new run id.
pub fn run_id() -> String {
    let mut bytes = [0; 3];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without random numbers from the kernel, the nanoseconds of the clock have to do.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes.copy_from_slice(&now.subsec_nanos().to_le_bytes()[..3]);
    }
    hex(&bytes)
}
