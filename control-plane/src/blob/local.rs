//! Objects as files of a local directory.
//!
//! A new object is written under a temporary name, synced, and linked to its path: `link(2)` fails
//! where the path exists, so nothing is ever replaced, and a crash leaves a temporary file and never
//! half an object. Folders are synced too, since a file without its entry is lost: each one above an
//! object, by this very process, since one that made them may have died before it came to that.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use gantry_domain::Timestamp;
use tokio::io::AsyncWriteExt;

use super::{
    Append, BlobError, BlobKey, BlobPrefix, BlobStore, Committed, Created, Cursor, Entry,
    PART_BYTES, Page, Parts, Presigned, RESERVED_BYTES, Unsealed,
};
use crate::random;

/// Where temporary files lie: beside the objects, since links do not cross file systems.
const TEMPORARY: &str = "tmp";
/// Folders that are remembered as synced; forgetting one costs a sync.
const SYNCED_MAX: usize = 16_384;

/// A directory of objects.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    part_bytes: u64,
    reserved_bytes: u64,
    /// Folders whose entries this process has synced.
    synced: Arc<Mutex<HashSet<PathBuf>>>,
}

impl LocalStore {
    /// Opens a directory and makes it if need be. What an earlier process left half-written goes.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let store = Self {
            root: root.into(),
            part_bytes: PART_BYTES,
            reserved_bytes: RESERVED_BYTES,
            synced: Arc::default(),
        };
        let opened = store.clone();
        blocking("open", &store.root.display().to_string(), move || {
            let temporary = opened.root.join(TEMPORARY);
            fs::create_dir_all(&temporary)?;
            for entry in fs::read_dir(&temporary)? {
                fs::remove_file(entry?.path())?;
            }
            sync_directory(&opened.root)?;
            match opened.root.parent() {
                Some(parent) if parent != Path::new("") => sync_directory(parent),
                _ => Ok(()),
            }
        })
        .await?;
        Ok(store)
    }

    /// The same, making the progress of an upload durable after other many bytes.
    #[must_use]
    pub const fn with_part_bytes(mut self, part_bytes: u64) -> Self {
        self.part_bytes = part_bytes;
        self
    }

    /// The same, leaving so many bytes of the file system free.
    #[must_use]
    pub const fn with_reserved_bytes(mut self, reserved_bytes: u64) -> Self {
        self.reserved_bytes = reserved_bytes;
        self
    }

    /// Whether bytes fit in beside those that stay free.
    fn has_room(&self, bytes: u64) -> io::Result<()> {
        let system = rustix::fs::statvfs(&self.root)?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        let reserved = self.reserved_bytes;
        if bytes.saturating_add(reserved) <= free {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "expected {bytes} free bytes beside the {reserved} that stay free, found {free} in all"
            ),
        ))
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.path())
    }

    /// Makes the folders of a path and syncs their entries.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        if parent == self.root || (self.synced().contains(parent) && parent.is_dir()) {
            return Ok(());
        }
        self.make_parents(parent)?;
        match fs::create_dir(parent) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => sync_directory(parent.parent().unwrap_or(&self.root))?,
        }
        let mut synced = self.synced();
        if synced.len() >= SYNCED_MAX {
            synced.clear();
        }
        synced.insert(parent.to_owned());
        Ok(())
    }

    fn synced(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<Created> {
        self.make_parents(to)?;
        let created = match fs::hard_link(from, to) {
            Ok(()) => Created::Now,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Created::Before,
            Err(e) => return Err(e),
        };
        sync_directory(to.parent().unwrap_or(&self.root))?;
        Ok(created)
    }
}

#[async_trait]
impl BlobStore for LocalStore {
    async fn create(&self, key: &BlobKey, body: Bytes) -> Result<Created, BlobError> {
        let (store, path) = (self.clone(), self.path(key));
        blocking("create", &key.path(), move || {
            let temporary = store.root.join(TEMPORARY).join(random::hex::<16>());
            let linked =
                write_synced(&temporary, &body).and_then(|()| store.link(&temporary, &path));
            fs::remove_file(&temporary)?;
            linked
        })
        .await
    }

    async fn promote(&self, staged: &BlobKey, key: &BlobKey) -> Result<Created, BlobError> {
        let (store, from, to) = (self.clone(), self.path(staged), self.path(key));
        let linked = blocking("link", &key.path(), move || store.link(&from, &to)).await;
        linked.map_err(|e| not_found(e, staged))
    }

    async fn append(
        &self,
        key: &BlobKey,
        offset: u64,
        _parts: Option<Parts>,
    ) -> Result<Box<dyn Append>, BlobError> {
        let (store, path) = (self.clone(), self.path(key));
        let (file, size) = blocking("append to", &key.path(), move || {
            store.make_parents(&path)?;
            let mut options = File::options();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            let size = file.metadata()?.len();
            if size >= offset {
                file.set_len(offset)?;
                file.seek(SeekFrom::End(0))?;
            }
            sync_directory(path.parent().unwrap_or(&store.root))?;
            Ok((file, size))
        })
        .await?;
        if size < offset {
            let key = Box::new(key.clone());
            return Err(BlobError::Truncated { key, offset, size });
        }
        Ok(Box::new(LocalAppend {
            store: self.clone(),
            key: key.path(),
            file: tokio::fs::File::from_std(file),
            position: offset,
            committed: offset,
        }))
    }

    async fn room_for(&self, bytes: u64) -> Result<(), BlobError> {
        let store = self.clone();
        let place = self.root.display().to_string();
        blocking("make room in", &place, move || store.has_room(bytes)).await
    }

