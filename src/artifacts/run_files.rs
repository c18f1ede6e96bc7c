//! The list of a run's files: from the archive in the database, else from `worker_plan`.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    LIST_LIMIT,
    stored_zip::{FileNames, StoredZip},
};
use crate::{
    clock,
    db::{
        Database,
        task::{ArchiveEnd, Progress},
    },
    error::{Error, Unavailable},
    plan::{REPORT_NAMES, TaskState, is_inside, is_withheld, stage},
    worker_plan::WorkerPlan,
};

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Unix time of its last change; `None` when it is unknown.
    pub updated_at: Option<u64>,
}

/// Date and time of a file in an archive, in the format of MS-DOS: the worker's local time. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DosTime {
    /// From the upper bits on: 7 for the years since 1980, 4 for the month, 5 for the day.
    date: u16,
    /// From the upper bits on: 5 for the hour, 6 for the minute, 5 for pairs of seconds.
    time: u16,
}

impl DosTime {
    /// `None` for numbers that are not a date.
    pub(super) fn new(date: u16, time: u16) -> Option<Self> {
        let is_date = (1..=12).contains(&((date >> 5) & 15)) && date & 31 > 0;
        let is_time = time >> 11 < 24 && (time >> 5) & 63 < 60 && time & 31 < 30;
        (is_date && is_time).then_some(Self { date, time })
    }

    /// Reads `2026-01-31T12:00:00Z`, to two seconds as all of these times.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['-', 'T', ':', '.', 'Z']).map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let year: u16 = next()?;
        let date = (year.checked_sub(1980)? << 9) | (next()? << 5) | next()?;
        Self::new(date, (next()? << 11) | (next()? << 5) | (next()? / 2))
    }

    /// Seconds since 1970, as if the worker's clock ran in UTC.
    fn seconds(self) -> i64 {
        let Self { date, time } = self;
        // Count years from March, so that a leap day is the last day of its year.
        let (year, month) = (1980 + i64::from(date >> 9), i64::from((date >> 5) & 15));
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + i64::from(date & 31);
        let hours = i64::from(time >> 11);
        // 719,469 days lie between 29 February of the year 0 and 1 January 1970.
        (((days - 719_469) * 24 + hours) * 60 + i64::from((time >> 5) & 63)) * 60 + i64::from((time & 31) * 2)
    }
}

/// Time, stage and name of a file: files are sorted by them.
type Shown<'a> = (Option<DosTime>, Option<[u32; 3]>, &'a str);

/// The names and times of a run's files.
#[derive(Default)]
pub struct RunFiles {
    files: Vec<(Option<DosTime>, Vec<u8>)>,
    /// Whether the times are in UTC, not in the worker's time zone.
    is_utc: bool,
    /// Whether `worker_plan` was asked and has no files of the run, as after the end of a task.
    pub is_gone: bool,
}

impl RunFiles {
    /// Lists the files of a task. Never fails and takes at most two seconds: on any error the list is empty.
    pub async fn list(database: &Database, progress: &Progress, archive: Option<ArchiveEnd>) -> Self {
        let listed = clock::within(
            database.request().left(LIST_LIMIT),
            list_files(database, progress, archive),
        )
        .await;
        let listed = listed.unwrap_or_else(|| Err(Error::Internal("the list of files took too long".to_owned())));
        listed.unwrap_or_else(|error| {
            database.request().log_error(&error);
            Self::default()
        })
    }

    /// The files of an archive.
    pub(crate) fn from_names(names: &FileNames) -> Self {
        Self {
            files: names.files().map(|(time, name)| (time, name.to_vec())).collect(),
            is_utc: false,
            is_gone: false,
        }
    }

    /// Whether the report is among the files.
    #[must_use]
    pub fn has_report(&self) -> bool {
        let is_report = |name: &[u8]| REPORT_NAMES.iter().any(|report| name == report.as_bytes());
        self.files.iter().any(|(_, name)| is_report(name))
    }

    /// How many files can be downloaded by name.
    #[must_use]
    pub fn count(&self) -> usize {
        // An archive may have two files of the same name.
        let names: BTreeSet<&str> = self.shown().into_iter().map(|(_, _, name)| name).collect();
        names.len()
    }

