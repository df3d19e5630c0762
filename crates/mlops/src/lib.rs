#![doc = include_str!("../README.md")]

pub mod engine;
pub mod secrets;
pub mod session;
pub mod surroundings;

pub use engine::{ApplyOptions, Engine, Patience, Prepared, ProbeChoice};
pub use session::{Session, SessionOptions, UpOptions};
