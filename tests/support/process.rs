//! The process that serves the application: `planexe-local serve`, or `spin up` with the same arguments.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Subject, manifest, project};

/// For the first start, which compiles the component.
const START_LIMIT: Duration = Duration::from_secs(300);

/// A shell that ends its whole process group when the program ends, or when its own standard input does. So nothing is
/// left of the program and its children, however the tests end.
const GUARD: &str = r#"("$@" </dev/null; kill -9 0) & read -r _; kill -9 0"#;

/// Words on the standard error of either host when the component has trapped, or the host has failed.
const CRASHES: [&str; 5] = [
    "worker failed",
    "rror processing request",
    "panicked at",
    "guest invocation failed",
    "Component error",
];

/// Builds the host and has it compile the component, once for the test binary.
pub fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        if Subject::LocalHost.is_tested() {
            // Cargo builds only the library for the tests.
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["build", "--quiet", "--locked", "--workspace"])
                .current_dir(project());
            // What Cargo says to this program would make it compile again.
            for (name, _) in env::vars_os() {
                if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
                    cargo.env_remove(name);
                }
            }
            assert!(
                cargo.status().expect("cargo").success(),
                "the local host does not build"
            );
        }
        Process::start(&BTreeMap::new(), &runtime_config(), &[]);
    });
}

/// The runtime configuration of the project.
pub fn runtime_config() -> PathBuf {
    project().join("runtime-config.toml")
}

/// The program with its arguments up to those that both hosts have.
fn program() -> Vec<String> {
    if Subject::Spin.is_tested() {
        let spin = env::var("SPIN").unwrap_or_else(|_| "spin".to_owned());
        // What the component writes goes to standard error alone.
        return [&spin, "up", "--log-dir", "", "--state-dir", "."]
            .map(str::to_owned)
            .to_vec();
    }
    vec![planexe_local().display().to_string(), "serve".to_owned()]
}

/// The path of `planexe-local`.
pub fn planexe_local() -> PathBuf {
    let test = env::current_exe().expect("the path of this program");
    let folder = test.ancestors().nth(2).expect("the folder of the programs");
    folder.join("planexe-local")
}

/// A process that serves the application, with its children. It ends with this value.
pub struct Process {
    command: Mutex<Command>,
    folder: PathBuf,
    log: Arc<Mutex<Vec<u8>>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    guard: Child,
    address: SocketAddr,
    log: JoinHandle<()>,
}

impl Process {
    /// Starts it with these settings in its environment, and further options. Returns when it serves.
    pub fn start(settings: &BTreeMap<String, OsString>, runtime_config: &Path, options: &[String]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        // For temporary files and state. There is no `.env` in it.
        let folder = project().join(format!("target/test-apps/{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "guard"])
            .args(program())
            .arg("--from")
            .arg(manifest());
        command
            .args(["--listen", "127.0.0.1:0", "--runtime-config-file"])
            .arg(runtime_config)
            .args(options);
        let inherited = ["PATH", "HOME"].map(|name| (name, env::var_os(name).unwrap_or_default()));
        command
            .env_clear()
            .envs(inherited)
            .env("TMPDIR", &folder)
            .envs(settings);
        command.current_dir(&folder).process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let process = Self {
            command: Mutex::new(command),
            folder,
            log: Arc::default(),
            running: Mutex::default(),
        };
        process.restart();
        process
    }

    /// Starts it, again after [`Process::kill`], then at another port.
    pub fn restart(&self) {
        let mut command = self.command.lock().expect("the command");
        let mut guard = command.spawn().expect("a shell");
        let (mut stderr, stdout) = (
            guard.stderr.take().expect("a pipe"),
            guard.stdout.take().expect("a pipe"),
        );
        let log = Arc::clone(&self.log);
        let log = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                log.lock().expect("the log").extend(&buffer[..length]);
            }
        });
        let (sender, address) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let address = line
                    .split_once("Serving http://")
                    .map(|(_, address)| address.trim().parse());
                // Only the first is waited for.
                _ = address.map(|address| sender.send(address));
            }
        });
        let address = address.recv_timeout(START_LIMIT);
        let address = address.unwrap_or_else(|_| panic!("{command:?} does not serve: {}", self.log()));
        let address = address.expect("an address");
        *self.running.lock().expect("the process") = Some(Running { guard, address, log });
    }

    /// Kills it. What it has written stays.
    pub fn kill(&self) {
        let running = self.running.lock().expect("the process").take();
        if let Some(mut running) = running {
            drop(running.guard.stdin.take());
            running.guard.wait().expect("the end of the shell");
            running.log.join().expect("no panic");
        }
    }

    /// Where it serves; while it does not run, an address where nothing does.
    pub fn address(&self) -> SocketAddr {
        let nowhere = ([127, 0, 0, 1], 1).into();
        let running = self.running.lock().expect("the process");
        running.as_ref().map_or(nowhere, |running| running.address)
    }

    /// What it has written to its standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("the log")).into_owned()
    }

    /// The first line of its standard error that tells of a trap of the component or a failure of the host.
    pub fn crash(&self) -> Option<String> {
        let log = self.log();
        let mut lines = log.lines().enumerate();
        let (number, _) = lines.find(|(_, line)| CRASHES.iter().any(|words| line.contains(words)))?;
        // With the backtrace.
        Some(log.lines().skip(number).take(20).collect::<Vec<_>>().join("\n"))
    }

    /// The bytes of memory that it takes now; 0 on systems without /proc.
    pub fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most bytes of memory that it has taken since [`Process::forget_peak_memory`]; 0 on systems without /proc.
    pub fn peak_memory(&self) -> usize {
        self.status("VmHWM:")
    }

    /// Has the peak counted from now on.
    pub fn forget_peak_memory(&self) {
        for process in self.group() {
            fs::write(process.join("clear_refs"), "5").expect("a process of this user");
        }
    }

    /// The sum of a line of `status` over the processes.
    fn status(&self, name: &str) -> usize {
        let status = self
            .group()
            .into_iter()
            .filter_map(|process| fs::read_to_string(process.join("status")).ok());
        let kilobytes = status.filter_map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<usize>().ok()
        });
        kilobytes.sum::<usize>() * 1024
    }

    /// The folders in /proc of the processes in its group.
    fn group(&self) -> Vec<PathBuf> {
        let running = self.running.lock().expect("the process");
        let leader = running.as_ref().map(|running| running.guard.id().to_string());
        let processes = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let is_member = |process: &PathBuf| {
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            // After the name: the state, the parent, the group.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            leader.is_some() && rest.split_whitespace().nth(2) == leader.as_deref()
        };
        processes.filter(is_member).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        _ = fs::remove_dir_all(&self.folder);
    }
}
