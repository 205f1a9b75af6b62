//! Credentials from outside of our settings: variables and files of a vendor, token services, and the metadata service
//! of a cloud. object_store supports most of them. This module adds those that it lacks, and prevents long waits for a
//! metadata service that does not exist.

pub mod aliyun;
pub mod aws;
pub mod azure;
mod container;
mod environment;
mod error;
mod exchange;
pub mod google;
mod google_account;
mod google_metadata;
mod ini;
mod instance;
mod metadata;
mod profile;
mod refreshed;
mod web_identity;

pub use environment::Environment;
pub use error::{CredentialsError, TokenError};
pub use refreshed::{Ends, is_token, longest_seconds};