    /// The files that can be downloaded by name, without `PlanExe`'s internal ones: those whose names have no stage, or, where
    /// no name has one as since April 2026, the log.
    fn shown(&self) -> Vec<Shown<'_>> {
        let files = self.files.iter().filter_map(|(time, name)| {
            let name = std::str::from_utf8(name).ok()?;
            let is_shown = is_inside(name) && !is_withheld(name) && name != "log.txt";
            is_shown.then(|| (*time, stage(name), name))
        });
        let mut files: Vec<_> = files.collect();
        let has_stages = files.iter().any(|(_, stage, _)| stage.is_some());
        files.retain(|(_, stage, _)| stage.is_some() == has_stages);
        files
    }

    /// At most `limit` files of the plan, newest first; where times are missing or equal, those of later stages first.
    ///
    /// Archives hold local times of the worker. `ended` is the Unix time at which the task ended. Its last file was written
    /// within 15 minutes before that, so the difference, rounded to whole quarters of an hour, is the worker's offset from
    /// UTC.
    #[must_use]
    pub fn newest(&self, ended: Option<u64>, limit: usize) -> Vec<File> {
        let mut files = self.shown();
        files.sort_unstable_by_key(|file| Reverse(*file));
        // An archive may have two files of the same name.
        let mut shown: Vec<(Option<DosTime>, &str)> = Vec::with_capacity(limit.min(files.len()));
        for (time, _, name) in files {
            if shown.len() < limit && shown.iter().all(|(_, other)| *other != name) {
                shown.push((time, name));
            }
        }
        let last = self.files.iter().filter_map(|(time, _)| *time).max();
        let offset = ended.filter(|_| !self.is_utc).zip(last).map_or(0, |(ended, last)| {
            const QUARTER: i64 = 900;
            // The worker's clock and that of the service which writes the event may differ by a minute.
            let ahead = last.seconds().saturating_sub_unsigned(ended) - 60;
            (ahead + QUARTER - 1).div_euclid(QUARTER) * QUARTER
        });
        let now = clock::unix_time();
        let updated_at = |time: DosTime| u64::try_from(time.seconds() - offset).ok().filter(|time| *time <= now);
        shown
            .into_iter()
            .map(|(time, name)| File {
                name: name.to_owned(),
                updated_at: time.and_then(updated_at),
            })
            .collect()
    }
}

