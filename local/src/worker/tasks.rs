//! The half that runs tasks, one at a time: what is written when, and how runs end. Knows no HTTP.

use super::database::{CLAIM, Database, EVENT, HEARTBEAT, LOOK, PROGRESS, STATE, STORE};
use super::folder::{Files, Folder};
use super::{COMPLETE, RUNS, WorkerOptions, pipeline, say};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeSet, convert::Infallible, time::Instant};
use tokio::time::sleep;
use tokio_postgres::types::ToSql;

const STOP_FLAG: &str = "pipeline_stop_requested.txt";
/// In a prompt, it makes every LLM call fail.
const NO_LLM: &str = "[sample: fail]";
const ACTIVITY: &str = "track_activity.jsonl";
const STARTED: [&str; 2] = ["GENERIC_EVENT", "Worker started"];
const PROCESSING: [&str; 2] = ["TASK_PROCESSING", "Pending -> Processing"];
const COMPLETED: [&str; 2] = ["TASK_COMPLETED", "Processing -> Completed"];
const FAILED: [&str; 2] = ["TASK_FAILED", "Processing -> Failed"];

struct Claimer {
    database: Database,
    folder: Folder,
    served: Option<Files>,
    /// The id in them is chosen at each start.
    options: WorkerOptions,
}

