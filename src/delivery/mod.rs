//! From a source to a stored object.

pub mod download;
pub mod spooled;
pub mod streamed;
