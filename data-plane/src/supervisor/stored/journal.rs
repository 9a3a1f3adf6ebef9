//! The sessions that wait for the control plane, on disk: one file of records, each with a checksum, that
//! grows until half of it and more is of no use any more, and is written anew then.
//!
//! Invariants: a crash leaves what was flushed before it, and perhaps a record cut short at the end, which
//! is none; the file holds keys' HMACs and never keys; it is at most twice as large as what may wait.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_domain::{Digest, Limits};

use crate::key_index::KeyHash;
use crate::supervisor::files;
use crate::worker::keys::STORED_MAX;

/// What the file begins with: what it is, and how its records are written.
const HEADER: &[u8; 16] = b"GANTRY-STORED-01";
/// Length of the session, HMAC, time.
const HEAD_BYTES: usize = 4 + size_of::<KeyHash>() + 8;
/// Bytes of a record's digest that are its checksum.
const CHECKSUM_BYTES: usize = 8;
/// Bytes that a file may have whose records are all of no use.
const SPARE_BYTES: u64 = 1 << 20;
/// Bytes of the largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A session that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// A JSON object.
    pub(super) session: Arc<str>,
    /// When a worker reported it, in milliseconds since 1970.
    pub(super) since_ms: u64,
}

/// What is new of one key: the session that waits, or that none does any more.
pub(super) type Change = (KeyHash, Option<Waiting>);

/// The file. Its owner knows what waits; here is only what lies on disk of it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None until the file is in order, and after a write that failed: it is then written anew.
    file: Option<File>,
    bytes: u64,
    /// Bytes of the newest record of each key with a session.
    useful: BTreeMap<KeyHash, u64>,
}

impl Journal {
    /// Reads the file, if there is one. The text says what of it cannot be read.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn open(
        path: &Path,
    ) -> io::Result<(Self, BTreeMap<KeyHash, Waiting>, Option<String>)> {
        let content = files::read(path, FILE_BYTES_MAX)?.unwrap_or_default();
        let (waiting, damage) = read(&content);
        let journal = Self {
            path: path.to_owned(),
            file: None,
            bytes: 0,
            useful: BTreeMap::new(),
        };
        Ok((journal, waiting, damage))
    }

    /// Writes what is new, and returns when it will survive. Of a key that the file does not hold nothing
    /// is written when its session has stopped waiting.
    ///
    /// # Errors
    /// The system refuses. What is on disk may be old then; the next write is of all that waits.
    pub(super) fn write(
        &mut self,
        changes: &[Change],
        all: &[(KeyHash, Waiting)],
    ) -> io::Result<()> {
        let Some(mut file) = self.file.take() else {
            return self.write_anew(all);
        };
        let mut records = Vec::new();
        for (hmac, waiting) in changes {
            let before = records.len();
            match waiting {
                Some(waiting) => {
                    append(&mut records, hmac, waiting.since_ms, &waiting.session);
                    let bytes = (records.len() - before) as u64;
                    self.useful.insert(*hmac, bytes);
                }
                None if self.useful.remove(hmac).is_some() => append(&mut records, hmac, 0, ""),
                None => {}
            }
        }
        let bytes = self.bytes + records.len() as u64;
        if bytes > SPARE_BYTES + 2 * self.useful.values().sum::<u64>() {
            return self.write_anew(all);
        }
        if !records.is_empty() {
            file.write_all(&records)?;
            file.sync_data()?;
        }
        self.bytes = bytes;
        self.file = Some(file);
        Ok(())
    }

    fn write_anew(&mut self, all: &[(KeyHash, Waiting)]) -> io::Result<()> {
        let mut content = HEADER.to_vec();
        self.useful.clear();
        for (hmac, waiting) in all {
            let before = content.len();
            append(&mut content, hmac, waiting.since_ms, &waiting.session);
            self.useful.insert(*hmac, (content.len() - before) as u64);
        }
        files::replace(&self.path, &content)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.bytes = content.len() as u64;
        Ok(())
    }
}

fn append(to: &mut Vec<u8>, hmac: &KeyHash, since_ms: u64, session: &str) {
    let begin = to.len();
    let length = u32::try_from(session.len()).expect("a session has 16 KiB at most");
    to.extend(length.to_le_bytes());
    to.extend(hmac);
    to.extend(since_ms.to_le_bytes());
    to.extend(session.as_bytes());
    let checksum = checksum(&to[begin..]);
    to.extend(checksum);
}

fn checksum(record: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Digest::of(record);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest.as_bytes()[..CHECKSUM_BYTES]);
    checksum
}

/// What waits according to a file, and what is wrong with it. A record that is cut short at the end was
/// being written in a crash, and was not promised to anybody.
fn read(content: &[u8]) -> (BTreeMap<KeyHash, Waiting>, Option<String>) {
    let mut waiting = BTreeMap::new();
    if content.is_empty() {
        return (waiting, None);
    }
    let Some(mut rest) = content.strip_prefix(HEADER) else {
        return (waiting, Some("it does not begin as it should".to_owned()));
    };
    loop {
        match record(rest) {
            Ok(Some((hmac, since_ms, session, length))) => {
                if session.is_empty() {
                    waiting.remove(&hmac);
                } else if waiting.len() < STORED_MAX || waiting.contains_key(&hmac) {
                    let session = session.into();
                    waiting.insert(hmac, Waiting { session, since_ms });
                }
                rest = &rest[length..];
            }
            Ok(None) => return (waiting, None),
            Err(what) => {
                let at = content.len() - rest.len();
                return (waiting, Some(format!("{what} at byte {at}")));
            }
        }
    }
}

