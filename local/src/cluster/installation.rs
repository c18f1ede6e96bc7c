//! Where this machine keeps the programs of a Postgres server.
//!
//! Knows no data folder, no account and no running server.

use anyhow::{Context, Result, bail};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest major version whose SQL and options the cluster relies on.
const OLDEST: u32 = 13;

const MISSING: &str = "no Postgres server found on PATH or under /usr/lib/postgresql: install it with \
    `sudo apt install postgresql` (Debian, Ubuntu), `sudo dnf install postgresql-server` (Fedora) or \
    `brew install postgresql` (macOS)";

/// Folders with one folder per version, what those are called, and where their programs are.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// One installed version of Postgres.
#[derive(Debug)]
pub(super) struct Installation {
    folder: PathBuf,
    major: u32,
}

impl Installation {
    /// The installation to use: that of version `wanted` when data of that version exists already,
    /// else the one on `PATH`, else the newest.
    pub(super) fn find(wanted: Option<u32>) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).filter_map(|folder| Self::at(&folder));
        let mut elsewhere: Vec<Self> = versioned().iter().filter_map(|folder| Self::at(folder)).collect();
        elsewhere.sort_by_key(|found| Reverse(found.major));
        choose(on_path.chain(elsewhere), wanted)
    }

    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn at(folder: &Path) -> Option<Self> {
        if !folder.join("initdb").is_file() || !folder.join("postgres").is_file() {
            return None;
        }
        let version = Command::new(folder.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let major = major_of(&String::from_utf8_lossy(&version.stdout))?;
        Some(Self {
            folder: folder.to_path_buf(),
            major,
        })
    }
}

fn choose(found: impl Iterator<Item = Installation>, wanted: Option<u32>) -> Result<Installation> {
    let mut seen = Vec::new();
    for installation in found {
        if wanted.map_or(installation.major >= OLDEST, |wanted| installation.major == wanted) {
            return Ok(installation);
        }
        seen.push(installation.major.to_string());
    }
    match wanted {
        _ if seen.is_empty() => bail!(MISSING),
        Some(wanted) => bail!(
            "the database folder was made by Postgres {wanted}, but this machine has version {}: \
             install version {wanted}, or start afresh without the old data",
            seen.join(" and ")
        ),
        None => bail!(
            "Postgres {OLDEST} or newer is needed, this machine has version {}",
            seen.join(" and ")
        ),
    }
}

fn versioned() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix, below) in VERSIONED {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path().join(below));
            }
        }
    }
    folders
}

/// The major version of a data folder, when it has one.
pub(super) fn major_of_data(data: &Path) -> Result<Option<u32>> {
    let file = data.join("PG_VERSION");
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let major = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no version", file.display()))?;
    Ok(Some(major))
}

/// `postgres (PostgreSQL) 15.8 (Debian …)` is 15, as is `15beta2`.
fn major_of(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Installation, choose, major_of};

    fn versions(majors: &[u32]) -> impl Iterator<Item = Installation> {
        majors.iter().map(|&major| Installation {
            folder: "/x".into(),
            major,
        })
    }

    #[test]
    fn the_major_version_is_read_from_all_forms() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("not a server"), None);
    }

    #[test]
    fn the_first_one_new_enough_is_taken() {
        assert_eq!(choose(versions(&[12, 15, 17]), None).map(|i| i.major).ok(), Some(15));
        assert_eq!(choose(versions(&[15, 17]), Some(17)).map(|i| i.major).ok(), Some(17));
    }

    #[test]
    fn what_is_missing_is_one_line() {
        for (found, wanted) in [
            (&[][..], None),
            (&[][..], Some(15)),
            (&[12][..], None),
            (&[17][..], Some(15)),
        ] {
            let message = choose(versions(found), wanted)
                .err()
                .map(|e| format!("{e:#}"))
                .unwrap_or_default();
            assert!(
                !message.is_empty() && !message.contains('\n') && !message.contains("  "),
                "{message}"
            );
        }
    }
}
