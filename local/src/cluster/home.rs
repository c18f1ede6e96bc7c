//! The cluster's folder on disk: where it is, who holds it, which port it had.
//!
//! ```text
//! data/           Postgres's own
//! postgres.log    the server's log since its last start;  postgres.log.old  the one before
//! port            the port of the last start
//! lock            held while a process runs the cluster; holds that process's id
//! ```
//!
//! Starts nothing and speaks no SQL.

use super::account::Account;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Another process runs the cluster of this folder.
#[derive(Debug)]
pub struct InUse {
    folder: PathBuf,
    holder: String,
}

impl InUse {
    /// The port of that cluster; `None` when its process has not said it yet.
    pub(crate) fn port(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.folder.join("port")).ok()?;
        text.trim().parse().ok().filter(|port| *port != 0)
    }

    /// The id of that process.
    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }
}

impl fmt::Display for InUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the database folder {} is in use by process {}: stop that one, or choose another folder",
            self.folder.display(),
            self.holder
        )
    }
}

impl std::error::Error for InUse {}

/// The folder, held for this process until dropped.
pub(super) struct Home {
    folder: PathBuf,
    note: Option<String>,
    _lock: File,
}

impl Home {
    /// Makes the folder, or finds another place for it when the server's account cannot enter it, and
    /// takes hold of it.
    pub(super) fn open(wanted: &Path, account: &Account) -> Result<Self> {
        make(wanted)?;
        let wanted = wanted
            .canonicalize()
            .with_context(|| format!("cannot find {}", wanted.display()))?;
        let (folder, note) = place(&wanted, account)?;
        let lock = hold(&folder)?;
        Ok(Self {
            folder,
            note,
            _lock: lock,
        })
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the folder went, when it is not where the caller wanted it.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Postgres's data folder.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// An empty log; the former one keeps its name with `.old` behind it.
    pub(super) fn new_log(&self) -> Result<File> {
        let log = self.log();
        if log.exists() {
            std::fs::rename(&log, self.folder.join("postgres.log.old"))
                .with_context(|| format!("cannot rename {}", log.display()))?;
        }
        File::create(&log).with_context(|| format!("cannot write {}", log.display()))
    }

    /// The port to listen on: `wanted`, else the one used before if it is free, else any free one.
    pub(super) fn choose_port(&self, wanted: Option<u16>) -> Result<u16> {
        if let Some(port) = wanted {
            return match free(port) {
                Some(port) => Ok(port),
                None => bail!("port {port} is taken by another program: choose another one for the database"),
            };
        }
        let before = std::fs::read_to_string(self.folder.join("port")).ok();
        let before = before
            .and_then(|text| text.trim().parse().ok())
            .filter(|port| *port != 0);
        before
            .and_then(free)
            .or_else(|| free(0))
            .context("no free port on 127.0.0.1 for the database")
    }

    /// Remembers a port for the next start.
    pub(super) fn keep_port(&self, port: u16) -> Result<()> {
        let file = self.folder.join("port");
        std::fs::write(&file, format!("{port}\n")).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn free(port: u16) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// The folder itself, or one among the machine's temporary files with a link to it.
fn place(wanted: &Path, account: &Account) -> Result<(PathBuf, Option<String>)> {
    let Account::Other { name, .. } = account else {
        return Ok((wanted.to_path_buf(), None));
    };
    open_to_all(wanted)?;
    if account.may_enter(wanted) {
        return Ok((wanted.to_path_buf(), None));
    }
    let folder = elsewhere(wanted, account)?;
    make(&folder)?;
    let found = folder
        .symlink_metadata()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    // Everybody may make folders there; only root's own can be trusted.
    if !found.is_dir() || found.uid() != 0 {
        bail!("{} belongs to somebody else: remove it", folder.display());
    }
    open_to_all(&folder)?;
    let link = wanted.join("moved");
    // A link of an earlier start points to the same place.
    let _ = std::os::unix::fs::symlink(&folder, &link);
    let note = format!(
        "the database runs as `{name}`, who cannot enter {}: its folder is {} ({} leads there)",
        wanted.display(),
        folder.display(),
        link.display()
    );
    Ok((folder, Some(note)))
}

/// `/var/tmp` outlives a restart of the machine, the usual folder for temporary files may not.
fn elsewhere(wanted: &Path, account: &Account) -> Result<PathBuf> {
    let hash = Sha256::digest(wanted.as_os_str().as_encoded_bytes());
    let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    [PathBuf::from("/var/tmp"), std::env::temp_dir()]
        .into_iter()
        .find(|parent| account.may_enter(parent))
        .map(|parent| parent.join(format!("planexe-{hash}")))
        .with_context(|| {
            format!(
                "the account that runs the database can enter neither {} nor /var/tmp",
                wanted.display()
            )
        })
}

fn open_to_all(folder: &Path) -> Result<()> {
    let mut permissions = folder
        .metadata()
        .with_context(|| format!("cannot read {}", folder.display()))?
        .permissions();
    permissions.set_mode(permissions.mode() | 0o711);
    std::fs::set_permissions(folder, permissions).with_context(|| format!("cannot open up {}", folder.display()))
}

fn hold(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            return Err(InUse {
                folder: folder.to_path_buf(),
                holder: holder.trim().to_owned(),
            }
            .into());
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(file)
}