/// The first record and its length; none where there is none whole.
fn record(rest: &[u8]) -> Result<Option<(KeyHash, u64, &str, usize)>, &'static str> {
    let Some(head) = rest.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let Some((length, head)) = head.split_first_chunk() else {
        return Ok(None);
    };
    let Some((hmac, since_ms)) = head.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > Limits::default().session_bytes_max {
        return Err("a session is longer than sessions may be");
    }
    let end = HEAD_BYTES + length;
    let (Some(since_ms), Some(found)) =
        (since_ms.first_chunk(), rest.get(end..end + CHECKSUM_BYTES))
    else {
        return Ok(None);
    };
    if checksum(&rest[..end]) != *found {
        return Err("a checksum is wrong");
    }
    let session = std::str::from_utf8(&rest[HEAD_BYTES..end]);
    let session = session.map_err(|_| "a session is no text")?;
    let since_ms = u64::from_le_bytes(*since_ms);
    Ok(Some((*hmac, since_ms, session, end + CHECKSUM_BYTES)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn waiting(session: &str) -> Waiting {
        Waiting {
            session: session.into(),
            since_ms: 4711,
        }
    }

    fn put(key: u8, session: &str) -> Change {
        ([key; 32], Some(waiting(session)))
    }

    /// A journal in a folder, with what it should hold.
    struct Kept {
        folder: tempfile::TempDir,
        journal: Journal,
        all: BTreeMap<KeyHash, Waiting>,
    }

    impl Kept {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (journal, all, damage) = Journal::open(&folder.path().join("a")).unwrap();
            assert_eq!((all.len(), damage), (0, None));
            Self {
                folder,
                journal,
                all,
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("a")
        }

        fn write(&mut self, changes: &[Change]) {
            for (hmac, waiting) in changes.iter().cloned() {
                match waiting {
                    Some(waiting) => self.all.insert(hmac, waiting),
                    None => self.all.remove(&hmac),
                };
            }
            let all: Vec<_> = self.all.clone().into_iter().collect();
            self.journal.write(changes, &all).unwrap();
        }

        fn read(&self) -> (BTreeMap<KeyHash, Waiting>, Option<String>) {
            let (_, waiting, damage) = Journal::open(&self.path()).unwrap();
            (waiting, damage)
        }
    }

    #[test]
    fn what_waits_is_read_as_it_was_written_last() {
        let mut kept = Kept::new();
        kept.write(&[put(1, "{}"), put(2, "{}")]);
        kept.write(&[put(1, r#"{"a":1}"#), put(3, r#"{"b":"é"}"#)]);
        kept.write(&[([2; 32], None), ([9; 32], None)]);
        assert_eq!(kept.read(), (kept.all.clone(), None));
        assert_eq!(kept.all.len(), 2);
        let (journal, all, _) = Journal::open(&kept.path()).unwrap();
        kept.journal = journal;
        assert_eq!(all, kept.all);
        kept.write(&[put(4, "{}")]);
        assert_eq!(kept.read(), (kept.all.clone(), None));
    }

    #[test]
    fn cut_anywhere_the_records_before_are_read_and_damage_is_said() {
        let mut kept = Kept::new();
        kept.write(&[put(1, "{}")]);
        let first = kept.read().0;
        let whole = fs::metadata(kept.path()).unwrap().len();
        kept.write(&[put(2, r#"{"a":1}"#)]);
        let content = fs::read(kept.path()).unwrap();
        for length in usize::try_from(whole).unwrap()..content.len() {
            fs::write(kept.path(), &content[..length]).unwrap();
            assert_eq!(kept.read(), (first.clone(), None), "{length}");
        }
        let mut flipped = content.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(kept.path(), &flipped).unwrap();
        let (read, damage) = kept.read();
        assert_eq!(read, first);
        assert_eq!(
            damage.unwrap(),
            format!("a checksum is wrong at byte {whole}")
        );
        fs::write(kept.path(), b"something else entirely").unwrap();
        assert!(kept.read().1.is_some());
        // Whatever is there, the next write is whole.
        let (journal, ..) = Journal::open(&kept.path()).unwrap();
        kept.journal = journal;
        kept.write(&[put(3, "{}")]);
        assert_eq!(kept.read(), (kept.all.clone(), None));
    }

    #[test]
    fn file_is_written_anew_when_most_of_it_is_of_no_use() {
        let mut kept = Kept::new();
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(16_000));
        for _ in 0..300 {
            kept.write(&[put(1, &long)]);
        }
        let bytes = fs::metadata(kept.path()).unwrap().len();
        assert!(bytes < SPARE_BYTES + 3 * 16_100, "{bytes}");
        assert_eq!(kept.read(), (kept.all.clone(), None));
        assert_eq!(fs::read_dir(kept.folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn after_a_write_that_failed_all_is_written() {
        let mut kept = Kept::new();
        kept.write(&[put(1, "{}")]);
        // Not open for writing.
        kept.journal.file = Some(File::open(kept.path()).unwrap());
        let all = [([1; 32], waiting("{}")), ([2; 32], waiting("{}"))];
        assert!(kept.journal.write(&[put(2, "{}")], &all).is_err());
        kept.journal.write(&[], &all).unwrap();
        assert_eq!(kept.read(), (BTreeMap::from(all), None));
    }
}
