//! The half that runs tasks, one at a time: how they are claimed, and how they end. Knows no HTTP.

use super::database::{CLAIM, Database, EVENT, FAILURE, HEARTBEAT, LOOK, MISMATCH, STATE, STORE, STORE_ALL, STORED};
use super::folder::{Files, Folder};
use super::pipeline::{self, COMPLETE, Progress};
use super::{RUNS, WorkerOptions, say};
use crate::schema::Generation;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Datelike, FixedOffset, Timelike, Utc};
use serde_json::{Value, json};
use std::{convert::Infallible, path::PathBuf, time::Instant};
use tokio::time::sleep;
use tokio_postgres::types::ToSql;

pub(super) const STOP_FLAG: &str = "pipeline_stop_requested.txt";
pub(super) const ACTIVITY: &str = "track_activity.jsonl";
pub(super) const OVERVIEW: &str = "activity_overview.json";
/// What marks the files of May's pipeline, in `planexe_metadata.json`.
pub(super) const VERSION: i32 = 2;
const INACTIVE: &str = "Inactive for too long, navigated away from the progress bar page, or closed the browser.";
const INTERNAL: &str = "Internal error. The pipeline complete file was found, but no report file was found.";
const GENERATION: &str = "Error. Unable to generate the report. Likely reasons: censorship, restricted content.";
const STARTED: [&str; 2] = ["GENERIC_EVENT", "Worker started"];
const PROCESSING: [&str; 2] = ["TASK_PROCESSING", "Pending -> Processing"];
const COMPLETED: [&str; 2] = ["TASK_COMPLETED", "Processing -> Completed"];
const FAILED: [&str; 2] = ["TASK_FAILED", "Processing -> Failed"];
const STOPPED: [&str; 2] = ["TASK_FAILED", "Processing -> Stopped"];

pub(super) struct Claimer {
    pub(super) database: Database,
    /// That of this worker's runs.
    pub(super) folder: Folder,
    /// The folder that the HTTP half serves. May's worker shares none with it.
    shared: PathBuf,
    pub(super) served: Option<Files>,
    /// The id in them is chosen at each start.
    pub(super) options: WorkerOptions,
    /// Of the run at work: a progress that is written late, and how many files there were at the last snapshot.
    pub(super) late: Option<Progress>,
    pub(super) snapshot: i32,
}

pub(super) struct Task {
    pub(super) id: String,
    pub(super) prompt: String,
    pub(super) speed: String,
    pub(super) generation: Generation,
    /// Whether it goes on with the files of an earlier run.
    pub(super) resumes: bool,
    /// What the contexts of all its events have.
    context: Value,
}

/// Works until it is dropped. What ends PlanExe's process ends one turn of the loop: compose starts it again.
pub(super) async fn work(
    database: Database,
    folder: Folder,
    served: Option<Files>,
    options: WorkerOptions,
) -> Result<()> {
    let given = options.id.clone();
    let mut claimer = Claimer {
        database,
        shared: folder.path.clone(),
        folder,
        served,
        options,
        late: None,
        snapshot: 0,
    };
    loop {
        let Err(error) = claimer.process(given.clone()).await;
        say("starting again", &error);
        sleep(claimer.options.poll).await;
    }
}

impl Claimer {
    async fn process(&mut self, given: Option<String>) -> Result<Infallible> {
        let issue = given.is_none().then_some("ERROR: PLANEXE_WORKER_ID is not set.");
        let name = given.clone().unwrap_or_else(|| "None".to_owned());
        let id = given.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        self.options.id = Some(id);
        let context = json!({ "pid": std::process::id(), "WORKER_ID": self.options.id,
            "environment variable PLANEXE_WORKER_ID": name, "issue with worker_id": issue });
        self.event(STARTED, &[&context]).await?;
        self.heartbeat(None).await?;
        let mut beaten = Instant::now();
        loop {
            let is_good = self.next().await?;
            sleep(self.options.poll / if is_good { 5 } else { 1 }).await;
            if is_good {
                beaten = Instant::now();
            } else if beaten.elapsed() > self.options.poll * 12 {
                beaten = Instant::now();
                self.heartbeat(None).await?;
            }
        }
    }

