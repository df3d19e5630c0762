//! Logs of processes: written line by line as they come, turned over by size.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::protocol::WireSecret;

/// How large a log grows, and how many older ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes after which a log is turned over. Default 10 MB.
    pub bytes: u64,
    /// How many older logs stay beside the newest. Default 4.
    pub keep: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            bytes: 10_000_000,
            keep: 4,
        }
    }
}

/// A line is cut into pieces of this many bytes, so that a program that never ends one cannot fill the memory.
const LONGEST_PIECE: u64 = 64 << 10;
/// How many lines are remembered to explain a failure.
const REMEMBERED: usize = 20;

/// A file that is turned over when it has grown.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    open: Option<(File, u64)>,
}

impl RotatingFile {
    pub(crate) fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self {
            path,
            rotation,
            open: None,
        }
    }

    /// Appends one piece. After an error the file is opened anew the next time, so a disk that was full once does
    /// not end the log.
    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let written = self.try_write(piece);
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn try_write(&mut self, piece: &[u8]) -> io::Result<()> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if let Some((_, size)) = &self.open
            && *size > 0
            && size.saturating_add(length) > self.rotation.bytes
        {
            self.open = None;
            turn_over(&self.path, self.rotation.keep)?;
        }
        if self.open.is_none() {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
            if size > 0 && size.saturating_add(length) > self.rotation.bytes {
                return self.try_write(piece);
            }
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(piece)?;
            *size = size.saturating_add(length);
        }
        Ok(())
    }
}

/// The log that is `age` turns old; 0 is the newest.
pub(crate) fn aged(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

fn turn_over(path: &Path, keep: u32) -> io::Result<()> {
    let missing_is_fine = |done: io::Result<()>| match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    missing_is_fine(fs::remove_file(aged(path, keep)))?;
    for age in (0..keep).rev() {
        missing_is_fine(fs::rename(aged(path, age), aged(path, age + 1)))?;
    }
    Ok(())
}

/// The last lines of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == REMEMBERED {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// All that are remembered, oldest first.
    pub(super) fn all(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// The newest one.
    pub(super) fn newest(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.back().cloned()
    }

    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// What is written about one run of a process.
#[derive(Debug)]
pub(super) struct LogPump {
    ended: watch::Receiver<bool>,
}

impl LogPump {
    /// Takes everything that comes out of `from` into the file until all writers have closed it. A thread of its
    /// own, so that a slow disk never holds up the supervisor.
    pub(super) fn start(
        from: PipeReader,
        mut file: RotatingFile,
        hidden: Vec<WireSecret>,
        lines: LastLines,
    ) -> io::Result<Self> {
        let (tell, ended) = watch::channel(false);
        std::thread::Builder::new()
            .name("log".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                let mut from = BufReader::new(from);
                while let Ok(Some(piece)) = next_piece(&mut from) {
                    let piece = hide(piece, &hidden);
                    if let Err(error) = file.write(&piece) {
                        tracing::warn!(%error, "a line of a log is lost");
                    }
                    let text = String::from_utf8_lossy(&piece);
                    let text = text.trim_end();
                    if !text.is_empty() {
                        lines.push(text.chars().take(500).collect());
                    }
                }
                tell.send_replace(true);
            })?;
        Ok(Self { ended })
    }

    /// Waits until everything is written, at most `limit`: a grandchild may hold the pipe open.
    pub(super) async fn drained(&mut self, limit: Duration) {
        let ended = self.ended.wait_for(|ended| *ended);
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::debug!("a log is still written to after its process ended");
        }
    }
}

/// The next line with its end, or a part of one that is too long.
fn next_piece(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut piece = Vec::new();
    from.take(LONGEST_PIECE).read_until(b'\n', &mut piece)?;
    Ok((!piece.is_empty()).then_some(piece))
}

/// Puts dots where a program printed one of its secrets.
fn hide(piece: Vec<u8>, hidden: &[WireSecret]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&piece) else {
        return piece;
    };
    let printed: Vec<&WireSecret> = hidden
        .iter()
        .filter(|secret| secret.expose().len() >= 8 && text.contains(secret.expose()))
        .collect();
    if printed.is_empty() {
        return piece;
    }
    printed
        .iter()
        .fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose(), "…")
        })
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_turned_over_hidden_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let (reader, mut writer) = io::pipe().unwrap();
        let lines = LastLines::default();
        let rotation = Rotation {
            bytes: 100,
            keep: 2,
        };
        let hidden = vec![WireSecret::new("correct-horse")];
        let file = RotatingFile::new(path.clone(), rotation);
        let mut pump = LogPump::start(reader, file, hidden, lines.clone()).unwrap();
        for number in 0..40 {
            writeln!(writer, "line {number} correct-horse").unwrap();
        }
        writer.write_all(b"no end").unwrap();
        drop(writer);
        pump.drained(Duration::from_secs(5)).await;
        let newest = fs::read_to_string(&path).unwrap();
        assert!(newest.ends_with("line 39 …\nno end"), "{newest}");
        for age in 0..=2 {
            let text = fs::read_to_string(aged(&path, age)).unwrap();
            assert!(
                text.len() <= 100 && !text.contains("correct-horse"),
                "{text}"
            );
            assert!(text.starts_with("line "), "{text}");
        }
        assert!(!aged(&path, 3).exists());
        assert_eq!(lines.newest().unwrap(), "no end");
        assert_eq!(lines.all().len(), REMEMBERED);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let endless = vec![b'x'; 200_000];
        let mut from = &endless[..];
        let piece = next_piece(&mut from).unwrap().unwrap();
        assert_eq!(piece.len(), 64 << 10);
    }
}