async fn list_files(database: &Database, progress: &Progress, archive: Option<ArchiveEnd>) -> Result<RunFiles, Error> {
    if let Some(ArchiveEnd { stored, bytes }) = archive {
        let names = StoredZip::new(database, progress.id, stored).names(bytes).await?;
        return Ok(RunFiles::from_names(&names));
    }
    // A pending task has no files anywhere.
    if progress.state == TaskState::Pending {
        return Ok(RunFiles::default());
    }
    let worker = WorkerPlan::configured(database.request()).await?;
    let mut run = RunFiles {
        is_utc: true,
        ..RunFiles::default()
    };
    match worker.list_files(progress.id).await {
        Err(Unavailable::NoSuchFile) => run.is_gone = true,
        listed => listed?.each(|name, time| run.files.push((DosTime::parse(time), name.into_bytes()))),
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: u16, month: u16, day: u16) -> u16 {
        ((year - 1980) << 9) | (month << 5) | day
    }

    fn time(hour: u16, minute: u16, second: u16) -> u16 {
        (hour << 11) | (minute << 5) | (second / 2)
    }

    #[test]
    fn times_are_read_as_unix_times() {
        for (date, time, text) in [
            (date(1980, 1, 1), time(0, 0, 0), Some("1980-01-01T00:00:00Z")),
            (date(2000, 2, 29), time(12, 0, 2), Some("2000-02-29T12:00:02Z")),
            (date(2024, 3, 1), time(0, 0, 0), Some("2024-03-01T00:00:00Z")),
            (date(2026, 11, 22), time(23, 59, 58), Some("2026-11-22T23:59:58Z")),
            (date(2107, 12, 31), time(9, 5, 6), Some("2107-12-31T09:05:06Z")),
            (0, 0, None),
            (date(2026, 13, 1), 0, None),
            (date(2026, 0, 1), 0, None),
            (date(2026, 1, 0), 0, None),
            (date(2026, 1, 1), time(24, 0, 0), None),
            (date(2026, 1, 1), time(0, 60, 0), None),
            (date(2026, 1, 1), time(0, 0, 60), None),
        ] {
            let read = DosTime::new(date, time).map(|time| clock::rfc3339(time.seconds().unsigned_abs()));
            assert_eq!(read.as_deref(), text, "{date:#x} {time:#x}");
        }
    }

    fn names(files: &[File]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn stages_are_sorted_as_numbers_and_other_names_left_out() {
        let made = [
            "006-9-x.md",
            "006-13-x.md",
            "016-1-2-x.json",
            "016-1-10-x.json",
            "track_activity.jsonl",
            "expected_filenames1.json",
            "log.txt",
            "../007-1-x.md",
            "006-9-x.md",
        ];
        let listing = RunFiles {
            files: made.map(|name| (None, name.as_bytes().to_vec())).into(),
            ..RunFiles::default()
        };
        let newest = listing.newest(None, 10);
        assert_eq!(
            names(&newest),
            ["016-1-10-x.json", "016-1-2-x.json", "006-13-x.md", "006-9-x.md"]
        );
        assert_eq!(listing.newest(None, 2).len(), 2);
    }

    #[test]
    fn names_without_stages_are_sorted_by_time() {
        let made = [
            ("2026-01-31T12:00:00Z", "report.html"),
            ("2026-02-01T00:00:02Z", "a.md"),
            ("2026-01-31T12:00:02.123Z", "plan_raw.json"),
            ("", "b.md"),
            ("2026-03-01T00:00:00Z", "log.txt"),
            ("2026-03-01T00:00:00Z", "track_activity.jsonl"),
            ("2026-03-01T00:00:00Z", "../up.md"),
        ];
        let listing = RunFiles {
            files: made
                .map(|(time, name)| (DosTime::parse(time), name.as_bytes().to_vec()))
                .into(),
            is_utc: true,
            ..RunFiles::default()
        };
        let newest = listing.newest(Some(1_764_000_000), 10);
        assert_eq!(names(&newest), ["a.md", "plan_raw.json", "report.html", "b.md"]);
        assert_eq!(newest.first().and_then(|file| file.updated_at), Some(1_769_904_002));
        assert!(listing.has_report());
    }

    fn report(written: Option<DosTime>) -> RunFiles {
        RunFiles {
            files: vec![(written, b"030-report.html".to_vec())],
            ..RunFiles::default()
        }
    }

    #[test]
    fn times_of_a_worker_in_another_zone_become_utc() {
        let ended = 1_764_000_000; // 2025-11-24T16:00:00Z
        for (hour, minute) in [(16, 0), (1, 0), (21, 30), (8, 0)] {
            // The last file is made four seconds before the end.
            let (hour_before, minute_before) = if minute == 0 {
                (hour - 1, 59)
            } else {
                (hour, minute - 1)
            };
            let day = if hour == 1 { 25 } else { 24 };
            let last = DosTime::new(date(2025, 11, day), time(hour_before, minute_before, 56));
            let listing = report(last);
            let newest = listing.newest(Some(ended), 10);
            assert_eq!(
                newest.first().and_then(|file| file.updated_at),
                Some(ended - 4),
                "{hour}"
            );
        }
        // The last file may be written ten minutes before the end.
        let listing = report(DosTime::new(date(2025, 11, 24), time(15, 50, 0)));
        let newest = listing.newest(Some(ended), 10);
        assert_eq!(newest.first().and_then(|file| file.updated_at), Some(ended - 600));
        // A time in the future is not shown.
        let listing = report(DosTime::new(date(2107, 1, 1), 0));
        assert_eq!(listing.newest(None, 10).first().map(|file| file.updated_at), Some(None));
    }
}
