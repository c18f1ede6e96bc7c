//! Zip archives of runs, out and in, and folders of runs.
//!
//! Knows no tasks and no HTTP.

use super::LOG;
use super::runs::RunFiles;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use time::OffsetDateTime;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The files of a run that was read.
pub(super) type Files = BTreeMap<String, Bytes>;

/// Files beyond this are refused: nothing PlanExe makes comes near it.
const LARGEST: u64 = 256 << 20;

/// An archive with the files at its top level, without the log.
pub(super) fn pack(files: &RunFiles) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, file) in files.iter().filter(|(name, _)| *name != LOG) {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .last_modified_time(stamp(file.written));
        zip.start_file(name, options)
            .with_context(|| format!("cannot put {name} into the archive"))?;
        zip.write_all(&file.content)
            .with_context(|| format!("cannot put {name} into the archive"))?;
    }
    Ok(zip.finish().context("cannot finish the archive")?.into_inner())
}

/// The files of an archive, wherever in it they are: real ones have a folder around them.
pub(super) fn unpack(zip: &[u8]) -> Result<Files> {
    let mut zip = ZipArchive::new(Cursor::new(zip)).context("this is no zip archive")?;
    let mut files = Files::new();
    let mut left = LARGEST;
    for index in 0..zip.len() {
        let entry = zip.by_index(index).context("an entry of the archive is broken")?;
        let path = entry.name().context("a name in the archive is broken")?.into_owned();
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if entry.is_dir() || is_clutter(&name) || path.starts_with("__MACOSX/") {
            continue;
        }
        let mut content = Vec::new();
        entry
            .take(left + 1)
            .read_to_end(&mut content)
            .with_context(|| format!("{name} in the archive is broken"))?;
        left = left
            .checked_sub(content.len() as u64)
            .context("the archive is too large")?;
        files.insert(name, content.into());
    }
    Ok(files)
}

/// The files of a run, from a folder or an archive.
pub(super) fn load(path: &Path) -> Result<Files> {
    let context = || format!("cannot read the run {}", path.display());
    let files = if path.is_dir() {
        folder(path).with_context(context)?
    } else {
        unpack(&std::fs::read(path).with_context(context)?).with_context(context)?
    };
    if files.is_empty() {
        bail!("there are no files in the run {}", path.display());
    }
    Ok(files)
}

fn folder(path: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !is_clutter(&name) {
            files.insert(name, std::fs::read(entry.path())?.into());
        }
    }
    Ok(files)
}

fn is_clutter(name: &str) -> bool {
    name.is_empty() || name.starts_with('.')
}

fn stamp(time: OffsetDateTime) -> zip::DateTime {
    let year = u16::try_from(time.year()).unwrap_or_default();
    zip::DateTime::from_date_and_time(
        year,
        time.month().into(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::runs::Runs;
    use super::{load, pack, unpack};
    use bytes::Bytes;

    #[test]
    fn what_is_packed_comes_out_again_without_the_log() {
        let runs = Runs::default();
        let big = Bytes::from("a long text ".repeat(10_000));
        runs.add(
            "r",
            [
                ("001-2-plan.txt".to_owned(), big.clone()),
                ("log.txt".to_owned(), "x".into()),
            ],
        );
        let zip = pack(&runs.files("r").unwrap()).unwrap();
        assert!(zip.len() < big.len() / 10);
        let files = unpack(&zip).unwrap();
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            [("001-2-plan.txt".to_owned(), big)]
        );
    }

    #[test]
    fn what_is_no_run_is_refused_in_one_line() {
        assert!(unpack(b"PK no archive").is_err());
        let message = format!("{:#}", load("/no/such/run.zip".as_ref()).unwrap_err());
        assert!(message.starts_with("cannot read the run /no/such/run.zip"), "{message}");
    }
}
