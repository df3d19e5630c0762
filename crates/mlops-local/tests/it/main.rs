//! Real processes, real files, real sockets.

mod supervisor;
mod world;
