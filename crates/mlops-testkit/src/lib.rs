#![doc = include_str!("../README.md")]

pub mod home;
pub mod kubernetes;
pub mod mlflow;
pub mod mlserver;
pub mod oip_server;
pub mod postgres;
pub mod python;
mod server;
pub mod sim;
pub mod versity;
mod web;
