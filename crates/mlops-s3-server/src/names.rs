//! Where a key lives on disk, and back.
//!
//! A key is cut at `/`. Each segment but the last is a folder, the last one a
//! file. Names are escaped so that they are the same on file systems that
//! ignore case and can never mean another folder:
//!
//! - `a`-`z`, `0`-`9` and `-_.=+@,` stay, `A`-`Z` become `^a`-`^z`, every
//!   other byte becomes `%xx`;
//! - folders end in `.d` and objects in `.o`, so `a` and `a/b` live side by
//!   side, and an empty segment still has a name;
//! - an escaped segment over 200 bytes is cut into pieces, all but the last
//!   being folders that end in `.c`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longest piece of an escaped segment; with its suffix well below the 255
/// bytes that file systems allow.
const PIECE: usize = 200;

/// One name in a folder, decoded.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The segment; with a `/` at the end when it is a folder. Sorting by this
    /// sorts by the full keys.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
}

fn encode(segment: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(segment.len() + 8);
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'=' | b'+' | b'@' | b',' => {
                out.push(char::from(byte));
            }
            b'A'..=b'Z' => {
                out.push('^');
                out.push(char::from(byte.to_ascii_lowercase()));
            }
            _ => {
                out.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    out.push(
                        HEX.get(usize::from(nibble))
                            .copied()
                            .map_or('0', char::from),
                    );
                }
            }
        }
    }
    out
}

/// The segment behind an escaped name; `None` for a name we never write.
fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'^' => bytes.push(rest.next()?.to_ascii_uppercase()),
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    let segment = String::from_utf8(bytes).ok()?;
    (encode(&segment) == name).then_some(segment)
}

fn push(path: &mut PathBuf, segment: &str, suffix: &str) {
    let encoded = encode(segment);
    let mut rest = encoded.as_str();
    while rest.len() > PIECE {
        let (piece, tail) = rest.split_at(PIECE);
        path.push(format!("{piece}.c"));
        rest = tail;
    }
    path.push(format!("{rest}{suffix}"));
}

/// File of the object with this key.
pub(crate) fn object_path(objects: &Path, key: &str) -> PathBuf {
    let (folders, last) = key.rsplit_once('/').map_or(("", key), |(a, b)| (a, b));
    let mut path = if key.contains('/') {
        folder_path(objects, folders)
    } else {
        objects.to_path_buf()
    };
    push(&mut path, last, ".o");
    path
}

/// Folder of the keys that start with `folders` and a `/`.
pub(crate) fn folder_path(objects: &Path, folders: &str) -> PathBuf {
    let mut path = objects.to_path_buf();
    for segment in folders.split('/') {
        push(&mut path, segment, ".d");
    }
    path
}

/// Everything in one folder that `wanted` lets through, in no order. Names we
/// never write are left out. A folder that is gone is empty.
pub(crate) fn read_folder(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_path_buf(), String::new())];
    while let Some((dir, before)) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let file_name = entry?.file_name();
            let Some(file_name) = file_name.to_str() else {
                continue;
            };
            let Some((stem, suffix)) = file_name.rsplit_once('.') else {
                continue;
            };
            if stem.len() > PIECE || (stem.is_empty() && !before.is_empty()) {
                continue;
            }
            let encoded = format!("{before}{stem}");
            let slash = match suffix {
                "c" if stem.len() == PIECE => {
                    open.push((dir.join(file_name), encoded));
                    continue;
                }
                "o" => "",
                "d" => "/",
                _ => continue,
            };
            let Some(mut name) = decode(&encoded) else {
                continue;
            };
            name.push_str(slash);
            if wanted(&name) {
                found.push(Entry {
                    name,
                    path: dir.join(file_name),
                });
            }
        }
    }
    Ok(found)
}

/// Whether there is any file at all below `folder`, ours or not.
pub(crate) fn holds_a_file(folder: &Path) -> io::Result<bool> {
    let mut open = vec![folder.to_path_buf()];
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(_) => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn keys_that_look_alike_have_files_of_their_own() {
        let keys = [
            "a", "a/", "a//", "/a", "//a", "a/b", "a//b", ".", "..", "../..", "A", "%41", "^a",
            "a.o", "a.d", "a.d/b", "", "é", "e\u{301}",
        ];
        let mut paths: Vec<_> = keys
            .iter()
            .map(|k| object_path(Path::new("r"), k))
            .collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), keys.len());
    }

    proptest! {
        #[test]
        fn a_path_stays_below_the_folder_and_fits_the_file_system(key in "(?s).{1,341}") {
            let path = object_path(Path::new("r"), &key);
            prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            prop_assert!(path.components().all(|c| c.as_os_str().len() <= 255));
            prop_assert!(path.as_os_str().len() < 3200);
            prop_assert!(path.starts_with("r"));
        }

        #[test]
        fn a_segment_survives_the_round_trip(segment in "(?s)[^/]{0,300}") {
            let dir = tempfile::tempdir().unwrap();
            let path = object_path(dir.path(), &segment);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            let found = read_folder(dir.path(), |_| true).unwrap();
            prop_assert_eq!(found, vec![Entry { name: segment, path }]);
        }
    }

    #[test]
    fn foreign_names_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["README", "Upper.o", "bad%zz.o", "x.c", "y.txt", ".DS_Store"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(read_folder(dir.path(), |_| true).unwrap(), vec![]);
        assert!(holds_a_file(dir.path()).unwrap());
    }
}
