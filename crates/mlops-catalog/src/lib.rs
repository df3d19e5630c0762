#![doc = include_str!("../README.md")]

mod catalog;
pub mod component;
mod embedded;
mod resolve;

pub use catalog::Catalog;
pub use component::{Component, Profile, Sample};
pub use resolve::{TOOLS_IMAGE, UsedImage, images, load, resolve, tools_image};
