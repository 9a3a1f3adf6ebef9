//! Properties of the running process.
#![expect(unsafe_code, reason = "process attributes are set by system calls")]

use std::ffi::CStr;
use std::fs::{self, DirEntry};
use std::io;

/// Makes the process unreadable for others of the same user: no core dump, no `ptrace`, no
/// `/proc/<pid>/environ`. For the supervisor, which holds credentials that plugins must not find.
///
/// # Errors
/// The system refuses.
pub fn forbid_inspection() -> io::Result<()> {
    let off: libc::c_ulong = 0;
    // SAFETY: the option takes a number and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, off) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The version of the C library that this process runs on, such as `2.36`.
pub fn libc_version() -> String {
    // SAFETY: the function has no preconditions.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: it returns a constant C string.
    let version = unsafe { CStr::from_ptr(version) };
    version.to_string_lossy().into_owned()
}

/// The numbers of this process's threads.
///
/// # Errors
/// They cannot be listed.
pub fn threads() -> io::Result<Vec<libc::pid_t>> {
    let number = |entry: io::Result<DirEntry>| -> io::Result<_> {
        let name = entry?.file_name();
        Ok(name.to_str().and_then(|name| name.parse().ok()))
    };
    let tasks = fs::read_dir("/proc/self/task")?;
    tasks.filter_map(|task| number(task).transpose()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn libc_version_is_a_pair_of_numbers() {
        let version = super::libc_version();
        let (major, minor) = version.split_once('.').unwrap();
        assert_eq!(major.parse(), Ok(2));
        assert!(minor.parse::<u32>().unwrap() >= 17);
    }
}
