//! Streams for unit tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::printer::Streams;

/// Keeps what is written.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What was written.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose other end is closed.
pub(crate) struct NobodyReads;

impl Write for NobodyReads {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file on a full disk.
pub(crate) struct FullDisk;

impl Write for FullDisk {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Streams without a terminal and without input.
pub(crate) fn streams(out: Captured, err: Captured) -> Streams {
    Streams {
        stdin: Box::new(io::empty()),
        stdin_is_terminal: false,
        stdout: Box::new(out),
        stdout_is_terminal: false,
        stderr: Box::new(err),
        stderr_is_terminal: false,
    }
}
