//! The object in the store: its key, its parts, what is stored, and the receipt that tells of it.

pub mod classes;
pub mod key;
pub mod part_size;
pub mod pod;
pub mod receipt;
pub mod stored;
