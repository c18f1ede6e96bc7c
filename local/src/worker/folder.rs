//! The folders of the runs on disk, their archives, and a real run to hand out. Knows no tasks and no HTTP.

use crate::schema::Generation;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, FixedOffset, Offset, Utc};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// The files of a run by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The folder of all runs, made with its first file. A run's folder has its id as name.
#[derive(Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// The local time that files in archives have.
    pub(super) offset: FixedOffset,
    /// Whether the services are those of May.
    pub(super) is_may: Arc<AtomicBool>,
}

impl Folder {
    pub(super) fn generation(&self) -> Generation {
        match self.is_may.load(Relaxed) {
            false => Generation::Feb,
            true => Generation::May,
        }
    }

    pub(super) fn path(&self, run: &str, name: &str) -> PathBuf {
        self.path.join(run).join(name)
    }

    /// Writes a file in place, as PlanExe does: a reader may see a part of it.
    pub(super) fn write(&self, run: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path(run, name);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        fs::write(path, content)
    }

    /// Files and folders of a run, in the disk's order.
    pub(super) fn names(&self, run: &str) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(self.path.join(run))?.map(name).collect()
    }

    /// An archive of a run as it is at this moment, in the disk's order and without `log.txt`.
    pub(super) fn zip(&self, run: &str) -> io::Result<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        self.pack(&mut zip, &self.path.join(run), "")?;
        Ok(zip.finish()?.into_inner())
    }

    fn pack(&self, zip: &mut ZipWriter<Cursor<Vec<u8>>>, path: &Path, prefix: &str) -> io::Result<()> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                folders.push((path.clone(), format!("{prefix}{name}/")));
            } else if name != "log.txt" {
                let written = DateTime::<Utc>::from(fs::metadata(&path)?.modified()?);
                let local = written.with_timezone(&self.offset).naive_local();
                let options = SimpleFileOptions::default().compression_level(Some(6));
                let options = options.last_modified_time(local.try_into().unwrap_or_default());
                zip.start_file(format!("{prefix}{name}"), options)?;
                zip.write_all(&fs::read(&path)?)?;
            }
        }
        folders
            .iter()
            .try_for_each(|(path, prefix)| self.pack(zip, path, prefix))
    }
}

/// The files of a real run, from a folder or an archive. Archives that were packed by hand have a folder around all.
pub(super) fn load(path: &Path) -> Result<Files> {
    let context = || format!("cannot read the run {}", path.display());
    let all = Folder {
        path: path.to_path_buf(),
        offset: Utc.fix(),
        is_may: Arc::default(),
    };
    let zip = if path.is_dir() { all.zip("") } else { fs::read(path) };
    let mut zip = ZipArchive::new(Cursor::new(zip.with_context(context)?)).with_context(context)?;
    let mut files = Files::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).with_context(context)?;
        let path = entry.name()?.into_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        // macOS adds hidden files.
        if !name.is_empty() && !name.starts_with('.') {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).with_context(context)?;
            files.insert(name.to_owned(), content);
        }
    }
    ensure!(!files.is_empty(), "there are no files in the run {}", path.display());
    Ok(files)
}
