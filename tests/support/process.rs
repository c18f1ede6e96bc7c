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

use super::{Subject, manifest_file, project};

/// For the first start, which compiles the component.
const START_LIMIT: Duration = Duration::from_secs(300);

/// A shell that ends its whole process group when the program ends, or when its own standard input does. So nothing is
/// left of the program and its children, however the tests end.
const GUARD: &str = r#"("$@" </dev/null; kill -9 0) & read -r _; kill -9 0"#;

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
            let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
            for name in names.filter(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
                cargo.env_remove(name);
            }
            assert!(
                cargo.status().expect("cargo").success(),
                "the local host does not build"
            );
        }
        let runtime_config = project().join("runtime-config.toml");
        Process::start(&BTreeMap::new(), &runtime_config, &[]);
    });
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
    pub fn start(settings: &BTreeMap<String, OsString>, runtime_config: &Path, options: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        // For logs, state and temporary files. There is no `.env` in it.
        let folder = project().join(format!("target/test-apps/{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "guard"]);
        if Subject::Spin.is_tested() {
            command.arg(env::var_os("SPIN").unwrap_or_else(|| "spin".into()));
            // What the component writes goes to a file and to standard error.
            command.args(["up", "--log-dir", ".", "--state-dir", "."]);
        } else {
            command.arg(planexe_local()).arg("serve");
        }
        command
            .arg("--from")
            .arg(manifest_file())
            .args(["--listen", "127.0.0.1:0"]);
        command.arg("--runtime-config-file").arg(runtime_config).args(options);
        let inherited = ["PATH", "HOME"].map(|name| (name, env::var_os(name).unwrap_or_default()));
        command
            .env_clear()
            .envs(inherited)
            .env("TMPDIR", &folder)
            .envs(settings);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.current_dir(&folder).process_group(0);
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
        let (stdout, stderr) = (guard.stdout.take(), guard.stderr.take());
        let log = Arc::clone(&self.log);
        let log = thread::spawn(move || {
            let (mut stderr, mut buffer) = (stderr.expect("a pipe"), [0; 4096]);
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                log.lock().expect("the log").extend(&buffer[..length]);
            }
        });
        let (sender, address) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout.expect("a pipe")).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Serving http://") {
                    // Only the first is waited for.
                    _ = sender.send(address.trim().parse());
                }
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

    /// The bytes of memory that it takes now, and the most that it has taken. Zeros on systems without /proc.
    pub fn memory(&self) -> (usize, usize) {
        let running = self.running.lock().expect("the process");
        let guard = running.as_ref().expect("it runs").guard.id().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let (mut now, mut most) = (0, 0);
        for process in processes.map(|entry| entry.path()) {
            let read = |file| fs::read_to_string(process.join(file)).unwrap_or_default();
            // After the name: the state, the parent, the group.
            let stat = read("stat");
            let group = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2));
            if group == Some(&guard) {
                let status = read("status");
                let bytes = |name: &str| {
                    let line = status
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
                    line.and_then(|line| line.trim().parse::<usize>().ok())
                        .unwrap_or_default()
                        * 1024
                };
                now += bytes("VmRSS:");
                most += bytes("VmHWM:");
            }
        }
        (now, most)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        _ = fs::remove_dir_all(&self.folder);
    }
}
