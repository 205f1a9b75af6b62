//! The object in the store: its key, the sizes of its parts, its digest and its receipt.

pub mod artefact;
pub mod classes;
pub mod comparison;
pub mod key;
pub mod notice;
pub mod part_size;
mod place;
pub mod pod;
pub mod receipt;
pub mod stored;
