//! The files of a run other than the report: text, Markdown, JSON and CSV.
//!
//! Each one says that it is a sample. Knows nothing of stages and tasks.

use super::MARK;
use super::content::{self, Item, money};
use super::plan::{Plan, Task};
use serde_json::{Value, json};
use std::fmt::Write;
use time::format_description::well_known::Rfc3339;

pub(super) fn start_time(plan: &Plan) -> String {
    let now = plan
        .made
        .replace_nanosecond(0)
        .unwrap_or(plan.made)
        .format(&Rfc3339)
        .unwrap_or_default();
    json_file(json!({"server_iso_utc": now, "server_iso_local": now, "server_timezone_name": "UTC"}))
}

pub(super) fn plan_text(plan: &Plan) -> String {
    format!(
        "Plan:\n{}\n\nToday's date:\n{}\n\nProject start ASAP\n\n({MARK})\n",
        plan.goal.prompt,
        plan.made.date()
    )
}

pub(super) fn raw(plan: &Plan) -> String {
    json_file(json!({
        "model": null,
        "prompt_words": plan.goal.words,
        "keywords": plan.goal.keywords,
        "days": plan.goal.days,
        "phases": plan.goal.phases,
    }))
}

pub(super) fn purpose(plan: &Plan) -> String {
    let goal = quote(&plan.goal.sentence);
    markdown(
        "Purpose",
        &format!(
            "{goal}\n\nPurpose: **{}**\n\nTopic: {}\n",
            plan.purpose,
            content::list(&plan.goal.keywords)
        ),
    )
}

pub(super) fn plan_type(plan: &Plan) -> String {
    markdown(
        "Plan type",
        &format!("This is a **{}** plan, as far as its words tell.\n", plan.kind),
    )
}

pub(super) fn levers(plan: &Plan) -> String {
    let levers = content::decisions(plan)
        .into_iter()
        .map(|(name, text)| json!({"name": name, "description": text}));
    json_file(json!({"levers": levers.collect::<Vec<_>>()}))
}

pub(super) fn decisions(plan: &Plan) -> String {
    markdown("Strategic decisions", &sections(&content::decisions(plan)))
}

pub(super) fn candidate_scenarios(plan: &Plan) -> String {
    let all = content::scenarios(plan)
        .into_iter()
        .map(|(name, text)| json!({"name": name, "description": text}));
    json_file(json!({"scenarios": all.collect::<Vec<_>>(), "selected": 0}))
}

pub(super) fn scenarios(plan: &Plan) -> String {
    markdown(
        "Scenarios",
        &(sections(&content::scenarios(plan)) + "\nChosen: the first one.\n"),
    )
}

pub(super) fn currency(plan: &Plan) -> String {
    let Some(budget) = &plan.budget else {
        return markdown("Currency and budget", "The prompt names no amount.\n");
    };
    let mut table = format!(
        "All amounts in {}.\n\n| for | amount |\n| --- | ---: |\n",
        budget.currency
    );
    for (name, amount) in &budget.lines {
        let _ = writeln!(table, "| {} | {} |", cell(name), money(*amount, budget.currency));
    }
    let _ = writeln!(table, "| **together** | **{}** |", money(budget.total, budget.currency));
    markdown("Currency and budget", &table)
}

pub(super) fn risks_raw(plan: &Plan) -> String {
    let risks = plan.risks.iter().map(|risk| {
        json!({"risk": risk.name, "word": risk.word, "likelihood": risk.likelihood, "impact": risk.impact, "response": risk.answer})
    });
    json_file(json!({"risks": risks.collect::<Vec<_>>()}))
}

pub(super) fn risks(plan: &Plan) -> String {
    let mut table =
        "| risk | likelihood | impact | score | response |\n| --- | ---: | ---: | ---: | --- |\n".to_owned();
    for risk in &plan.risks {
        let score = risk.likelihood * risk.impact;
        let _ = writeln!(
            table,
            "| {} | {} | {} | {score} | {} |",
            risk.name, risk.likelihood, risk.impact, risk.answer
        );
    }
    markdown("Risk register", &table)
}

