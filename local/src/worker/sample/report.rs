//! The report: one HTML page that needs nothing else.
//!
//! Whatever comes from the prompt is escaped here, and nowhere else.

use super::MARK;
use super::content::{self, Item, date, money};
use super::plan::{Plan, Risk};
use serde_json::json;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// A longer prompt is cut in the report; the whole of it is in `001-2-plan.txt`.
const PROMPT_SHOWN: usize = 8_000;

/// The page.
pub(super) fn html(plan: &Plan) -> String {
    let title = escape(&plan.goal.title);
    let sections = [
        section("Executive summary", "", true, &paragraphs(&content::summary(plan))),
        section("Schedule", &span(plan), true, &schedule(plan)),
        section("Risks", &format!("{} found", plan.risks.len()), true, &risks(plan)),
        section("Pitch", "", false, &paragraphs(&content::pitch(plan))),
        section(
            "Strategic decisions",
            "",
            false,
            &cards(&content::decisions(plan), None),
        ),
        section("Scenarios", "", false, &cards(&content::scenarios(plan), Some(0))),
        section("Assumptions", "", false, &bullets(&content::assumptions(plan))),
        section("Budget", &budget_note(plan), false, &budget(plan)),
        section("Team", &format!("{} roles", plan.team.len()), false, &team(plan)),
        section("Governance", "", false, &cards(&content::governance(), None)),
        section("SWOT analysis", "", false, &swot(plan)),
        section("Work breakdown structure", "", false, &breakdown(plan)),
        section("Expert criticism", "", false, &cards(&content::criticism(plan), None)),
        section("Data collection", "", false, &bullets(&content::data_needed(plan))),
        section(
            "Questions and answers",
            "",
            false,
            &definitions(&content::questions(plan)),
        ),
        section("Premortem", "", false, &definitions(&content::premortem(plan))),
        section(
            "Initial prompt",
            &format!("{} words", plan.goal.words),
            false,
            &prompt(plan),
        ),
    ];
    let (facts, words, sentence) = (facts(plan), words(plan), escape(&plan.goal.sentence));
    let (sections, data) = (sections.concat(), data(plan));
    let made = date(plan.made.date());
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="PlanExe sample worker">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<p class="mark" role="note" style="margin:0">{MARK}</p>
<header class="top">
<p class="kicker">Sample plan</p>
<h1>{title}</h1>
<p class="lead">{sentence}.</p>
<dl class="facts">{facts}</dl>
<ul class="words" aria-label="Keywords">{words}</ul>
<div class="bar" data-needs-script hidden>
<button type="button" id="open">Open all</button>
<button type="button" id="close">Close all</button>
<button type="button" id="theme">Light or dark</button>
</div>
</header>
<main>
{sections}
<p class="foot">Made on {made}. {MARK}</p>
</main>
<script type="application/json" id="schedule">{data}</script>
<script>
{SCRIPT}</script>
</body>
</html>
"#
    )
}

/// Text as text, in an element or between quotes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

/// Takes HTML, unlike the title and the note beside it.
fn section(title: &str, note: &str, is_open: bool, body: &str) -> String {
    let open = if is_open { " open" } else { "" };
    let (title, note) = (escape(title), escape(note));
    format!(
        "<details{open}>\n<summary><h2>{title}</h2><span>{note}</span></summary>\n<div class=\"body\">\n{body}\n</div>\n</details>\n"
    )
}

fn span(plan: &Plan) -> String {
    format!("{} to {}", date(plan.start()), date(plan.end()))
}

fn facts(plan: &Plan) -> String {
    let days = (plan.end() - plan.start()).whole_days() + 1;
    let budget = plan
        .budget
        .as_ref()
        .map_or("not named".to_owned(), |all| money(all.total, all.currency));
    let facts = [
        ("Begins", date(plan.start())),
        ("Ends", date(plan.end())),
        ("Takes", format!("{days} days")),
        ("Tasks", plan.tasks().count().to_string()),
        ("Budget", budget),
        ("Kind", format!("{}, {}", plan.purpose, plan.kind)),
    ];
    facts
        .iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value)))
        .collect()
}

