//! The server as processes: started, signalled, ended, and never left behind.
//!
//! Knows no SQL, no folder layout and no options.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may then take to end at once.
const LAST_PATIENCE: Duration = Duration::from_secs(6);
const TICK: Duration = Duration::from_millis(5);

/// Ends the server once the other end of its standard input is closed, which happens however this
/// process ends. A stopped server gets neither signal before it continues.
const WATCHDOG: &str = r#"
read -r line
kill -INT "$1" && kill -CONT "$1" || exit 0
for i in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    kill -0 "$1" || exit 0
    [ "$i" -lt 3 ] || kill -QUIT "$1"
done
kill -KILL "$1"
"#;

/// A running server. Ends with this value, with this process, or by itself.
pub(super) struct Server {
    postmaster: Child,
    watchdog: Child,
}

impl Server {
    /// Starts the server and, as the command `shell`, what ends it when this process goes away.
    ///
    /// Both get process groups of their own: Ctrl-C at a terminal is for this process alone.
    pub(super) fn spawn(mut server: Command, mut shell: Command) -> Result<Self> {
        let mut postmaster = server.process_group(0).spawn().context("cannot start Postgres")?;
        let watchdog = shell
            .args(["-c", WATCHDOG, "planexe-watchdog", &postmaster.id().to_string()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self { postmaster, watchdog }),
            Err(error) => {
                send(pid_of(&postmaster), Signal::SIGINT);
                let _ = postmaster.wait();
                Err(error).context("cannot start the shell that watches over Postgres")
            }
        }
    }

    /// The process id of the postmaster.
    pub(super) fn pid(&self) -> i32 {
        pid_of(&self.postmaster)
    }

    /// How the postmaster ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.postmaster.try_wait().ok().flatten()
    }

    /// Halts every process of the server: it accepts connections (the kernel does) and answers nothing.
    pub(super) fn freeze(&self) {
        send(self.pid(), Signal::SIGSTOP);
        // Twice: a child may have been on its way into the world.
        for _ in 0..2 {
            children(self.pid())
                .into_iter()
                .for_each(|child| send(child, Signal::SIGSTOP));
        }
    }

    /// Lets a frozen server go on.
    pub(super) fn thaw(&self) {
        children(self.pid())
            .into_iter()
            .for_each(|child| send(child, Signal::SIGCONT));
        send(self.pid(), Signal::SIGCONT);
    }

    /// Ends every process of the server at once, as a power cut would; waits until they are gone.
    pub(super) fn kill(mut self) {
        let mut family = children(self.pid());
        send(self.pid(), Signal::SIGKILL);
        let _ = self.postmaster.wait();
        family.retain(|child| alive(*child));
        family.iter().for_each(|child| send(*child, Signal::SIGKILL));
        wait_until(PATIENCE, || !family.iter().any(|child| alive(*child)));
    }

    fn end(&mut self) {
        if self.ended().is_none() {
            self.thaw();
            // "Fast": open transactions are rolled back and clients sent away.
            send(self.pid(), Signal::SIGINT);
            if !wait_until(PATIENCE, || self.ended().is_some()) {
                // "Immediate": the next start recovers from the log.
                send(self.pid(), Signal::SIGQUIT);
            }
            if !wait_until(LAST_PATIENCE, || self.ended().is_some()) {
                let family = children(self.pid());
                send(self.pid(), Signal::SIGKILL);
                family.into_iter().for_each(|child| send(child, Signal::SIGKILL));
                let _ = self.postmaster.wait();
            }
        }
        // Before its input closes, so that it signals nobody.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends a server that an earlier process left behind in this data folder, and clears its traces.
///
/// Only for a folder that this process holds.
pub(super) fn end_orphan(data: &Path) -> Result<()> {
    let file = data.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let pid: i32 = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or(0);
    if pid > 1 && alive(pid) && command_line(pid).contains(&*data.to_string_lossy()) {
        send(pid, Signal::SIGINT);
        children(pid)
            .into_iter()
            .chain([pid])
            .for_each(|process| send(process, Signal::SIGCONT));
        if !wait_until(PATIENCE, || !alive(pid)) {
            send(pid, Signal::SIGQUIT);
        }
        if !wait_until(LAST_PATIENCE, || !alive(pid)) {
            bail!("an earlier database server, process {pid}, does not end: kill it");
        }
    }
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        sleep(TICK);
    }
    true
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(0)
}

/// A process that is gone already needs no signal.
fn send(pid: i32, signal: Signal) {
    if pid > 1 {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Whether a process runs; one that has ended and was not yet collected by its parent does not.
pub(super) fn alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH) && stat(pid).is_none_or(|(state, _)| state != 'Z')
}

/// The children of a process. Each of the postmaster's leads a process group of its own, so that a
/// signal to the postmaster's group reaches none of them.
fn children(parent: i32) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return children_by_ps(parent);
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, ppid)| ppid == parent))
        .collect()
}

fn children_by_ps(parent: i32) -> Vec<i32> {
    let Ok(output) = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let (pid, ppid) = line.trim().split_once(char::is_whitespace)?;
            (ppid.trim().parse() == Ok(parent)).then(|| pid.parse().ok())?
        })
        .collect()
}

/// State and parent of a process, where the system has `/proc`.
fn stat(pid: i32) -> Option<(char, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold spaces and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn command_line(pid: i32) -> String {
    if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return String::from_utf8_lossy(&bytes).replace('\0', " ");
    }
    let output = Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
