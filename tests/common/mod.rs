//! The test bed: real JVMs as children or in containers, and an independent reader of their dumps.
//! `tests/bed/install.sh` fetches what it needs; what is missing is skipped loudly, and fails where CI=true.
#![allow(dead_code)]

pub mod api_server;
pub mod azurite;
pub mod bed;
pub mod browser;
pub mod console;
pub mod container;
pub mod dns;
pub mod gcs;
pub mod heap_fields;
pub mod heap_graph;
pub mod heap_shares;
pub mod hostile_jvm;
pub mod hostile_store;
pub mod hprof_check;
pub mod hprof_stream;
pub mod jvm;
pub mod killed_run;
pub mod kubectl;
pub mod manifest;
pub mod messages;
pub mod pages;
pub mod preload;
pub mod random_access;
pub mod recorder;
pub mod relay;
pub mod s3;
pub mod sampled_objects;
pub mod schema;
pub mod secrets;
pub mod shape;
pub mod tokens;
pub mod tool;
pub mod waiting;
pub mod webdav;
