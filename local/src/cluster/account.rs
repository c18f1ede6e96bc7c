//! Who runs the server: Postgres refuses root, so root hands it to an account without rights.
//!
//! Knows no server and no data; only accounts and what they may reach.

use anyhow::{Context, Result, bail};
use nix::unistd::{User, geteuid};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The accounts tried in this order.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The account that runs the server's programs.
pub(super) enum Account {
    /// The caller's own.
    Own,
    /// Another one, because the caller is root.
    Other {
        /// Its name, for messages.
        name: String,
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
}

impl Account {
    /// The caller's own account unless that is root.
    pub(super) fn choose() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        for name in CANDIDATES {
            if let Some(user) = User::from_name(name).context("cannot read the list of accounts")? {
                return Ok(Self::Other {
                    name: name.to_owned(),
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                });
            }
        }
        bail!("Postgres does not run as root, and this machine has neither a `postgres` nor a `nobody` account")
    }

    /// A command that runs under this account, without the caller's Postgres settings and locale.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("PG") || text.starts_with("LC_") || text.starts_with("LANG") {
                command.env_remove(&name);
            }
        }
        command.env("LC_ALL", "C").stdin(Stdio::null());
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Whether it may enter a folder: every folder above must let it through.
    pub(super) fn may_enter(&self, folder: &Path) -> bool {
        self.command(Path::new("/bin/sh"))
            .args(["-c", "cd \"$1\"", "sh"])
            .arg(folder)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes it the owner of a file or folder.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { name, uid, gid } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .with_context(|| format!("cannot give {} to the account {name}", path.display())),
        }
    }
}
