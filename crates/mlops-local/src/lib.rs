#![doc = include_str!("../README.md")]

mod files;
mod inspect;
mod lock;
mod paths;
mod ports;
mod secrets;
pub mod supervisor;

pub use lock::PlatformLock;
pub use paths::{Folders, Roots, default_roots};
pub use ports::{LocalEndpoints, PortBook};
pub use secrets::{FileSecretStore, generate_password};
pub use supervisor::{Supervise, become_child, supervise};
