//! Walking a bucket in the order of its keys.

use std::io;
use std::path::{Path, PathBuf};

use crate::file::{self, Meta};
use crate::names::{self, Entry};

/// What a listing asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    /// Only lines that come after this: keys, and prefixes that keys are
    /// rolled up to. So does the Versity S3 gateway (`backend/walk.go` of
    /// `versity/versitygw`, with its tests of `boo/` as marker).
    pub(crate) after: String,
    pub(crate) limit: usize,
}

/// One line of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Object(Box<Meta>),
    /// All keys that start with this, rolled up.
    Prefix(String),
}

impl Line {
    /// The text that lines are ordered by.
    pub(crate) fn sorted_by(&self) -> &str {
        match self {
            Self::Object(meta) => &meta.key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// One page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) lines: Vec<Line>,
    /// Whether there is more.
    pub(crate) truncated: bool,
}

/// A folder that is being walked: what is still to visit, last first.
struct Level {
    /// Start of all keys in it.
    key: String,
    todo: Vec<Entry>,
}

struct Walk<'a> {
    query: &'a Query,
    levels: Vec<Level>,
    /// Keys that start with this are rolled up already.
    skip: Option<String>,
}

impl Walk<'_> {
    /// Whether there can be wanted keys at `full`: a key, or for a folder the
    /// start of keys.
    fn wanted(&self, full: &str, folder: bool) -> bool {
        let Query { prefix, after, .. } = self.query;
        if self
            .skip
            .as_ref()
            .is_some_and(|s| full.starts_with(s.as_str()))
        {
            return false;
        }
        let on_the_way = |goal: &str| folder && goal.starts_with(full);
        (full.starts_with(prefix.as_str()) || on_the_way(prefix))
            && (full > after.as_str() || on_the_way(after))
    }

    fn enter(&mut self, key: String, folder: &Path) -> io::Result<()> {
        let mut todo = names::read_folder(folder, |name| {
            self.wanted(&format!("{key}{name}"), name.ends_with('/'))
        })?;
        todo.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        self.levels.push(Level { key, todo });
        Ok(())
    }

    /// The next entry in order, with its full key.
    fn next(&mut self) -> Option<(String, PathBuf, bool)> {
        loop {
            let level = self.levels.last_mut()?;
            match level.todo.pop() {
                Some(entry) => {
                    let full = format!("{}{}", level.key, entry.name);
                    // Not of the full key: that of an object with an empty last
                    // segment ends in `/` as well.
                    let folder = entry.name.ends_with('/');
                    if self.wanted(&full, folder) {
                        return Some((full, entry.path, folder));
                    }
                }
                None => {
                    self.levels.pop();
                }
            }
        }
    }
}

/// What a key is rolled up to.
fn group<'k>(key: &'k str, query: &Query) -> Option<&'k str> {
    let delimiter = query.delimiter.as_deref().filter(|d| !d.is_empty())?;
    let rest = key.get(query.prefix.len()..)?;
    let at = rest.find(delimiter)?;
    key.get(..query.prefix.len() + at + delimiter.len())
}

/// Reads one page. Only folders on the way to it are read.
pub(crate) fn list(objects: &Path, query: &Query) -> io::Result<Page> {
    let mut page = Page::default();
    if query.limit == 0 {
        return Ok(page);
    }
    let mut walk = Walk {
        query,
        levels: Vec::new(),
        skip: None,
    };
    match query.prefix.rsplit_once('/') {
        Some((folders, _)) => {
            walk.enter(format!("{folders}/"), &names::folder_path(objects, folders))?;
        }
        None => walk.enter(String::new(), objects)?,
    }
    while let Some((full, path, folder)) = walk.next() {
        let line = if folder {
            match group(&full, query) {
                // The whole folder is rolled up: one object in it is enough.
                Some(rolled) if rolled == full => {
                    if full <= query.after || !names::holds_a_file(&path)? {
                        continue;
                    }
                    Line::Prefix(full)
                }
                _ => {
                    walk.enter(full, &path)?;
                    continue;
                }
            }
        } else {
            match group(&full, query) {
                Some(rolled) if rolled <= query.after.as_str() => {
                    walk.skip = Some(rolled.to_owned());
                    continue;
                }
                Some(rolled) => Line::Prefix(rolled.to_owned()),
                None => match read(&path)? {
                    Some(meta) => Line::Object(Box::new(meta)),
                    None => continue,
                },
            }
        };
        if page.lines.len() == query.limit {
            page.truncated = true;
            break;
        }
        if let Line::Prefix(rolled) = &line {
            walk.skip = Some(rolled.clone());
        }
        page.lines.push(line);
    }
    Ok(page)
}

/// The metadata of an object; `None` for one that vanished since the folder
/// was read, or a file that is not ours.
fn read(path: &Path) -> io::Result<Option<Meta>> {
    match file::open(path) {
        Ok((_, meta)) => Ok(Some(meta)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory
            ) =>
        {
            tracing::warn!(path = %path.display(), "not an object file, left out");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}