    /// Claims a task and runs it; whether there was one that ended without an exception.
    async fn next(&mut self) -> Result<bool> {
        let generation = self.folder.generation();
        self.database.generation = generation;
        if generation == Generation::May {
            let own = format!(".worker-{}", self.options.id.as_deref().unwrap_or_default());
            self.folder.path = self.shared.join(own);
        }
        let rows = self.database.query(CLAIM, &[]).await;
        let rows = rows.inspect_err(|error| say("cannot claim a task", error));
        let Some(row) = rows.unwrap_or_default().pop() else {
            return Ok(false);
        };
        let [id, prompt, speed, user, profile, resume, date, waited] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|at| row.try_get::<_, String>(at));
        let (id, prompt, speed) = (id?, prompt?, speed?);
        let profile = profile.ok().filter(|_| generation == Generation::May);
        let context = json!({ "task_id": id, "user_id": user?, "run_id_dir": format!("{RUNS}/{id}"),
            "speedvsdetail": format!("SpeedVsDetailEnum.{}", speed.to_uppercase()), "WORKER_ID": self.options.id,
            "model_profile": profile });
        let mut task = Task {
            id,
            prompt,
            speed,
            generation,
            resumes: resume? == "true" && generation == Generation::May,
            context,
        };
        self.heartbeat(Some(&task)).await?;
        let waited = waited?;
        if task.resumes {
            match self.restore(&task).await? {
                Some(version) if version != VERSION.to_string() => {
                    let text = format!("Not resumable: version mismatch (v{version} vs v{VERSION}). Use Retry.");
                    self.database.query(MISMATCH, &[&task.id, &text]).await?;
                    return Ok(false);
                }
                restored => task.resumes = restored.is_some(),
            }
        }
        let date = Some(date?).filter(|date| generation == Generation::May && !date.is_empty());
        let start = date.map(|date| read(&date)).transpose()?;
        let start = start.unwrap_or_else(|| Utc::now().with_timezone(&self.options.offset));
        for (name, content) in pipeline::first_files(&task, start) {
            self.write(&task, &name, content.as_bytes())?;
        }
        let waited = json!({ "duration_between_pending_and_processing": waited });
        self.event(PROCESSING, &[&task.context, &waited]).await?;
        let mut ended = self.work_on(&task).await.map(|()| true);
        if let Err(error) = &ended {
            say("the task fails", error);
            ended = self.give_up(&task, &waited, error).await.map(|()| false);
        }
        // However the run ended; PlanExe does no more than log it when this fails.
        _ = std::fs::remove_dir_all(self.folder.path(&task.id, ""));
        ended
    }

    /// Unpacks the files of the run that a task resumes, if there are any; the version that they tell, in Python's words.
    async fn restore(&self, task: &Task) -> Result<Option<String>> {
        let rows = self.database.query(STORED, &[&task.id]).await?;
        let zip = rows.first().and_then(|row| row.get::<_, Option<Vec<u8>>>(0));
        let Some(Ok(())) = zip.map(|zip| self.folder.unpack(&task.id, zip)) else {
            return Ok(None);
        };
        _ = std::fs::remove_file(self.folder.path(&task.id, STOP_FLAG));
        let metadata: Value = serde_json::from_slice(&self.read(task, "planexe_metadata.json")).unwrap_or_default();
        let version = metadata.get("pipeline_version").map(Value::to_string);
        Ok(Some(version.unwrap_or_else(|| "None".to_owned())))
    }

    async fn give_up(&mut self, task: &Task, waited: &Value, error: &anyhow::Error) -> Result<()> {
        let billed = self.end(task, "failed", "worker_error", &error.to_string()).await?;
        sleep(self.options.post).await;
        let reason = json!({ "machai_error_message": "Unknown error happened while processing." });
        self.event(FAILED, &[&task.context, waited, &reason, &billed]).await?;
        self.heartbeat(None).await
    }

    /// Runs a task to its end. On an error it fails, and what was not written yet never is.
    async fn work_on(&mut self, task: &Task) -> Result<()> {
        let began = Instant::now();
        let built = match task.speed.as_str() {
            "ping_llm" => self.ping(task).await.map(|()| json!("None"))?,
            _ => json!(self.pipeline(task).await?),
        };
        let duration = began.elapsed().as_secs_f64();
        let names = self.folder.names(&task.id)?;
        let last = pipeline::named(COMPLETE, task.generation);
        let files = [task.generation.report(), STOP_FLAG, &last];
        let [has_report, is_flagged, is_complete] = files.map(|file| names.iter().any(|name| name == file));
        let report = String::from_utf8(self.read(task, task.generation.report()));
        // Python reads every kind of line end as LF.
        let text = report.as_ref().ok().filter(|_| has_report);
        let text = text.map(|text| text.replace("\r\n", "\n").replace('\r', "\n"));
        let zip = self.folder.zip(&task.id).ok();
        let rows = self.database.query(LOOK, &[&task.id]).await?;
        let is_stopped = rows.first().is_some_and(|row| row.get(1));
        let stored = match task.generation {
            Generation::Feb => self.database.query(STORE, &[&task.id, &text, &zip]).await,
            Generation::May => {
                let read = |name| String::from_utf8(self.read(task, name)).ok();
                let [activity, overview] = [ACTIVITY, OVERVIEW].map(read);
                let values: [&(dyn ToSql + Sync); 5] = [&task.id, &text, &zip, &activity, &overview];
                self.database.query(STORE_ALL, &values).await
            }
        };
        _ = stored.inspect_err(|error| say("the result is not stored", error));

        let (state, event) = match task.generation {
            _ if has_report => ("completed", COMPLETED),
            Generation::May if is_stopped => ("stopped", STOPPED),
            _ => ("failed", FAILED),
        };
        // The reason in May's columns, and what it says.
        let (kind, reason) = match (is_flagged, is_complete) {
            (true, _) if is_stopped => ("", "Stopped by user."),
            (true, _) => ("inactivity_timeout", INACTIVE),
            (_, true) => ("internal_error", INTERNAL),
            _ => ("generation_error", GENERATION),
        };
        let more = json!({ "duration_between_processing_and_completion": duration, "luigi_build_return_value": built,
            "has_report_file": has_report, "has_stop_flag_file": is_flagged, "has_pipeline_complete_file": is_complete,
            "number_of_files_in_run_id_dir": names.len(), "stop_requested": is_stopped,
            "machai_error_message": Some(reason).filter(|_| !has_report) });
        let billed = self.end(task, state, kind, reason).await?;
        self.event(event, &[&task.context, &more, &billed]).await?;
        // February's POST sends the report, which is read once more for it. May's is for users of another web site.
        if report.is_err() && task.generation == Generation::Feb {
            bail!("the report is not UTF-8");
        }
        sleep(self.options.post).await;
        self.heartbeat(None).await
    }

    /// Writes that a task has ended, in May also why and what it costs; what its last event tells of that.
    async fn end(&self, task: &Task, state: &str, kind: &str, reason: &str) -> Result<Value> {
        self.insist(&STATE.replace("{state}", state), &[&task.id]).await;
        if task.generation == Generation::Feb {
            return Ok(json!({}));
        }
        if state == "completed" {
            let mut last = pipeline::progress(&[], task.generation, "Completed");
            last.total = if task.speed == "ping_llm" { 0 } else { last.total };
            (last.percentage, last.done, last.message) = (100.0, last.total, last.step.clone());
            self.progress(task, &last).await;
        } else if state == "failed" {
            let values: [&(dyn ToSql + Sync); 4] = [&task.id, &kind, &reason, &(kind != "internal_error")];
            let written = self.database.query(FAILURE, &values).await;
            _ = written.inspect_err(|error| say("no reason written", error));
        }
        self.bill(task, Some(state == "completed")).await
    }

    /// Writes; in vain after three attempts.
    pub(super) async fn insist(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) {
        for pauses in [1, 1, 0] {
            let Err(error) = self.database.query(sql, values).await else {
                return;
            };
            say("nothing written", &error);
            sleep(self.options.poll * pauses).await;
        }
    }

    pub(super) fn read(&self, task: &Task, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path(&task.id, name)).unwrap_or_default()
    }

    /// Writes a file of a run: that of the run to serve, if it has one of the name.
    pub(super) fn write(&self, task: &Task, name: &str, content: &[u8]) -> Result<()> {
        let served = self.served.as_ref().and_then(|files| files.get(name));
        let content = served.map_or(content, Vec::as_slice);
        Ok(self.folder.write(&task.id, name, content)?)
    }

    pub(super) async fn heartbeat(&self, task: Option<&Task>) -> Result<()> {
        let values: [&(dyn ToSql + Sync); 2] = [&self.options.id, &task.map(|task| &task.id)];
        self.database.query(HEARTBEAT, &values).await.map(drop)
    }

    /// Adds an event with all contexts, without what is null in them.
    async fn event(&self, [kind, message]: [&str; 2], contexts: &[&Value]) -> Result<()> {
        let values: [&(dyn ToSql + Sync); 3] = [&kind, &message, &json!(contexts)];
        self.database.query(EVENT, &values).await.map(drop)
    }
}

/// A date, or a time with its offset. Python reads more forms than these, and none that is refused here.
fn read(text: &str) -> Result<DateTime<FixedOffset>> {
    let time = if text.len() == 10 { "T00:00:00Z" } else { "" };
    let time = DateTime::parse_from_rfc3339(&format!("{text}{time}")).ok();
    let is_pythons = |time: &DateTime<_>| time.year() > 0 && time.nanosecond() < 1_000_000_000 && !text.contains('z');
    time.filter(is_pythons)
        .with_context(|| format!("Invalid isoformat string: '{text}'"))
}
