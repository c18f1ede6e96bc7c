//! The stages of the pipeline, their files, what stands in them, and how far a run has come. Knows no disk.

use super::folder::Files;
use chrono::{FixedOffset, Utc};
use serde_json::json;
use std::collections::BTreeSet;

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

fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(" | ").collect::<Vec<_>>().try_into().ok())
}

/// The names that a full run is expected to have, 111 of them. The lists of experts are written, but not expected.
pub(super) fn expected() -> BTreeSet<&'static str> {
    let names = rows().flat_map(|[_, _, steps]| steps.split_whitespace());
    names
        .filter(|name| !name.contains(['*', '~']) && !name.starts_with("015-"))
        .collect()
}

/// All stages but the first, whose files are there before. A run to serve takes the place of the sample's files.
pub(super) fn stages(speed: &str, served: Option<&Files>) -> Vec<Stage> {
    let mut stages = Vec::new();
    for [name, needs, steps] in rows().skip(1) {
        let needs = needs.split_whitespace().filter(|need| *need != "start").collect();
        let steps = steps.split_whitespace().flat_map(|token| parse(token, speed)).collect();
        stages.push(Stage { name, needs, steps });
    }
    let Some(served) = served else { return stages };
    for name in served.keys().filter(|name| !name.starts_with("001-")) {
        // Of another generation of PlanExe: it comes with the files of the same number, or at the end.
        let is_place = |stage: &Stage| stage.steps.iter().any(|step| step.get(..4) == name.get(..4));
        let place = stages.iter().rposition(is_place).unwrap_or(stages.len() - 1);
        let is_known = stages.iter().any(|stage| stage.steps.contains(name));
        if let Some(stage) = stages.get_mut(place).filter(|_| !is_known) {
            stage.steps.push(name.clone());
        }
    }
    for stage in &mut stages {
        stage.steps.retain(|step| step.len() == 1 || served.contains_key(step));
    }
    stages
}

fn parse(token: &str, speed: &str) -> Vec<String> {
    let Some((counts, piece)) = token.split_once(['*', '~']) else {
        return vec![token.to_owned()];
    };
    let call = if token.contains('~') { "~" } else { "*" };
    let (fast, all) = counts.split_once('/').unwrap_or((counts, counts));
    let count = if speed.starts_with("fast") { fast } else { all };
    let pieces = (1..=count.parse().unwrap_or(1_u32)).map(|number| piece.replace("{}", &number.to_string()));
    let steps = pieces.flat_map(|piece| [call.to_owned(), piece]);
    steps.filter(|step| !step.is_empty()).collect()
}

/// Percentage and text of the progress of a run with these files.
pub(super) fn progress(names: &[String]) -> (f64, String) {
    let expected = expected();
    let ignored = ["log.txt", "expected_filenames1.json", "pipeline_stop_requested.txt"];
    let counted = names.iter().filter(|name| !ignored.contains(&name.as_str()));
    let (done, extra): (Vec<_>, Vec<_>) = counted.partition(|name| expected.contains(name.as_str()));
    let mut text = format!("{} of {}", done.len(), expected.len());
    if !extra.is_empty() {
        text += &format!(". Extra files: {}", extra.len());
    }
    (done.len() as f64 * 100.0 / expected.len() as f64, text)
}

/// The files that a run has before its first LLM call, in the worker's local time.
pub(super) fn first_files(prompt: &str, offset: FixedOffset) -> [(&'static str, String); 2] {
    let (utc, local) = (Utc::now(), Utc::now().with_timezone(&offset));
    let zone = offset.to_string().replace("+00:00", "UTC");
    let start = format!(
        "{{\n  \"server_iso_utc\": \"{}Z\",\n  \"server_iso_local\": \"{}\",\n  \"server_timezone_name\": \"{zone}\"\n}}",
        utc.format("%FT%T"),
        local.format("%FT%T%:z")
    );
    let day = local.format("%Y-%b-%d");
    let plan = format!("Plan:\n{prompt}\n\nToday's date:\n{day}\n\nProject start ASAP");
    [("001-1-start_time.json", start), ("001-2-plan.txt", plan)]
}

/// The content of any other file.
pub(super) fn content(name: &str, prompt: &str) -> Vec<u8> {
    let text = match name.rsplit('.').next() {
        _ if name.ends_with("report.html") => return report(prompt),
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
