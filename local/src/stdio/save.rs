//! One file onto the disk: whole, checked, and over no other. Knows nothing of tools and servers.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use uuid::Uuid;

use super::upstream::{Failure, LIMIT, Stream};

/// Names that are tried for a file.
const NAMES: usize = 1000;

/// Where a file goes, and what it must be.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Its name before the number that tells it from others.
    pub(super) stem: String,
    /// Its name after that.
    pub(super) end: &'static str,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its SHA-256 in hex.
    pub(super) sha256: String,
}

impl Target {
    fn path(&self, number: usize) -> PathBuf {
        let between = if number == 0 {
            String::new()
        } else {
            format!("-{number}")
        };
        self.folder.join(format!("{}{between}{}", self.stem, self.end))
    }

    /// The path under which this very file is there already.
    pub(super) fn find(&self) -> Option<PathBuf> {
        let taken = (0..NAMES).map(|number| self.path(number));
        let mut taken = taken.take_while(|path| path.symlink_metadata().is_ok());
        taken.find(|path| self.is_at(path))
    }

    fn is_at(&self, path: &Path) -> bool {
        let is_same_size = path
            .symlink_metadata()
            .is_ok_and(|data| data.is_file() && data.len() == self.size);
        is_same_size && hash(path).is_ok_and(|hash| hash.eq_ignore_ascii_case(&self.sha256))
    }

    /// Gives a finished file its name; the path, and whether the same file was there already.
    fn name(&self, finished: &Path) -> io::Result<(PathBuf, bool)> {
        for path in (0..NAMES).map(|number| self.path(number)) {
            match claim(finished, &path) {
                Ok(()) => return Ok((path, false)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && self.is_at(&path) => return Ok((path, true)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("there are too many files of this name: remove some"))
    }
}

/// Names a finished file. Fails when the name is taken.
fn claim(finished: &Path, path: &Path) -> io::Result<()> {
    // A rename would replace a file that is there; a link does not.
    match fs::hard_link(finished, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Some file systems have no links: there, an empty file of ours holds the name for the rename.
            drop(File::options().write(true).create_new(true).open(path)?);
            fs::rename(finished, path)
        }
        done => done,
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(hash));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that goes away with this value: also when the download is given up in the middle.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is gone already where it was renamed.
        _ = fs::remove_file(&self.0);
    }
}

/// Writes what comes to a file of its own, and names it when it is what was announced. The path, and whether the same
/// file was there already.
///
/// # Errors
/// When it breaks off, is another file, or cannot be written. Nothing is left behind then.
pub(super) async fn save(body: Stream, target: Target) -> Result<(PathBuf, bool), Failure> {
    let unfinished = Unfinished(target.folder.join(format!(".{}.part", Uuid::new_v4())));
    let file = File::options().write(true).create_new(true).open(&unfinished.0);
    let mut file = file.map_err(|error| unwritable(&target.folder, &error))?;
    receive(body, &mut file, &target).await?;
    let named = tokio::task::spawn_blocking(move || {
        // After a crash there shall be no file of this name with other bytes.
        file.sync_all()?;
        drop(file);
        target
            .name(&unfinished.0)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", target.folder.display())))
    });
    match named.await {
        Ok(Ok(named)) => Ok(named),
        Ok(Err(error)) => Err(Failure::new(
            "SAVE_FAILED",
            format!("The file cannot be saved: {error}."),
        )),
        Err(_) => Err(Failure::new("SAVE_FAILED", "The file cannot be saved.")),
    }
}

async fn receive(mut body: Stream, file: &mut File, target: &Target) -> Result<(), Failure> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    let broken = |why: &str| Failure::new("DOWNLOAD_FAILED", format!("The download {why}. Try again."));
    loop {
        let frame = timeout(LIMIT, body.frame()).await;
        let Some(frame) = frame.map_err(|_| broken("stands still"))? else {
            break;
        };
        let frame = frame.map_err(|_| broken("broke off"))?;
        let Some(bytes) = frame.data_ref() else { continue };
        size += bytes.len() as u64;
        if size > target.size {
            break;
        }
        hash.update(bytes);
        file.write_all(bytes)
            .map_err(|error| unwritable(&target.folder, &error))?;
    }
    if size != target.size || !hex(hash).eq_ignore_ascii_case(&target.sha256) {
        let text = "The download is another file than the server announced: its size or its SHA-256 differs. Nothing \
            was saved. Try again; if it stays, tell the server's operator.";
        return Err(Failure::new("DOWNLOAD_DIFFERS", text));
    }
    Ok(())
}

