//! Reading from a store.

pub mod link;
pub mod listing;
pub mod local_listing;
pub mod objects;
