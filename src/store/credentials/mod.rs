//! Credentials that nobody wrote into our settings: from a vendor's variables and files, from token services, and
//! from the metadata service of a cloud. object_store knows most of them; here is what it lacks, and what keeps it
//! from waiting for a metadata service that is not there.

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
