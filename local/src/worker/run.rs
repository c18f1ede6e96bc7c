//! One run: its LLM calls and files, and what is written while it is at work.

use super::database::{BILL, LOOK, PROGRESS, SNAPSHOT, STEPS};
use super::pipeline::{self, COMPLETE, Progress, Stage};
use super::say;
use super::tasks::{ACTIVITY, Claimer, OVERVIEW, STOP_FLAG, Task, VERSION};
use crate::schema::Generation;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::time::sleep;
use tokio_postgres::types::ToSql;

/// In a prompt, it makes every LLM call fail.
const NO_LLM: &str = "[sample: fail]";
/// Dollars that an LLM call costs in May.
const CALL: f64 = 0.01;
/// Dollars that a plan costs on top, `PLANEXE_SUCCESS_PLAN_FEE_USD`. A dollar is a credit.
const FEE: f64 = 1.0;

impl Claimer {
    /// One LLM call, no progress, and no look at a stop.
    pub(super) async fn ping(&self, task: &Task) -> Result<()> {
        sleep(self.options.step).await;
        let served = self.served.iter().flat_map(|files| files.keys());
        for name in served.map(String::as_str).chain([task.generation.report()]) {
            self.write(task, name, &pipeline::content(name, &task.prompt))?;
        }
        ensure!(!task.prompt.contains(NO_LLM), "no LLM answers");
        if task.generation == Generation::May {
            self.note_call(task)?;
        }
        let last = pipeline::named(COMPLETE, task.generation);
        self.write(task, &last, b"LLM ping completed.\n")
    }

    /// Runs each stage whose needs are met, as Luigi does: also after another one has failed. Whether all succeeded.
    pub(super) async fn pipeline(&mut self, task: &Task) -> Result<bool> {
        let expected = serde_json::to_vec_pretty(&pipeline::expected(task.generation))?;
        match task.generation {
            Generation::Feb => self.write(task, "expected_filenames1.json", &expected)?,
            Generation::May => self.write(task, "expected_filenames.json", &expected)?,
        }
        if task.generation == Generation::May {
            let metadata = format!("{:#}", json!({ "pipeline_version": VERSION }));
            self.write(task, "planexe_metadata.json", metadata.as_bytes())?;
        }
        let mut open = pipeline::stages(&task.speed, task.generation, self.served.as_ref());
        let (count, mut done) = (open.len(), BTreeSet::new());
        (self.late, self.snapshot) = (None, 0);
        let files = self.folder.names(&task.id)?;
        let is_done = |stage: &Stage| stage.steps.iter().all(|step| step.len() == 1 || files.contains(step));
        while let Some(at) = open.iter().position(|stage| done.is_superset(&stage.needs)) {
            let mut stage = open.remove(at);
            if task.resumes && is_done(&stage) {
                stage.steps.clear();
            }
            match self.stage(task, &stage).await {
                Ok(()) => _ = done.insert(stage.name),
                Err(error) => say(stage.name, &error),
            }
        }
        Ok(done.len() == count)
    }

    async fn stage(&mut self, task: &Task, stage: &Stage) -> Result<()> {
        for step in &stage.steps {
            if step != "*" && step != "~" {
                self.write(task, step, &pipeline::content(step, &task.prompt))?;
                continue;
            }
            sleep(self.options.step).await;
            let answers = !task.prompt.contains(NO_LLM);
            if answers && task.generation == Generation::May {
                self.note_call(task)?;
            }
            let progress = pipeline::progress(&self.folder.names(&task.id)?, task.generation, stage.name);
            if step == "~" {
                self.late = Some(progress);
                continue;
            }
            for progress in [Some(progress), self.late.take()].into_iter().flatten() {
                self.after_call(task, progress).await?;
            }
            ensure!(answers, "no LLM answers");
            if task.generation == Generation::Feb {
                self.append(task, ACTIVITY)?;
            }
        }
        Ok(())
    }

    /// What May keeps of an LLM call that was answered.
    fn note_call(&self, task: &Task) -> Result<()> {
        self.append(task, ACTIVITY)?;
        self.append(task, "usage_metrics.jsonl")?;
        let overview = format!("{:#}", json!({ "models": {}, "total_cost": self.cost(task) + CALL }));
        self.write(task, OVERVIEW, overview.as_bytes())
    }

    fn append(&self, task: &Task, name: &str) -> Result<()> {
        let lines = [self.read(task, name), pipeline::content(name, &task.prompt)];
        self.write(task, name, &lines.concat())
    }

    /// What a plan has cost so far.
    fn cost(&self, task: &Task) -> f64 {
        let overview: Value = serde_json::from_slice(&self.read(task, OVERVIEW)).unwrap_or_default();
        overview.get("total_cost").and_then(Value::as_f64).unwrap_or_default()
    }

    /// What follows on each LLM call, also a failed one: a look, then a write that compares nothing.
    async fn after_call(&mut self, task: &Task, mut progress: Progress) -> Result<()> {
        self.heartbeat(Some(task)).await?;
        let rows = self.database.query(LOOK, &[&task.id]).await?;
        let row = rows.first().context("the row of the task is gone")?;
        ensure!(row.get::<_, bool>(0), "the task has no last_seen_timestamp");
        let is_stopped = row.get(1);
        if is_stopped {
            progress.message = "Stop requested by user.".to_owned();
        }
        self.progress(task, &progress).await;
        if is_stopped {
            self.write(task, STOP_FLAG, b"")?;
            bail!("a stop was requested");
        }
        if task.generation == Generation::May {
            let billed = self.bill(task, None).await;
            _ = billed.inspect_err(|error| say("nothing billed", error));
            if progress.done % 5 == 0 && progress.done != self.snapshot {
                self.snapshot = progress.done;
                let zip = self.folder.zip(&task.id)?;
                let stored = self.database.query(SNAPSHOT, &[&task.id, &zip]).await;
                _ = stored.inspect_err(|error| say("no snapshot", error));
            }
        }
        Ok(())
    }

    pub(super) async fn progress(&self, task: &Task, progress: &Progress) {
        let (percentage, message, step) = (&progress.percentage, &progress.message, &progress.step);
        let values: [&(dyn ToSql + Sync); 6] = [&task.id, percentage, message, &progress.done, &progress.total, step];
        match task.generation {
            Generation::Feb => self.insist(PROGRESS, &values[..3]).await,
            Generation::May => self.insist(STEPS, &values).await,
        }
    }

    /// Charges what the run has cost so far, at its end with what a success costs; what its last event tells of it.
    pub(super) async fn bill(&self, task: &Task, succeeded: Option<bool>) -> Result<Value> {
        let (source, reason) = match succeeded {
            None => ("usage_billing_progress", "plan_usage_in_progress"),
            Some(true) => ("usage_billing", "plan_created_with_usage_cost"),
            Some(false) => ("usage_billing", "plan_failed_usage_cost"),
        };
        let is_plan = succeeded == Some(true) && task.speed != "ping_llm";
        let (cost, fee) = (self.cost(task), if is_plan { FEE } else { 0.0 });
        let credits = format!("{:.9}", cost + fee);
        let values: [&(dyn ToSql + Sync); 4] = [&task.id, &credits, &source, &reason];
        let rows = self.database.query(BILL, &values).await?;
        let charged = if rows.is_empty() { "0" } else { &credits };
        Ok(json!({ "billing_usage_cost_usd": cost, "billing_success_fee_usd": fee,
            "billing_total_charge_usd": cost + fee, "billing_charged_credits": charged,
            "billing_charge_applied": !rows.is_empty() }))
    }
}
