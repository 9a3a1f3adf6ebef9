//! The commands that pages tell people to type, run as they are: every `sh` block of one or more pages,
//! in order, in one shell that begins in the workspace's root, and every file that pages tell people to
//! write.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use gantry_tests::binaries::{outside_cargo, target_dir, tool, workspace};
use gantry_tests::process::eventually;

/// How often the usual patience is had with a script: pages build plugins.
const PATIENCES: usize = 4;
/// What ends a file in the script.
const END: &str = "END OF FILE";

/// Runs the commands of pages and gives what they printed on standard output.
///
/// `ports` are those that the pages use; free ones take their place, since more than the pages may run
/// on this machine.
///
/// # Panics
/// A command fails, or the pages do not use one of the ports.
pub(crate) fn run(pages: &[&str], ports: &[&str]) -> String {
    let script: String = pages.iter().map(|page| commands(page)).collect();
    let script = adapted(&script, ports);
    let (tools, zig) = (tool("grpcurl").unwrap(), tool("python-zig").unwrap());
    // What brings zig brings a Python too, which must not come before the machine's.
    let path = format!(
        "{}:{}:{}",
        tools.parent().unwrap().display(),
        std::env::var("PATH").unwrap(),
        zig.parent().unwrap().display()
    );
    let mut shell = Command::new("bash");
    outside_cargo(&mut shell);
    let child = shell
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(workspace())
        .env("PATH", path)
        // What other tests have compiled is not compiled again.
        .env("GOCACHE", target_dir().join("go/cache"))
        .env("ZIG_GLOBAL_CACHE_DIR", target_dir().join("zig"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let (status, out, err) = watch(child);
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?}\n{out}\n{err}"
    );
    out
}

/// Every `sh` block of a page, in order. A block of another language with a path behind it, such as
/// `go greeter/main.go`, is what its reader writes into that file.
fn commands(page: &str) -> String {
    let text = fs::read_to_string(workspace().join(page)).unwrap();
    let mut script = String::new();
    let mut fences = text.split("\n```");
    fences.next();
    // Every second piece is between a fence that opens and one that closes.
    while let (Some(block), Some(_)) = (fences.next(), fences.next()) {
        let (language, content) = block.split_once('\n').unwrap();
        if language == "sh" {
            script.push_str(content);
        } else if let Some((_, path)) = language.split_once(' ') {
            let (folder, _) = path.rsplit_once('/').unwrap();
            let file = [
                "mkdir -p ",
                folder,
                "\ncat > ",
                path,
                " <<'",
                END,
                "'\n",
                content,
                "\n",
                END,
            ];
            script.extend(file);
        } else {
            continue;
        }
        script.push('\n');
    }
    assert!(!script.is_empty(), "{page} has blocks of commands");
    script
}

/// Waits for the shell, then ends the servers that it left behind: they hold its pipes open, so the
/// pipes end only when the whole group is gone.
fn watch(mut shell: Child) -> (Option<ExitStatus>, String, String) {
    let group = format!("-{}", shell.id());
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        let mut pipe = pipe.expect("the pipe was asked for");
        std::thread::spawn(move || std::io::read_to_string(&mut pipe).unwrap_or_default())
    };
    let out = read(shell.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = read(shell.stderr.take().map(|pipe| Box::new(pipe) as _));
    let mut ended = || eventually("the script ends", || shell.try_wait().unwrap()).ok();
    let status = (0..PATIENCES).find_map(|_| ended());
    let _ = Command::new("kill")
        .args(["-s", "TERM", "--", &group])
        .status();
    // Gateways drain and control planes close their files; what is left after that is killed.
    let _ = eventually("the servers end", || {
        (out.is_finished() && err.is_finished()).then_some(())
    });
    let _ = Command::new("kill")
        .args(["-s", "KILL", "--", &group])
        .status();
    (status, out.join().unwrap(), err.join().unwrap())
}

/// The commands as they are, but for what is taken on a machine where more than the pages run: their
/// ports become free ones, and products may lie outside the clone.
fn adapted(script: &str, ports: &[&str]) -> String {
    let debug = target_dir().join("debug").display().to_string();
    let mut script = script
        .replace("$PWD/target/debug", &debug)
        .replace("cp target/debug/", &format!("cp {debug}/"));
    // By way of a mark, since a port may look like a part of another.
    for (number, port) in ports.iter().enumerate() {
        assert!(script.contains(port), "the pages use port {port}");
        script = script.replace(port, &format!("@{number}@"));
    }
    for number in 0..ports.len() {
        let [free] = gantry_tests::ports::free().unwrap();
        script = script.replace(&format!("@{number}@"), &free.to_string());
    }
    script
}
