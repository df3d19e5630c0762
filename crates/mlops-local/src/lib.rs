#![doc = include_str!("../README.md")]

mod doctor;
pub mod fake;
mod files;
mod inspect;
mod lock;
mod paths;
mod ports;
mod postgres;
mod programs;
pub mod providers;
pub mod python;
mod secrets;
mod storage;
pub mod supervisor;
mod tail;
mod target;

pub use doctor::{Check, Hint, doctor};
pub use lock::PlatformLock;
pub use paths::{Folders, Roots, default_roots};
pub use ports::{LocalEndpoints, PortBook};
pub use postgres::{OLDEST as OLDEST_POSTGRES, PostgresProgram, PostgresSearch};
pub use programs::{CachedPython, LocalPrograms, OnText, Programs, PythonApi, PythonPlace};
pub use secrets::{FileSecretStore, generate_password};
pub use storage::{DiskStorage, Layout, NewData, Size, StorageApi};
pub use supervisor::{Supervise, become_child, supervise};
pub use tail::Tail;
pub use target::{Follow, LocalOptions, LocalTarget};
