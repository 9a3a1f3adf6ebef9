//! Where access lines go: standard output or a file that is appended to. Lines are written many at a
//! time.
//!
//! A file that was moved away is let go of when the supervisor is told to reopen it (SIGUSR1). What
//! cannot be written is lost and counted, and said once until writing works again: a full disk must not
//! stop requests.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::AccessLogOutput;

/// Permissions of a new file: requests of others are nobody else's business.
const FILE_MODE: u32 = 0o640;

/// The destination.
#[derive(Debug)]
pub struct AccessLog {
    sink: Sink,
    /// The last write failed, perhaps in the middle of a line.
    failing: bool,
}

#[derive(Debug)]
enum Sink {
    Off,
    Stdout,
    File { path: PathBuf, file: File },
}

impl AccessLog {
    /// Opens the destination.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(output: &AccessLogOutput) -> io::Result<Self> {
        let sink = match output {
            AccessLogOutput::Off => Sink::Off,
            AccessLogOutput::Stdout => Sink::Stdout,
            AccessLogOutput::File(path) => Sink::File {
                path: path.clone(),
                file: open(path)?,
            },
        };
        Ok(Self {
            sink,
            failing: false,
        })
    }

    /// Lets go of the file and opens what is at its path now. What was open stays if that fails.
    pub fn reopen(&mut self) {
        let Sink::File { path, file } = &mut self.sink else {
            return;
        };
        match open(path) {
            Ok(opened) => {
                *file = opened;
                tracing::info!("reopened the access log {}", path.display());
            }
            Err(e) => tracing::error!(
                code = "ACCESS_LOG_UNUSABLE",
                "reopen the access log {}: {e}; the file before goes on",
                path.display()
            ),
        }
    }

    /// Writes whole lines; whether they are out.
    pub fn write(&mut self, lines: &[u8]) -> bool {
        if lines.is_empty() {
            return true;
        }
        match self.try_write(lines) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the access log can be written again");
                }
                true
            }
            Err(e) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        code = "ACCESS_LOG_UNWRITABLE",
                        "write access lines: {e}; they are lost until it works again"
                    );
                }
                false
            }
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let failing = self.failing;
        let write = |sink: &mut dyn io::Write| {
            if failing {
                // Half a line may be there.
                sink.write_all(b"\n")?;
            }
            sink.write_all(lines)?;
            sink.flush()
        };
        match &mut self.sink {
            Sink::Off => Ok(()),
            Sink::Stdout => write(&mut io::stdout().lock()),
            Sink::File { file, .. } => write(file),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_is_appended_to_and_reopened_where_it_was_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("old"));
        fs::write(&path, "earlier\n").unwrap();
        let mut log = AccessLog::open(&AccessLogOutput::File(path.clone())).unwrap();
        assert!(log.write(b"one\n"));
        fs::rename(&path, &moved).unwrap();
        assert!(log.write(b"two\n"));
        log.reopen();
        assert!(log.write(b"three\n"));
        assert_eq!(fs::read_to_string(&moved).unwrap(), "earlier\none\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn file_that_cannot_be_reopened_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("logs");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("access.log");
        let mut log = AccessLog::open(&AccessLogOutput::File(path)).unwrap();
        let moved = folder.path().join("moved");
        fs::rename(&inner, &moved).unwrap();
        log.reopen();
        assert!(log.write(b"one\n"));
        assert_eq!(
            fs::read_to_string(moved.join("access.log")).unwrap(),
            "one\n"
        );
    }

    #[test]
    fn failed_write_is_told_and_the_next_lines_stand_alone() {
        let mut log = AccessLog {
            sink: Sink::File {
                path: PathBuf::new(),
                file: File::options().write(true).open("/dev/full").unwrap(),
            },
            failing: false,
        };
        assert!(!log.write(b"lost\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let file = open(&path).unwrap();
        log.sink = Sink::File {
            path: path.clone(),
            file,
        };
        assert!(log.write(b"kept\n"));
        assert!(log.write(b"more\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "\nkept\nmore\n");
    }
}
