//! One file onto the disk: whole, checked, and over no other.

use std::{
    fs::Permissions,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::task::block_in_place;

use super::{client::Client, failure::Failure};

/// Names that are tried for a file.
const NAMES: usize = 1000;

/// Where a file goes, and what it must be.
#[derive(Debug)]
pub(crate) struct Target {
    /// The folder, which exists.
    pub(crate) folder: PathBuf,
    /// Its name before the number that tells it from others.
    pub(crate) stem: String,
    /// Its name after that.
    pub(crate) end: &'static str,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its SHA-256 in lower-case hex.
    pub(crate) sha256: String,
}

impl Target {
    /// The names that the file may have, in this order.
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let Self { folder, stem, end, .. } = self;
        std::iter::once(format!("{stem}{end}"))
            .chain((1..NAMES).map(move |number| format!("{stem}-{number}{end}")))
            .map(move |name| folder.join(name))
    }

    /// Whether this very file is there.
    fn is_at(&self, path: &Path) -> bool {
        let data = path.symlink_metadata();
        data.is_ok_and(|data| data.is_file() && data.len() == self.size)
            && std::fs::read(path).is_ok_and(|bytes| hex(Sha256::new_with_prefix(bytes)) == self.sha256)
    }

    /// The path under which this very file is there already.
    fn find(&self) -> Option<PathBuf> {
        let mut taken = self.paths().take_while(|path| path.symlink_metadata().is_ok());
        taken.find(|path| self.is_at(path))
    }

    /// Gives a finished file its name.
    fn name(&self, mut finished: NamedTempFile) -> io::Result<PathBuf> {
        // After a crash there must not be a file of this name with other bytes.
        finished.as_file().sync_all()?;
        for path in self.paths() {
            match finished.persist_noclobber(&path) {
                Ok(_) => return Ok(path),
                Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => finished = taken.file,
                Err(failed) => return Err(failed.error),
            }
        }
        Err(io::Error::other("there are too many files of this name: remove some"))
    }
}

/// Saves a file of a server, unless it is there already; its path, and whether it was there.
///
/// # Errors
/// When it breaks off, is another file, or cannot be written. Nothing is left behind then.
pub(crate) async fn save(client: &Client, address: &str, target: &Target) -> Result<(PathBuf, bool), Failure> {
    if let Some(path) = block_in_place(|| target.find()) {
        return Ok((path, true));
    }
    let mut response = client.get(address).await?;
    let unwritable = |error: io::Error| {
        let text = format!("Nothing can be written to {}: {error}.", target.folder.display());
        Failure::new("SAVE_FAILED", text)
    };
    let mut file = tempfile::Builder::new();
    // As for any new file of the user; tempfile's own default is closed to the user's group.
    let file = file
        .prefix(".")
        .suffix(".part")
        .permissions(Permissions::from_mode(0o666));
    let mut file = file.tempfile_in(&target.folder).map_err(unwritable)?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    while size <= target.size {
        let piece = response.chunk().await.map_err(|error| {
            let what = if error.is_timeout() { "stopped" } else { "broke off" };
            Failure::new("DOWNLOAD_FAILED", format!("The download {what}. Try again."))
        })?;
        let Some(piece) = piece else { break };
        size += piece.len() as u64;
        hash.update(&piece);
        file.write_all(&piece).map_err(unwritable)?;
    }
    if size != target.size || hex(hash) != target.sha256 {
        let text = "The download is another file than the server announced: its size or its SHA-256 differs. Nothing \
            was saved. Try again; if it stays, tell the server's operator.";
        return Err(Failure::new("DOWNLOAD_DIFFERS", text));
    }
    let path = block_in_place(|| target.name(file)).map_err(unwritable)?;
    Ok((path, false))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