pub(super) fn assumptions(plan: &Plan) -> String {
    markdown("Assumptions", &bullets(&content::assumptions(plan)))
}

pub(super) fn assessment(plan: &Plan) -> String {
    let open: Vec<_> = content::questions(plan)
        .into_iter()
        .map(|(question, _)| question)
        .collect();
    json_file(json!({"verdict": "go on to the first phase", "open_questions": open}))
}

pub(super) fn project_plan(plan: &Plan) -> String {
    let mut text = quote(&plan.goal.sentence) + "\n";
    for (number, phase) in plan.phases.iter().enumerate() {
        let _ = write!(text, "\n## {}. {}\n\n", number + 1, line(&phase.name));
        for task in &phase.tasks {
            let _ = writeln!(
                text,
                "- {} {} ({} to {}, {})",
                task.id,
                line(&task.name),
                task.start,
                task.end(),
                task.owner
            );
        }
    }
    markdown("Project plan", &text)
}

pub(super) fn governance(_: &Plan) -> String {
    markdown("Governance", &sections(&content::governance()))
}

pub(super) fn team_json(plan: &Plan) -> String {
    let team = plan
        .team
        .iter()
        .map(|role| json!({"category": role.name, "part": role.part, "contract_type": role.time}));
    json_file(json!({"team": team.collect::<Vec<_>>()}))
}

pub(super) fn team(plan: &Plan) -> String {
    let roles: Vec<_> = plan
        .team
        .iter()
        .map(|role| (role.name.to_owned(), format!("{}, {}.", role.part, role.time)))
        .collect();
    markdown("Team", &sections(&roles))
}

pub(super) fn swot(plan: &Plan) -> String {
    let text = content::swot(plan)
        .into_iter()
        .map(|(name, items)| format!("## {name}\n\n{}\n", bullets(&items)));
    markdown("SWOT analysis", &text.collect::<String>())
}

pub(super) fn criticism(plan: &Plan) -> String {
    markdown("Expert criticism", &sections(&content::criticism(plan)))
}

pub(super) fn data_collection(plan: &Plan) -> String {
    markdown("Data collection", &bullets(&content::data_needed(plan)))
}

pub(super) fn wbs_level1(plan: &Plan) -> String {
    json_file(json!({"id": "0", "project_title": plan.goal.title}))
}

pub(super) fn wbs_level2(plan: &Plan) -> String {
    let phases = plan.phases.iter().map(|phase| {
        let tasks: Vec<_> = phase
            .tasks
            .iter()
            .map(|task| json!({"id": task.id, "name": task.name}))
            .collect();
        json!({"major_phase_title": phase.name, "subtasks": tasks})
    });
    json_file(json!({"phases": phases.collect::<Vec<_>>()}))
}

pub(super) fn wbs_csv(plan: &Plan) -> String {
    let mut rows = vec![vec![
        "id".to_owned(),
        "level 1".to_owned(),
        "level 2".to_owned(),
        "level 3".to_owned(),
    ]];
    rows.push(vec![
        "0".to_owned(),
        plan.goal.title.clone(),
        String::new(),
        String::new(),
    ]);
    for (number, phase) in plan.phases.iter().enumerate() {
        rows.push(vec![
            format!("{}", number + 1),
            String::new(),
            phase.name.clone(),
            String::new(),
        ]);
        let tasks = phase.tasks.iter();
        rows.extend(tasks.map(|task| vec![task.id.clone(), String::new(), String::new(), task.name.clone()]));
    }
    csv(&rows)
}

pub(super) fn pitch(plan: &Plan) -> String {
    markdown("Pitch", &content::pitch(plan).join("\n\n"))
}

pub(super) fn durations(plan: &Plan) -> String {
    let tasks = plan.tasks().map(|task| json!({"task_id": task.id, "days": task.days}));
    json_file(json!({"durations": tasks.collect::<Vec<_>>()}))
}