    /// There is nothing to drop: a file has no parts.
    async fn abandon(&self, _key: &BlobKey, _upload: &str) -> Result<(), BlobError> {
        Ok(())
    }

    async fn unsealed(&self, _prefix: &BlobPrefix) -> Result<Vec<Unsealed>, BlobError> {
        Ok(Vec::new())
    }

    async fn presigned(&self, _key: &BlobKey) -> Result<Option<Presigned>, BlobError> {
        Ok(None)
    }

    async fn open(&self, key: &BlobKey) -> Result<File, BlobError> {
        let path = self.path(key);
        let opened = blocking("open", &key.path(), move || File::open(path)).await;
        opened.map_err(|e| not_found(e, key))
    }

    async fn read(
        &self,
        key: &BlobKey,
        offset: u64,
        length_max: usize,
    ) -> Result<Bytes, BlobError> {
        let path = self.path(key);
        let read = blocking("read", &key.path(), move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::with_capacity(length_max);
            file.take(length_max as u64).read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        })
        .await;
        read.map_err(|e| not_found(e, key))
    }

    async fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        let path = self.path(key);
        let size = blocking(
            "measure",
            &key.path(),
            move || Ok(fs::metadata(path)?.len()),
        )
        .await;
        size.map_err(|e| not_found(e, key))
    }

    async fn list(
        &self,
        prefix: &BlobPrefix,
        from: Option<Cursor>,
        entries_max: usize,
    ) -> Result<Page, BlobError> {
        let (store, prefix) = (self.clone(), prefix.path());
        blocking("list", &prefix.clone(), move || {
            let mut paths = Vec::new();
            collect(&store.root.join(&prefix), &prefix, &mut paths)?;
            paths.sort_unstable();
            let after = from.map(|Cursor(path)| path);
            paths.retain(|path| after.as_ref().is_none_or(|after| path > after));
            let more = paths.len() > entries_max;
            paths.truncate(entries_max);
            let mut entries = Vec::with_capacity(paths.len());
            for path in &paths {
                if let Ok(key) = path.parse()
                    && let Some(modified) = modified(&store.root.join(path))?
                {
                    entries.push(Entry { key, modified });
                }
            }
            let next = if more { paths.pop().map(Cursor) } else { None };
            Ok(Page { entries, next })
        })
        .await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let (store, path) = (self.clone(), self.path(key));
        blocking("delete", &key.path(), move || {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            // Only the innermost folder goes, and only when it is empty: the ones above may be about
            // to be used by another upload of the tenant.
            if let Some(parent) = path.parent()
                && fs::remove_dir(parent).is_ok()
            {
                store.synced().remove(parent);
            }
            Ok(())
        })
        .await
    }
}

struct LocalAppend {
    store: LocalStore,
    key: String,
    file: tokio::fs::File,
    position: u64,
    committed: u64,
}

impl LocalAppend {
    /// What cannot be written is given up up to what is durable: on a full disk others need the room.
    async fn done(&mut self, action: &'static str, done: io::Result<()>) -> Result<(), BlobError> {
        let Err(source) = done else {
            return Ok(());
        };
        let key = self.key.clone();
        if let Err(error) = self.file.set_len(self.committed).await {
            tracing::warn!(error = %error, "{key}: bytes that are not used stay on the disk");
        }
        Err(BlobError::Io {
            action,
            key,
            source,
        })
    }
}

#[async_trait]
impl Append for LocalAppend {
    fn part_bytes(&self) -> u64 {
        self.store.part_bytes
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if self.position.is_multiple_of(self.store.part_bytes) {
            self.store.room_for(bytes.len() as u64).await?;
        }
        let written = self.file.write_all(&bytes).await;
        self.done("write", written).await?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    async fn commit(&mut self) -> Result<Committed, BlobError> {
        let flushed = self.file.flush().await;
        self.done("flush", flushed).await?;
        let synced = self.file.sync_data().await;
        self.done("sync", synced).await?;
        self.committed = self.position;
        Ok(Committed {
            size_bytes: self.position,
            parts: None,
        })
    }

    async fn seal(&mut self) -> Result<(), BlobError> {
        self.commit().await.map(drop)
    }
}

fn write_synced(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(body)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// When a file was last written; none when it has gone meanwhile.
fn modified(path: &Path) -> io::Result<Option<Timestamp>> {
    let modified = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?.modified()?,
    };
    let since = modified.duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Ok(Some(Timestamp::from_millis(millis)))
}

fn collect(folder: &Path, path: &str, paths: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}{name}/"), paths)?;
        } else {
            paths.push(format!("{path}{name}"));
        }
    }
    Ok(())
}

fn not_found(error: BlobError, key: &BlobKey) -> BlobError {
    match error {
        BlobError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            BlobError::NotFound {
                key: Box::new(key.clone()),
            }
        }
        other => other,
    }
}

/// Runs file work where it may wait.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    key: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|e| Err(io::Error::other(e)));
    done.map_err(|source| BlobError::Io {
        action,
        key: key.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::conformance;

    #[tokio::test]
    async fn local_directory_keeps_the_promises_of_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().join("objects"))
            .await
            .unwrap();
        conformance::run(&store).await;
    }

    #[tokio::test]
    async fn half_written_objects_of_an_earlier_process_are_swept_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        LocalStore::open(folder.path()).await.unwrap();
        let left = folder.path().join(TEMPORARY).join("left");
        fs::write(&left, "half").unwrap();
        LocalStore::open(folder.path()).await.unwrap();
        assert!(!left.exists());
    }
}