fn unwritable(folder: &Path, error: &io::Error) -> Failure {
    let text = format!("Nothing can be written to {}: {error}.", folder.display());
    Failure::new("SAVE_FAILED", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("planexe-save-{name}-{}", std::process::id()));
            _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn target(&self, content: &str) -> Target {
            Target {
                folder: self.0.clone(),
                stem: "t-report".to_owned(),
                end: ".html",
                size: content.len() as u64,
                sha256: hex(Sha256::new_with_prefix(content)),
            }
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap().flatten();
            let mut names: Vec<_> = entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    fn body(content: &str) -> Stream {
        let bytes = Bytes::copy_from_slice(content.as_bytes());
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn files_are_saved_beside_others_and_the_same_file_once() {
        let folder = Folder::new("beside");
        fs::write(folder.0.join("t-report.html"), "the user's own").unwrap();
        let saved = save(body("plan"), folder.target("plan")).await.unwrap();
        assert_eq!(saved, (folder.0.join("t-report-1.html"), false));
        assert_eq!(folder.target("plan").find(), Some(folder.0.join("t-report-1.html")));
        let again = save(body("plan"), folder.target("plan")).await.unwrap();
        assert_eq!(again, (folder.0.join("t-report-1.html"), true));
        let other = save(body("nalp"), folder.target("nalp")).await.unwrap();
        assert_eq!(other, (folder.0.join("t-report-2.html"), false));
        assert_eq!(folder.names(), ["t-report-1.html", "t-report-2.html", "t-report.html"]);
        assert_eq!(
            fs::read_to_string(folder.0.join("t-report.html")).unwrap(),
            "the user's own"
        );
        assert_eq!(folder.target("none").find(), None);
    }

    #[tokio::test]
    async fn links_that_lead_elsewhere_are_left_alone() {
        let folder = Folder::new("links");
        let elsewhere = folder.0.join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.0.join("t-report.html")).unwrap();
        let (path, _) = save(body("plan"), folder.target("plan")).await.unwrap();
        assert_eq!(path, folder.0.join("t-report-1.html"));
        assert!(!elsewhere.exists());
    }

    #[tokio::test]
    async fn another_file_than_announced_leaves_nothing_behind() {
        let folder = Folder::new("other");
        for (sent, announced) in [
            ("plam", "plan"),
            ("pla", "plan"),
            ("plan and more", "plan"),
            ("", "plan"),
        ] {
            let failure = save(body(sent), folder.target(announced)).await.unwrap_err();
            assert_eq!(failure.code, "DOWNLOAD_DIFFERS", "{sent}");
        }
        assert_eq!(folder.names(), [""; 0]);
    }

    #[tokio::test]
    async fn a_download_that_is_given_up_leaves_nothing_behind() {
        let folder = Folder::new("given-up");
        let first = futures::stream::iter([Ok(http_body::Frame::data(Bytes::from_static(b"pl")))]);
        let never = futures::StreamExt::chain(first, futures::stream::pending());
        let endless: Stream = http_body_util::StreamBody::new(never).boxed_unsync();
        let saving = save(endless, folder.target("plan"));
        assert!(timeout(std::time::Duration::from_millis(50), saving).await.is_err());
        assert_eq!(folder.names(), [""; 0]);
    }
}