fn words(plan: &Plan) -> String {
    plan.goal
        .keywords
        .iter()
        .map(|word| format!("<li>{}</li>", escape(word)))
        .collect()
}

fn paragraphs(all: &[String]) -> String {
    all.iter().map(|text| format!("<p>{}</p>\n", escape(text))).collect()
}

fn bullets(all: &[String]) -> String {
    let items: String = all.iter().map(|text| format!("<li>{}</li>\n", escape(text))).collect();
    format!("<ul>\n{items}</ul>")
}

fn definitions(all: &[Item]) -> String {
    all.iter()
        .map(|(title, text)| format!("<h3>{}</h3>\n<p>{}</p>\n", escape(title), escape(text)))
        .collect()
}

fn cards(all: &[Item], chosen: Option<usize>) -> String {
    let mut cards = "<div class=\"grid\">\n".to_owned();
    for (number, (title, text)) in all.iter().enumerate() {
        let (class, note) = if chosen == Some(number) {
            (" class=\"chosen\"", " (chosen)")
        } else {
            ("", "")
        };
        let _ = writeln!(
            cards,
            "<div{class}><h3>{}{note}</h3><p>{}</p></div>",
            escape(title),
            escape(text)
        );
    }
    cards + "</div>"
}

fn swot(plan: &Plan) -> String {
    let card = |(title, items): &(&str, Vec<String>)| format!("<div><h3>{title}</h3>{}</div>\n", bullets(items));
    format!(
        "<div class=\"grid\">\n{}</div>",
        content::swot(plan).iter().map(card).collect::<String>()
    )
}

/// The chart is drawn by the script; without it the table says the same.
fn schedule(plan: &Plan) -> String {
    let mut rows = String::new();
    for task in plan.tasks() {
        let (id, name, owner) = (&task.id, escape(&task.name), task.owner);
        let (start, end, days) = (task.start, task.end(), task.days);
        let _ = writeln!(
            rows,
            "<tr><td>{id}</td><td>{name}</td><td>{owner}</td><td class=\"n\">{start}</td><td class=\"n\">{end}</td>\
             <td class=\"n\">{days}</td></tr>"
        );
    }
    format!(
        "<div data-needs-script hidden><div class=\"bar\" style=\"margin-top:0\">\
         <button type=\"button\" data-rows=\"phases\" aria-pressed=\"true\">Phases</button>\
         <button type=\"button\" data-rows=\"tasks\" aria-pressed=\"false\">All tasks</button></div>\n\
         <svg id=\"gantt\" role=\"group\" aria-label=\"Gantt chart of the schedule; the table below says the same\"></svg>\
         <p id=\"gantt-note\" aria-live=\"polite\">Point at a bar to read more.</p></div>\n\
         <details><summary>As a table</summary><div class=\"wide\"><table>\n\
         <tr><th></th><th>Task</th><th>Who</th><th class=\"n\">From</th><th class=\"n\">To</th><th class=\"n\">Days</th></tr>\n\
         {rows}</table></div></details>"
    )
}

/// What the chart shows. No `<` in it, so that nothing in it ends the element around it.
fn data(plan: &Plan) -> String {
    let phases = plan.phases.iter().map(|phase| {
        let tasks = phase.tasks.iter().map(|task| {
            let (start, end) = (task.start.to_string(), task.end().to_string());
            json!({"id": task.id, "name": task.name, "owner": task.owner, "start": start, "end": end, "after": task.after})
        });
        json!({"name": phase.name, "tasks": tasks.collect::<Vec<_>>()})
    });
    let phases: Vec<_> = phases.collect();
    let all = json!({"start": plan.start().to_string(), "end": plan.end().to_string(), "phases": phases});
    all.to_string().replace('<', "\\u003c")
}

fn risks(plan: &Plan) -> String {
    let row = |risk: &Risk| {
        let score = risk.likelihood * risk.impact;
        let level = match score {
            0..=8 => "low",
            9..=14 => "mid",
            _ => "high",
        };
        let word = risk
            .word
            .as_ref()
            .map_or(String::new(), |word| format!(" <small>(“{}”)</small>", escape(word)));
        format!(
            "<tr><td>{}{word}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\"><span class=\"score {level}\">{score}</span></td><td>{}</td></tr>\n",
            risk.name, risk.likelihood, risk.impact, risk.answer
        )
    };
    let rows: String = plan.risks.iter().map(row).collect();
    format!(
        "<div class=\"wide\"><table>\n<tr><th>Risk</th><th class=\"n\">Likelihood</th><th class=\"n\">Impact</th>\
         <th class=\"n\">Score</th><th>Answer</th></tr>\n{rows}</table></div>"
    )
}

