//! Starting a role: this same binary as a child with nothing but what it is given.
//!
//! A child has an empty environment, no descriptor but those handed over (at agreed numbers) and the
//! standard three, no way to new privileges, a process group of its own (a terminal's interrupt is the
//! supervisor's to handle), and dies with the supervisor, whatever becomes of it.
#![expect(unsafe_code, reason = "a child is prepared between fork and exec")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Numbers at which descriptors can be handed over lie below; the originals are moved above, so that
/// no move overwrites an original that is still to be moved.
const HANDED_BELOW: RawFd = 64;

/// How to start a role.
#[derive(Debug)]
pub struct RoleCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    descriptors: Vec<(OwnedFd, RawFd)>,
    stdin: Stdio,
}

impl RoleCommand {
    /// The role of this name, as the first argument to this binary. The file that this process runs is
    /// started, also if another was put in its place since: both ends of the protocol are one build.
    pub fn new(role: impl Into<OsString>) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec![role.into()],
            environment: Vec::new(),
            descriptors: Vec::new(),
            stdin: Stdio::null(),
        }
    }

    /// Starts another binary than this one: for tests, which are not the gateway's binary.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// A further argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A variable of the child's environment, which is empty otherwise.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A descriptor, and the number from 3 to 63 at which the child finds it.
    ///
    /// # Panics
    /// The number is another.
    #[must_use]
    pub fn descriptor(mut self, descriptor: OwnedFd, number: RawFd) -> Self {
        assert!(
            (3..HANDED_BELOW).contains(&number),
            "descriptor number {number} is not from 3 to 63"
        );
        self.descriptors.push((descriptor, number));
        self
    }

    /// Gives the child a standard input to write to.
    #[must_use]
    pub fn piped_stdin(mut self) -> Self {
        self.stdin = Stdio::piped();
        self
    }

    /// Starts it; standard output and error are pipes. The child is killed when the result is dropped.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn spawn(self) -> io::Result<Child> {
        let command = self.prepare()?;
        let (answer, child) = oneshot::channel();
        let runtime = Handle::current();
        spawner()
            .send(Box::new(move || {
                let _in_runtime = runtime.enter();
                let mut command = command;
                let _ = answer.send(command.spawn());
            }))
            .map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }

    fn prepare(self) -> io::Result<Command> {
        let mut moved = Vec::with_capacity(self.descriptors.len());
        for (descriptor, number) in self.descriptors {
            moved.push((duplicate_high(&descriptor)?, number));
        }
        let mut command = std::process::Command::new(self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment);
        let parent = std::process::id().cast_signed();
        let prepare_child = move || {
            close_on_exec_from(3)?;
            for (descriptor, number) in &moved {
                hand_over(descriptor.as_raw_fd(), *number)?;
            }
            restrict(parent)
        };
        command.process_group(0);
        // SAFETY: the closure runs in the child between fork and exec: it makes system calls only, and
        // neither allocates nor locks (errors are built from numbers).
        unsafe { command.pre_exec(prepare_child) };
        let mut command = Command::from(command);
        command
            .stdin(self.stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The thread that starts all children. A child is killed when the *thread* that started it ends, and
/// threads of a runtime come and go; this one stays.
fn spawner() -> Sender<Job> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    let start = || {
        let (sender, jobs) = mpsc::channel::<Job>();
        let run = move || jobs.into_iter().for_each(|job| job());
        // Without the thread the sender's other end is gone, which every send then reports.
        let _ = std::thread::Builder::new()
            .name("spawner".into())
            .spawn(run);
        sender
    };
    SPAWNER.get_or_init(start).clone()
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts processes is gone")
}

fn duplicate_high(descriptor: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open; the call touches no memory.
    let raw = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, HANDED_BELOW) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above gave this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn close_on_exec_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: async-signal-safe; sets a flag on descriptors and touches no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn hand_over(descriptor: RawFd, number: RawFd) -> io::Result<()> {
    // SAFETY: async-signal-safe; the copy has no close-on-exec flag, which is the purpose.
    if unsafe { libc::dup2(descriptor, number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn restrict(parent: libc::pid_t) -> io::Result<()> {
    let (on, off): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: async-signal-safe; takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, off, off, off) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let signal = libc::SIGKILL as libc::c_ulong;
    // SAFETY: async-signal-safe; takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have died before the call above: then no signal will come.
    // SAFETY: async-signal-safe, without preconditions.
    if unsafe { libc::getppid() } == parent {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}