pub(super) fn review(plan: &Plan) -> String {
    let longest = plan.tasks().max_by_key(|task| task.days);
    let longest = longest.map_or(String::new(), |task| {
        format!("The longest task is {}, {} days: split it.", task.id, task.days)
    });
    markdown(
        "Review of the plan",
        &bullets(&[
            longest,
            "Every task waits for the one before; find those that need not.".to_owned(),
        ]),
    )
}

pub(super) fn summary(plan: &Plan) -> String {
    let paragraphs: Vec<_> = content::summary(plan).iter().map(|paragraph| line(paragraph)).collect();
    markdown("Executive summary", &paragraphs.join("\n\n"))
}

pub(super) fn gantt_mermaid(plan: &Plan) -> String {
    let mut chart = "```mermaid\ngantt\n    dateFormat YYYY-MM-DD\n".to_owned();
    for phase in &plan.phases {
        let _ = writeln!(chart, "    section {}", plain(&phase.name));
        for task in &phase.tasks {
            let _ = writeln!(chart, "    {} :{}, {}d", plain(&task.name), task.start, task.days);
        }
    }
    markdown("Schedule", &(chart + "```\n"))
}

pub(super) fn gantt_csv(plan: &Plan) -> String {
    let head = ["id", "phase", "task", "owner", "start", "end", "days", "after"]
        .map(str::to_owned)
        .to_vec();
    let row = |phase: &str, task: &Task| {
        let (start, end) = (task.start.to_string(), task.end().to_string());
        let (id, after) = (task.id.clone(), task.after.clone().unwrap_or_default());
        vec![
            id,
            phase.to_owned(),
            task.name.clone(),
            task.owner.to_owned(),
            start,
            end,
            task.days.to_string(),
            after,
        ]
    };
    let rows = plan
        .phases
        .iter()
        .flat_map(|phase| phase.tasks.iter().map(|task| row(&phase.name, task)));
    csv(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

pub(super) fn questions(plan: &Plan) -> String {
    markdown("Questions and answers", &sections(&content::questions(plan)))
}

pub(super) fn premortem(plan: &Plan) -> String {
    markdown("Premortem", &sections(&content::premortem(plan)))
}

pub(super) fn viability(plan: &Plan) -> String {
    let red = plan
        .risks
        .iter()
        .filter(|risk| risk.likelihood * risk.impact >= 15)
        .count();
    let state = if red == 0 { "GREEN" } else { "YELLOW" };
    markdown(
        "Viability",
        &format!("State: **{state}**. {red} risks score 15 or more.\n"),
    )
}

fn markdown(title: &str, body: &str) -> String {
    format!("# {title}\n\n> {MARK}\n\n{}\n", body.trim_end())
}

fn json_file(mut value: Value) -> String {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("_sample".to_owned(), MARK.into());
    }
    format!("{value:#}\n")
}

/// A comment line, then the rows. No cell is a formula to a spreadsheet.
fn csv(rows: &[Vec<String>]) -> String {
    let field = |text: &String| {
        let guard = if text.starts_with(['=', '+', '-', '@']) {
            "'"
        } else {
            ""
        };
        format!("\"{guard}{}\"", line(text).replace('"', "\"\""))
    };
    let rows = rows
        .iter()
        .map(|row| row.iter().map(field).collect::<Vec<_>>().join(",") + "\n");
    format!("# {MARK}\n{}", rows.collect::<String>())
}

fn sections(items: &[Item]) -> String {
    items
        .iter()
        .map(|(title, text)| format!("## {}\n\n{}\n\n", line(title), line(text)))
        .collect()
}

fn bullets(items: &[String]) -> String {
    items.iter().map(|item| format!("- {}\n", line(item))).collect()
}

fn quote(text: &str) -> String {
    format!("> {}\n", line(text))
}

/// On one line, so that it begins no heading or list of its own.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}

/// Without the signs that mean something to a chart.
fn plain(text: &str) -> String {
    line(text).replace([':', ';', '#', ',', '`'], " ")
}
