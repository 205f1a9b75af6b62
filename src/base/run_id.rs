//! Six hexadecimal digits that make a run's names unique.

use ring::rand::{SecureRandom, SystemRandom};

use super::units::hex;

/// A new one.
pub fn run_id() -> String {
    let mut bytes = [0; 3];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without the kernel's random numbers, the clock's last digits must do.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes.copy_from_slice(&now.subsec_nanos().to_le_bytes()[..3]);
    }
    hex(&bytes)
}
