//! One file from the server to the disk: whole, checked, and over no other.
//!
//! Knows what the server said about the file, not how it was asked.

use super::FileInfo;
use super::client::{LIMIT, Session};
use anyhow::{Context, Result, anyhow, bail};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Saves the file as `{stem}{end}` in a folder, or with a number between when there is one.
///
/// # Errors
///
/// When the download breaks off or is another file than announced; nothing is left behind then.
pub(super) async fn save(session: &Session, info: &FileInfo, out: &Path, stem: &str, end: &str) -> Result<PathBuf> {
    let (path, mut file) = create(out, stem, end).await?;
    let unfinished = Unfinished(Some(path));
    write(session, info, &mut file).await?;
    Ok(unfinished.keep())
}

/// A file that goes away unless it is kept: also when the download is given up in the middle.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn create(out: &Path, stem: &str, end: &str) -> Result<(PathBuf, File)> {
    for number in 1..1000 {
        let between = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let path = out.join(format!("{stem}{between}{end}"));
        match OpenOptions::new().write(true).create_new(true).open(&path).await {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    bail!(
        "there are too many files {stem}…{end} in {}: remove some",
        out.display()
    )
}

async fn write(session: &Session, info: &FileInfo, file: &mut File) -> Result<()> {
    let mut body = session.get(&info.download_url).await?.into_body();
    let (mut hash, mut size) = (Sha256::new(), 0);
    loop {
        let frame = timeout(LIMIT, body.frame()).await;
        let Some(frame) = frame.map_err(|_| anyhow!("the download stands still: try again"))? else {
            break;
        };
        let frame = frame.map_err(|_| anyhow!("the download broke off: try again"))?;
        let Some(bytes) = frame.data_ref() else { continue };
        size += bytes.len() as u64;
        if size > info.download_size {
            break;
        }
        hash.update(bytes);
        file.write_all(bytes).await.context("cannot write the file")?;
    }
    file.flush().await.context("cannot write the file")?;
    if size != info.download_size {
        bail!(
            "the server announced {} bytes and sent {}: try again",
            info.download_size,
            if size > info.download_size {
                "more".to_owned()
            } else {
                size.to_string()
            }
        );
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if !hash.eq_ignore_ascii_case(&info.sha256) {
        bail!("the file is another one than the server announced (its SHA-256 differs): try again");
    }
    Ok(())
}
