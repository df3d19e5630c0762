//! Fingerprints of values.

use std::fmt;
use std::io::{self, BufWriter, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a value's JSON: the same for the same value, different for different ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

struct Sink(Sha256);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Digest {
    /// The digest of a value. Maps must have ordered keys, which all of ours have.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        // JSON is written in very small pieces, which hashed one by one cost more than their hash.
        let mut sink = BufWriter::new(Sink(Sha256::new()));
        // A value of ours that cannot be JSON cannot be planned with either; its digest differs from all others.
        if let Err(error) = serde_json::to_writer(&mut sink, value) {
            sink.get_mut().0.update(error.to_string());
        }
        match sink.into_inner() {
            Ok(sink) => Self::finish(sink.0),
            // Writing to a hash cannot fail.
            Err(error) => Self::of_bytes(error.to_string().as_bytes()),
        }
    }

    /// The digest of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new().chain_update(bytes))
    }

    fn finish(hash: Sha256) -> Self {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in hash.finalize() {
            for half in [byte >> 4, byte & 15] {
                text.extend(
                    DIGITS
                        .get(usize::from(half))
                        .map(|digit| char::from(*digit)),
                );
            }
        }
        Self(text)
    }

    /// All 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 digits, enough for a name.
    pub fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
