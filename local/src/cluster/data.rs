//! The making of a data folder: initdb, the one account, and who gets in.
//!
//! Starts no server that listens, and knows no databases.

use super::account::Account;
use super::home::Home;
use super::installation::{self, Installation};
use super::server;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its own access file: passwords are checked, but not at the price of SCRAM, since this one is no secret.
const ACCESS: &str = "# database  account  address       method\nhost all planexe 127.0.0.1/32 password\n";

const ROLE: &str = "CREATE ROLE planexe LOGIN CREATEDB PASSWORD 'planexe' IN ROLE pg_monitor, pg_signal_backend\n";

/// Takes hold of the folder and puts data there when it has none.
pub(super) fn prepare(folder: &Path, fresh: bool, fsync: bool) -> Result<(Home, Account, Installation)> {
    let account = Account::choose()?;
    let home = Home::open(folder, &account)?;
    let data = home.data();
    if fresh && data.exists() {
        server::end_orphan(&data)?;
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    let installation = Installation::find(installation::major_of_data(&data)?)?;
    if !data.exists() {
        make_data(&home, &account, &installation, fsync)?;
    }
    Ok((home, account, installation))
}

/// A data folder under another name first: one that is there is complete.
fn make_data(home: &Home, account: &Account, installation: &Installation, fsync: bool) -> Result<()> {
    let new = home.folder().join("data.new");
    if new.exists() {
        std::fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    std::fs::create_dir(&new).with_context(|| format!("cannot make {}", new.display()))?;
    account.own(&new)?;
    let mut initdb = account.command(&installation.program("initdb"));
    initdb.current_dir(&new).arg("-D").arg(&new);
    initdb.args([
        "--username=postgres",
        "--locale=C",
        "--encoding=UTF8",
        "--auth=reject",
        "--no-instructions",
    ]);
    // Whoever turns off fsync has no data to lose.
    initdb.args((!fsync).then_some("--no-sync"));
    finish(initdb, "")?;
    let mut single = account.command(&installation.program("postgres"));
    single
        .current_dir(&new)
        .args(["--single", "-D"])
        .arg(&new)
        .arg("postgres");
    finish(single, ROLE)?;
    let access: PathBuf = new.join("pg_hba.conf");
    std::fs::write(&access, ACCESS).with_context(|| format!("cannot write {}", access.display()))?;
    std::fs::rename(&new, home.data()).with_context(|| format!("cannot rename {}", new.display()))
}

/// Runs a program to its end with `input`; its own last words are the error.
fn finish(mut command: Command, input: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that has ended already says why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = said
        .lines()
        .rev()
        .find(|line| line.contains("ERROR:") || line.contains("FATAL:"));
    if output.status.success() && complaint.is_none() {
        return Ok(());
    }
    let why = complaint
        .or(said.lines().rev().find(|line| line.contains("error")))
        .or(said.lines().last());
    bail!("{name} failed: {}", why.unwrap_or("it said nothing").trim())
}
