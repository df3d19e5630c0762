//! The end of a file that grows and is turned over.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_core::Result;

use crate::files::io_error;
use crate::supervisor::aged;
use crate::target::Follow;

/// How often a file is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Gives the lines of a file, one at a time.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    follow: Follow,
    first: std::vec::IntoIter<String>,
    open: Option<BufReader<File>>,
    part: Vec<u8>,
}

impl Tail {
    /// Begins `lines` lines before the end, counting those of the file that was turned over last as well.
    pub(crate) fn open(path: PathBuf, follow: Follow, lines: usize) -> Result<Self> {
        let failed = |error| io_error(format!("read `{}`", path.display()), error);
        let mut last = std::collections::VecDeque::new();
        let mut open = None;
        for age in [1, 0] {
            let Some(mut reader) = open_if_there(&aged(&path, age)).map_err(failed)? else {
                continue;
            };
            let mut piece = Vec::new();
            while reader.read_until(b'\n', &mut piece).map_err(failed)? > 0 {
                if lines > 0 {
                    if last.len() == lines {
                        last.pop_front();
                    }
                    last.push_back(text(&piece));
                }
                piece.clear();
            }
            open = (age == 0).then_some(reader);
        }
        Ok(Self {
            path,
            follow,
            first: last.into_iter().collect::<Vec<_>>().into_iter(),
            open,
            part: Vec::new(),
        })
    }

    /// The next line without its end; `None` at the end of a file that is not followed. May be dropped at any time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<String>> {
        if let Some(line) = self.first.next() {
            return Ok(Some(line));
        }
        if self.follow == Follow::No {
            return Ok(None);
        }
        loop {
            let read = self.read();
            if let Some(line) =
                read.map_err(|error| io_error(format!("read `{}`", self.path.display()), error))?
            {
                return Ok(Some(line));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn read(&mut self) -> io::Result<Option<String>> {
        if let Some(open) = &mut self.open {
            open.read_until(b'\n', &mut self.part)?;
            if self.part.ends_with(b"\n") {
                let line = text(&self.part);
                self.part.clear();
                return Ok(Some(line));
            }
            // Only when this one is read to its end is there a need to look for its successor.
            let same = match (open.get_ref().metadata(), fs::metadata(&self.path)) {
                (Ok(open), Ok(there)) => open.ino() == there.ino() && open.dev() == there.dev(),
                _ => true,
            };
            if same {
                return Ok(None);
            }
        }
        self.open = open_if_there(&self.path)?;
        Ok(None)
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn the_end_is_found_and_followed_over_a_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::write(aged(&path, 1), "a\nb\n").unwrap();
        fs::write(&path, "c\n").unwrap();
        let mut tail = Tail::open(path.clone(), Follow::No, 2).unwrap();
        assert_eq!(tail.next().await.unwrap().unwrap(), "b");
        assert_eq!(tail.next().await.unwrap().unwrap(), "c");
        assert_eq!(tail.next().await.unwrap(), None);
        let mut tail = Tail::open(path.clone(), Follow::Yes, 0).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        write!(file, "half").unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(250), tail.next()).await;
        assert!(waiting.is_err());
        writeln!(file, " and half").unwrap();
        fs::rename(&path, aged(&path, 1)).unwrap();
        fs::write(&path, "new\n").unwrap();
        assert_eq!(tail.next().await.unwrap().unwrap(), "half and half");
        assert_eq!(tail.next().await.unwrap().unwrap(), "new");
    }
}
