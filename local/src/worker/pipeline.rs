//! The stages of the pipeline, their files, what stands in them, and how far a run has come. Knows no disk.

use super::folder::Files;
use super::tasks::Task;
use crate::schema::Generation;
use chrono::{DateTime, FixedOffset, Utc};
use serde_json::json;
use std::collections::BTreeSet;

/// The last file of a run, by February's name.
pub(super) const COMPLETE: &str = "999-pipeline_complete.txt";
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

/// How far a run has come.
pub(super) struct Progress {
    pub(super) percentage: f64,
    pub(super) message: String,
    pub(super) done: i32,
    pub(super) total: i32,
    /// The name of the stage at work, in words.
    pub(super) step: String,
}

/// The words of a cell that a generation has.
fn words(cell: &'static str, generation: Generation) -> impl Iterator<Item = &'static str> {
    cell.split_whitespace()
        .filter_map(move |word| match word.split_once(':') {
            Some(("feb", word)) => (generation == Generation::Feb).then_some(word),
            Some((_, word)) => (generation == Generation::May).then_some(word),
            None => Some(word),
        })
}

/// Name, needs and steps of each stage.
fn rows(generation: Generation) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(move |line| match line.split(" | ").collect::<Vec<_>>()[..] {
        [name, needs, steps] => Some((words(name, generation).next()?, needs, steps)),
        _ => None,
    })
}

/// A file's name in a generation: in May without numbers, but for that of a piece.
pub(super) fn named(name: &str, generation: Generation) -> String {
    if generation == Generation::Feb {
        return name.to_owned();
    }
    let rest = name.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '-');
    let numbers = name.strip_suffix(rest).unwrap_or_default();
    match numbers.split('-').nth(2).filter(|piece| !piece.is_empty()) {
        Some(piece) => rest.replace("_raw", &format!("_{piece}_raw")),
        None => rest.to_owned(),
    }
}

/// The names that a full run is expected to have, 111 of them or 125. The lists of experts are written, not expected.
pub(super) fn expected(generation: Generation) -> BTreeSet<String> {
    let names = rows(generation).flat_map(|(_, _, steps)| words(steps, generation));
    let names = names.filter(|name| !name.contains(['*', '~', '{']) && !name.contains("experts"));
    names.map(|name| named(name, generation)).collect()
}

/// All stages but the first, whose files are there before. A run to serve takes the place of the sample's files.
pub(super) fn stages(speed: &str, generation: Generation, served: Option<&Files>) -> Vec<Stage> {
    let mut stages = Vec::new();
    for (name, needs, steps) in rows(generation).skip(1) {
        let needs = words(needs, generation).filter(|need| *need != "start").collect();
        let steps = words(steps, generation)
            .flat_map(|token| parse(token, speed, generation))
            .collect();
        stages.push(Stage { name, needs, steps });
    }
    let Some(served) = served else { return stages };
    let first = ["001-1-start_time.json", "001-2-plan.txt"].map(|name| named(name, generation));
    for name in served.keys().filter(|name| !first.contains(name)) {
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

fn parse(token: &str, speed: &str, generation: Generation) -> Vec<String> {
    let Some((counts, piece)) = token.split_once(['*', '~']) else {
        return vec![named(token, generation)];
    };
    let call = if token.contains('~') { "~" } else { "*" };
    let (fast, all) = counts.split_once('/').unwrap_or((counts, counts));
    let count = if speed.starts_with("fast") { fast } else { all };
    let pieces = (1..=count.parse().unwrap_or(1_u32)).map(|number| piece.replace("{}", &number.to_string()));
    let steps = pieces.flat_map(|piece| [call.to_owned(), named(&piece, generation)]);
    steps.filter(|step| !step.is_empty()).collect()
}

/// The progress of a run with these files, while a stage is at work.
pub(super) fn progress(names: &[String], generation: Generation, step: &str) -> Progress {
    let expected = expected(generation);
    let ignored = [
        "log.txt",
        "expected_filenames1.json",
        "expected_filenames.json",
        "usage_metrics.jsonl",
    ];
    let is_counted = |name: &&String| !ignored.contains(&name.as_str()) && *name != "pipeline_stop_requested.txt";
    let (done, extra): (Vec<_>, Vec<_>) = names
        .iter()
        .filter(is_counted)
        .partition(|name| expected.contains(*name));
    let mut message = format!("{} of {}", done.len(), expected.len());
    if !extra.is_empty() {
        message += &format!(". Extra files: {}", extra.len());
    }
    Progress {
        percentage: done.len() as f64 * 100.0 / expected.len() as f64,
        message,
        done: done.len() as i32,
        total: expected.len() as i32,
        step: step.replace('_', " "),
    }
}

/// The files that a run has before its first LLM call. It starts at a time in the worker's local time, or in that of
/// who asked for it.
pub(super) fn first_files(task: &Task, start: DateTime<FixedOffset>) -> Vec<(String, String)> {
    let zone = start.offset().to_string().replace("+00:00", "UTC");
    let times = format!(
        "{{\n  \"server_iso_utc\": \"{}Z\",\n  \"server_iso_local\": \"{}\",\n  \"server_timezone_name\": \"{zone}\"\n}}",
        start.with_timezone(&Utc).format("%FT%T"),
        start.format("%FT%T%:z")
    );
    let (prompt, day) = (&task.prompt, start.format("%Y-%b-%d").to_string());
    let plan = format!("Plan:\n{prompt}\n\nToday's date:\n{day}\n\nProject start ASAP");
    let mut files = vec![("001-1-start_time.json", times), ("001-2-plan.txt", plan)];
    if task.generation == Generation::May {
        let raw = json!({ "plan_prompt": prompt, "pretty_date": day });
        files.push(("plan_raw.json", format!("{raw:#}")));
        // The pipeline makes the plan of it, before its first call; a ping does not.
        files.retain(|(name, _)| task.speed != "ping_llm" || !name.ends_with("plan.txt"));
    }
    let named = |(name, text)| (named(name, task.generation), text);
    files.into_iter().map(named).collect()
}

/// The content of any other file.
pub(super) fn content(name: &str, prompt: &str) -> Vec<u8> {
    let text = match name.rsplit('.').next() {
        _ if name.ends_with("report.html") => return report(prompt),
        _ if name.ends_with("pipeline_complete.txt") => "Full pipeline executed successfully.\n".to_owned(),
        // Plain text in spite of its name.
        _ if name.ends_with("project_title.json") => MARK.to_owned(),
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
