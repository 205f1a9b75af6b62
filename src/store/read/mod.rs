//! The reading side of a store.

pub mod link;
pub mod listing;
pub mod local_listing;
pub mod objects;
