//! The sizes of the parts in which an object is sent.

/// The smallest part that S3 accepts, except for the last one (AWS: "Amazon S3 multipart upload limits").
pub const PART_MIN: u64 = 5 << 20;

/// Most parts of an object in S3 (the same page). Azure accepts more.
const PARTS_MAX: u64 = 10_000;

/// Returns the part size, in whole MiB, with which `upper_bytes` fit into the number of parts that a store accepts.
pub fn part_size(upper_bytes: Option<u64>) -> u64 {
    let needed = upper_bytes.unwrap_or(0).div_ceil(PARTS_MAX);
    needed.next_multiple_of(1 << 20).max(PART_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_always_suffice() {
        assert_eq!(part_size(None), PART_MIN);
        assert_eq!(part_size(Some(40 << 30)), PART_MIN);
        let huge = 400 << 30;
        assert!(part_size(Some(huge)) * PARTS_MAX >= huge);
        assert_eq!(part_size(Some(huge)) % (1 << 20), 0);
    }
}