struct Task {
    id: String,
    prompt: String,
    speed: String,
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
        folder,
        served,
        options,
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
        self.event(STARTED, &context, json!({})).await?;
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
        let rows = self.database.query(CLAIM, &[]).await;
        let rows = rows.inspect_err(|error| say("cannot claim a task", error));
        let Some(row) = rows.unwrap_or_default().pop() else {
            return Ok(false);
        };
        let [id, prompt, speed, user, waited] = [0, 1, 2, 3, 4].map(|at| row.try_get::<_, String>(at));
        let (id, prompt, speed) = (id?, prompt?, speed?);
        let context = json!({ "task_id": id, "user_id": user?, "run_id_dir": format!("{RUNS}/{id}"),
            "speedvsdetail": format!("SpeedVsDetailEnum.{}", speed.to_uppercase()), "WORKER_ID": self.options.id });
        let task = Task {
            id,
            prompt,
            speed,
            context,
        };
        self.heartbeat(Some(&task)).await?;
        let waited = waited?;
        for (name, content) in pipeline::first_files(&task.prompt, self.options.offset) {
            self.write(&task, name, content.as_bytes())?;
        }
        let more =
            |reason| json!({ "duration_between_pending_and_processing": waited, "machai_error_message": reason });
        self.event(PROCESSING, &task.context, more(None)).await?;
        let mut ended = self.work_on(&task).await.map(|()| true);
        if let Err(error) = &ended {
            say("the task fails", error);
            let more = more(Some("Unknown error happened while processing."));
            ended = self.give_up(&task, more).await.map(|()| false);
        }
        // However the run ended; PlanExe does no more than log it when this fails.
        _ = std::fs::remove_dir_all(self.folder.path(&task.id, ""));
        ended
    }

    async fn give_up(&mut self, task: &Task, more: Value) -> Result<()> {
        self.insist(STATE, &[&task.id, &"failed"]).await;
        sleep(self.options.post).await;
        self.event(FAILED, &task.context, more).await?;
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
        let report_name = self.folder.generation().report();
        let [has_report, is_flagged, is_complete] =
            [report_name, STOP_FLAG, COMPLETE].map(|file| names.iter().any(|name| name == file));
        let report = String::from_utf8(self.read(task, report_name));
        // Python reads every kind of line end as LF.
        let text = report.as_ref().ok().filter(|_| has_report);
        let text = text.map(|text| text.replace("\r\n", "\n").replace('\r', "\n"));
        let zip = self.folder.zip(&task.id).ok();
        let rows = self.database.query(LOOK, &[&task.id]).await?;
        let is_stopped = rows.first().is_some_and(|row| row.get(1));
        let stored = self.database.query(STORE, &[&task.id, &text, &zip]).await;
        _ = stored.inspect_err(|error| say("the result is not stored", error));

        let (state, event) = if has_report {
            ("completed", COMPLETED)
        } else {
            ("failed", FAILED)
        };
        let reason = match (is_flagged, is_complete) {
            _ if has_report => None,
            (true, _) if is_stopped => Some("Stopped by user."),
            (true, _) => {
                Some("Inactive for too long, navigated away from the progress bar page, or closed the browser.")
            }
            (_, true) => Some("Internal error. The pipeline complete file was found, but no report file was found."),
            _ => Some("Error. Unable to generate the report. Likely reasons: censorship, restricted content."),
        };
        let more = json!({ "duration_between_processing_and_completion": duration, "luigi_build_return_value": built,
            "has_report_file": has_report, "has_stop_flag_file": is_flagged, "has_pipeline_complete_file": is_complete,
            "number_of_files_in_run_id_dir": names.len(), "stop_requested": is_stopped, "machai_error_message": reason });
        self.insist(STATE, &[&task.id, &state]).await;
        self.event(event, &task.context, more).await?;
        // The POST sends the report, which is read once more for it.
        report.context("the report is not UTF-8")?;
        sleep(self.options.post).await;
        self.heartbeat(None).await
    }

    /// One LLM call, no progress, and no look at a stop.
    async fn ping(&mut self, task: &Task) -> Result<()> {
        sleep(self.options.step).await;
        let served = self.served.iter().flat_map(|files| files.keys());
        for name in served.map(String::as_str).chain([self.folder.generation().report()]) {
            self.write(task, name, &pipeline::content(name, &task.prompt))?;
        }
        ensure!(!task.prompt.contains(NO_LLM), "no LLM answers");
        self.write(task, COMPLETE, b"LLM ping completed.\n")
    }

    /// Runs each stage whose needs are met, as Luigi does: also after another one has failed. Whether all succeeded.
    async fn pipeline(&mut self, task: &Task) -> Result<bool> {
        let expected = serde_json::to_vec_pretty(&pipeline::expected())?;
        self.write(task, "expected_filenames1.json", &expected)?;
        let mut open = pipeline::stages(&task.speed, self.served.as_ref());
        let (count, mut done, mut late) = (open.len(), BTreeSet::new(), None);
        while let Some(at) = open.iter().position(|stage| done.is_superset(&stage.needs)) {
            let stage = open.remove(at);
            match self.stage(task, &stage.steps, &mut late).await {
                Ok(()) => _ = done.insert(stage.name),
                Err(error) => say(stage.name, &error),
            }
        }
        Ok(done.len() == count)
    }

    async fn stage(&mut self, task: &Task, steps: &[String], late: &mut Option<(f64, String)>) -> Result<()> {
        for step in steps {
            if step != "*" && step != "~" {
                self.write(task, step, &pipeline::content(step, &task.prompt))?;
                continue;
            }
            sleep(self.options.step).await;
            let progress = pipeline::progress(&self.folder.names(&task.id)?);
            if step == "~" {
                *late = Some(progress);
                continue;
            }
            for progress in [Some(progress), late.take()].into_iter().flatten() {
                self.after_call(task, progress).await?;
            }
            ensure!(!task.prompt.contains(NO_LLM), "no LLM answers");
            let activity = [self.read(task, ACTIVITY), pipeline::content(ACTIVITY, &task.prompt)];
            self.write(task, ACTIVITY, &activity.concat())?;
        }
        Ok(())
    }

    /// What follows on each LLM call, also a failed one: a look, then a write that compares nothing.
    async fn after_call(&mut self, task: &Task, (percentage, mut message): (f64, String)) -> Result<()> {
        self.heartbeat(Some(task)).await?;
        let rows = self.database.query(LOOK, &[&task.id]).await?;
        let row = rows.first().context("the row of the task is gone")?;
        ensure!(row.get::<_, bool>(0), "the task has no last_seen_timestamp");
        let is_stopped = row.get(1);
        if is_stopped {
            message = "Stop requested by user.".to_owned();
        }
        self.insist(PROGRESS, &[&task.id, &percentage, &message]).await;
        if is_stopped {
            self.write(task, STOP_FLAG, b"")?;
            bail!("a stop was requested");
        }
        Ok(())
    }

    /// Writes; in vain after three attempts.
    async fn insist(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) {
        for pauses in [1, 1, 0] {
            let Err(error) = self.database.query(sql, values).await else {
                return;
            };
            say("nothing written", &error);
            sleep(self.options.poll * pauses).await;
        }
    }

    fn read(&self, task: &Task, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path(&task.id, name)).unwrap_or_default()
    }

    /// Writes a file of a run: that of the run to serve, if it has one of the name.
    fn write(&self, task: &Task, name: &str, content: &[u8]) -> Result<()> {
        let served = self.served.as_ref().and_then(|files| files.get(name));
        let content = served.map_or(content, Vec::as_slice);
        Ok(self.folder.write(&task.id, name, content)?)
    }

    async fn heartbeat(&mut self, task: Option<&Task>) -> Result<()> {
        let task = task.map(|task| &task.id);
        self.database
            .query(HEARTBEAT, &[&self.options.id, &task])
            .await
            .map(drop)
    }

    /// Adds an event with both contexts, without what is null in them.
    async fn event(&mut self, [kind, message]: [&str; 2], context: &Value, more: Value) -> Result<()> {
        let values: [&(dyn ToSql + Sync); 4] = [&kind, &message, context, &more];
        self.database.query(EVENT, &values).await.map(drop)
    }
}