fn budget_note(plan: &Plan) -> String {
    plan.budget
        .as_ref()
        .map_or(String::new(), |budget| money(budget.total, budget.currency))
}

fn budget(plan: &Plan) -> String {
    let Some(budget) = &plan.budget else {
        return "<p>The prompt names no amount.</p>".to_owned();
    };
    let mut rows = String::new();
    for (name, amount) in &budget.lines {
        let share = if budget.total > 0.0 {
            amount / budget.total * 100.0
        } else {
            0.0
        };
        let (name, amount) = (escape(name), money(*amount, budget.currency));
        let _ = writeln!(
            rows,
            "<tr><td>{name}</td><td style=\"width:40%\"><span class=\"share\" style=\"width:{share:.1}%\"></span></td>\
             <td class=\"n\">{share:.0} %</td><td class=\"n\">{amount}</td></tr>"
        );
    }
    format!("<div class=\"wide\"><table>\n{rows}</table></div>")
}

fn team(plan: &Plan) -> String {
    let roles = plan
        .team
        .iter()
        .map(|role| (role.name.to_owned(), format!("{}; {}.", role.part, role.time)));
    cards(&roles.collect::<Vec<_>>(), None)
}

fn breakdown(plan: &Plan) -> String {
    let mut tree = format!("<div class=\"tree\"><p>{}</p>\n", escape(&plan.goal.title));
    for (number, phase) in plan.phases.iter().enumerate() {
        let _ = write!(
            tree,
            "<details open><summary>{} {}</summary><ul>",
            number + 1,
            escape(&phase.name)
        );
        for task in &phase.tasks {
            let _ = write!(tree, "<li>{} {}, {} days</li>", task.id, escape(&task.name), task.days);
        }
        tree.push_str("</ul></details>\n");
    }
    tree + "</div>"
}

fn prompt(plan: &Plan) -> String {
    let shown: String = plan.goal.prompt.chars().take(PROMPT_SHOWN).collect();
    let more = if shown.len() < plan.goal.prompt.len() {
        "<p>The rest is in 001-2-plan.txt.</p>"
    } else {
        ""
    };
    format!("<pre>{}</pre>{more}", escape(&shown))
}

#[cfg(test)]
mod tests {
    use super::html;
    use crate::worker::sample::goal::Goal;
    use crate::worker::sample::plan::Plan;
    use time::macros::datetime;

    fn report(prompt: &str) -> String {
        html(&Plan::new(Goal::read(prompt), datetime!(2026-03-04 12:00 UTC)))
    }

    #[test]
    fn a_hostile_prompt_stays_text() {
        let attack = "Phase 1: </script><script>alert(1)</script>. Phase 2: <img src=x onerror='alert(2)'>. \"><svg/onload=alert(3)> 5 USD";
        let page = report(attack);
        let count = |what: &str| page.matches(what).count();
        assert_eq!((count("<script"), count("</script>")), (2, 2));
        assert_eq!((count("<img"), count("<svg"), count("<svg/onload")), (0, 1, 0));
        assert!(page.contains("&lt;img src=x onerror=&#39;alert(2)&#39;&gt;"));
    }

    #[test]
    fn the_page_needs_nothing_else_and_has_a_page_s_size() {
        let page =
            report("Build a community garden with 40 beds in 9 months for 25,000 EUR, with volunteers and a school.");
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            let allowed = usize::from(outside == "http://");
            assert!(
                page.matches(outside).count() <= allowed,
                "{outside}: only the name of the SVG namespace"
            );
        }
        assert!((15_000..45_000).contains(&page.len()), "{}", page.len());
    }

    #[test]
    fn a_long_prompt_is_cut_in_the_report() {
        assert!(report(&"long ".repeat(100_000)).len() < 60_000);
    }
}
