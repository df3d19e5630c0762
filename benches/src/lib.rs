//! Load programs: one binary a server kind in `src/bin`, each prints its figures as one line of JSON.
//!
//! They are run by `cargo xtask bench`, which starts the servers, runs ours and the peer's in turns and writes the
//! page. A program here does only what costs little: what it measures shall be the server.
