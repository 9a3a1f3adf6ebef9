//! Read-only mappings of files that never change.
#![expect(unsafe_code, reason = "a file mapping has no safe interface")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// A file's bytes, shared with every process that maps it.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are only read.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a whole file. It must stay as it is: the supervisor writes such files under a temporary
    /// name, renames them and never opens them for writing again, in a directory of its own.
    ///
    /// # Errors
    /// The file is empty or cannot be mapped.
    pub fn of(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len())
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(address.cast::<u8>()) {
            Some(start) if address != libc::MAP_FAILED => Ok(Self {
                address: start,
                len,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: mapped with this length and alive as long as `self`; nobody writes to the file.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `of` with this length; slices of it cannot outlive `self`.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn mapping_shows_the_file_after_it_was_removed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"index").unwrap();
        let mapping = Mapping::of(file.as_file()).unwrap();
        drop(file);
        assert_eq!(mapping.as_ref(), b"index");
    }

    #[test]
    fn empty_file_is_refused() {
        assert!(Mapping::of(&tempfile::tempfile().unwrap()).is_err());
    }
}
