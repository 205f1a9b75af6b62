//! Reading from a store.

pub mod link;
pub mod listed;
pub mod listing;
pub mod local_listing;
pub mod pages;
mod remote_client;
pub mod store_reader;
