//! The stages of the pipeline, their files, what stands in them, and how far a run has come. Knows no disk.

use super::REPORT;
use super::folder::Files;
use serde_json::json;
use std::collections::BTreeSet;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// All stages, in the order of the work.
const TABLE: &str = include_str!("pipeline.txt");
/// Stands in every file that an LLM would have made.
const MARK: &str = "This is a sample made without a language model. It is no plan: do not act on it.";

/// A part of the pipeline that succeeds or fails as a whole.
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// The stages that must have succeeded before.
    pub(super) needs: BTreeSet<&'static str>,
    /// An LLM call (`*`), a call whose progress is written late (`~`), or a file by its name.
    pub(super) steps: Vec<String>,
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (name, rest) = line.split_once(" | ")?;
        let (needs, steps) = rest.split_once("| ")?;
        Some((name, needs, steps))
    })
}

/// The names that a full run is expected to have, 111 of them. The lists of experts are written, but not expected.
pub(super) fn expected() -> BTreeSet<&'static str> {
    let mut names: BTreeSet<_> = rows().flat_map(|(.., steps)| steps.split_whitespace()).collect();
    names.retain(|name| !name.contains(['*', '~']) && !name.starts_with("015-"));
    names
}

/// All stages but the first, whose files are there before. A run to serve takes the place of the sample's files.
pub(super) fn stages(speed: &str, served: Option<&Files>) -> Vec<Stage> {
    let mut stages = Vec::new();
    for (name, needs, steps) in rows().skip(1) {
        let steps = steps.split_whitespace();
        stages.push(Stage {
            name,
            needs: needs.split_whitespace().filter(|need| *need != "start").collect(),
            steps: steps.flat_map(|token| parse(token, speed, served)).collect(),
        });
    }
    let names = served.iter().flat_map(|files| files.keys());
    for name in names.filter(|name| !name.starts_with("001-")) {
        if !stages.iter().any(|stage| stage.steps.contains(name)) {
            // Of another generation of PlanExe: it comes with the files of the same number, or at the end.
            let is_place = |stage: &Stage| stage.steps.iter().any(|step| step.get(..4) == name.get(..4));
            let place = stages.iter().rposition(is_place).unwrap_or(stages.len() - 1);
            let stage = stages.get_mut(place).into_iter();
            stage.for_each(|stage| stage.steps.push(name.clone()));
        }
    }
    stages
}

fn parse(token: &str, speed: &str, served: Option<&Files>) -> Vec<String> {
    let Some((counts, piece)) = token.split_once(['*', '~']) else {
        let is_there = served.is_none_or(|files| files.contains_key(token));
        return vec![token.to_owned(); is_there.into()];
    };
    let call = if token.contains('~') { "~" } else { "*" };
    let (fast, all) = counts.split_once('/').unwrap_or((counts, counts));
    let is_fast = speed == "fast_but_skip_details";
    let count = if is_fast { fast } else { all }.parse().unwrap_or(1_usize);
    let Some((head, tail)) = piece.split_once("{}") else {
        return vec![call.to_owned(); count];
    };
    let is_piece = |name: &&String| name.starts_with(head) && name.ends_with(tail);
    let mut pieces: Vec<_> = match served {
        None => (1..=count).map(|number| format!("{head}{number}{tail}")).collect(),
        Some(files) => files.keys().filter(is_piece).cloned().collect(),
    };
    pieces.sort_by_key(String::len);
    let pieces = pieces.into_iter();
    pieces.flat_map(|name| [call.to_owned(), name]).collect()
}

/// Percentage and text of the progress of a run with these files.
pub(super) fn progress(names: &[String]) -> (f64, String) {
    let ignored = [
        "log.txt",
        "expected_filenames1.json",
        "pipeline_stop_requested.txt",
        ".DS_Store",
    ];
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    let (all, done) = (expected().len(), expected().intersection(&names).count());
    let extra = names.len() - done - ignored.iter().filter(|name| names.contains(*name)).count();
    let mut text = format!("{done} of {all}");
    if extra > 0 {
        text += &format!(". Extra files: {extra}");
    }
    (done as f64 * 100.0 / all as f64, text)
}

/// Whether no LLM answers this prompt.
pub(super) fn fails(prompt: &str) -> bool {
    prompt.contains("[sample: fail]")
}

/// The files that a run has before its first LLM call. `now` is the worker's local time.
pub(super) fn first_files(prompt: &str, now: OffsetDateTime) -> [(&'static str, String); 2] {
    let second = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let offset = format_description!("[offset_hour sign:mandatory]:[offset_minute]");
    let day = format_description!("[year]-[month repr:short]-[day]");
    let show = |time: OffsetDateTime, format| time.format(format).unwrap_or_default();
    let utc = show(now.to_offset(UtcOffset::UTC), second);
    let (local, offset, day) = (show(now, second), show(now, offset), show(now, day));
    let zone = if now.offset().is_utc() { "UTC" } else { &offset };
    let start = format!(
        "{{\n  \"server_iso_utc\": \"{utc}Z\",\n  \"server_iso_local\": \"{local}{offset}\",\n  \
         \"server_timezone_name\": \"{zone}\"\n}}"
    );
    let plan = format!("Plan:\n{prompt}\n\nToday's date:\n{day}\n\nProject start ASAP");
    [("001-1-start_time.json", start), ("001-2-plan.txt", plan)]
}

/// The content of any other file.
pub(super) fn content(name: &str, prompt: &str) -> Vec<u8> {
    let text = match name.rsplit('.').next() {
        _ if name == REPORT => return report(prompt),
        _ if name.starts_with("999-") => "Full pipeline executed successfully.\n".to_owned(),
        // Plain text in spite of its name.
        _ if name.starts_with("018-3-") => MARK.to_owned(),
        Some("json" | "jsonl") => format!("{}\n", json!({ "file": name, "sample": MARK })),
        Some("csv") => format!("file;sample\n{name};{MARK}\n"),
        Some("html") => format!("<!doctype html>\n<html lang=\"en\"><title>{name}</title><p>{MARK}</html>\n"),
        _ => format!("# {name}\n\n{MARK}\n"),
    };
    text.into_bytes()
}

fn report(prompt: &str) -> Vec<u8> {
    let prompt = prompt.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let page = include_str!("report.html").replace("{mark}", MARK);
    let mut page = page.replace("{prompt}", &prompt);
    if prompt.contains("[sample: crlf]") {
        page = page.replace('\n', "\r\n");
    }
    let mut page = page.into_bytes();
    page.extend(prompt.contains("[sample: nul]").then_some(0));
    page.extend(prompt.contains("[sample: badutf8]").then_some(0xff));
    page
}
