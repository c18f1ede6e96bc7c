//! The parts of a plan that are words: decisions, scenarios, assumptions, questions and so on.
//!
//! Plain text out of a plan; no file format and no markup.

use super::plan::Plan;
use time::Date;
use time::macros::format_description;

/// A title and what is to be said about it.
pub(super) type Item = (String, String);

/// `9 March 2026`.
pub(super) fn date(date: Date) -> String {
    let format = format_description!("[day padding:none] [month repr:long] [year]");
    date.format(format).unwrap_or_else(|_| date.to_string())
}

/// `600,000,000 USD`.
pub(super) fn money(value: f64, currency: &str) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {currency}")
}

fn budget_text(plan: &Plan) -> String {
    plan.budget.as_ref().map_or("no stated budget".to_owned(), |budget| {
        money(budget.total, budget.currency)
    })
}

/// The plan on one page, a paragraph each.
pub(super) fn summary(plan: &Plan) -> Vec<String> {
    let days = (plan.end() - plan.start()).whole_days() + 1;
    let worst = plan.risks.first().map_or("", |risk| risk.name);
    vec![
        format!("The goal: {}.", plan.goal.sentence),
        format!(
            "The work runs from {} to {}, {days} days in {} phases with {} tasks. It has {} and a team of {}.",
            date(plan.start()),
            date(plan.end()),
            plan.phases.len(),
            plan.tasks().count(),
            budget_text(plan),
            plan.team.len()
        ),
        format!(
            "The prompt of {} words speaks most of {}. It reads like {} project of the {} kind.",
            plan.goal.words,
            list(&plan.goal.keywords),
            match plan.purpose {
                "business" => "a business",
                "personal" => "a personal",
                _ => "neither a business nor a personal",
            },
            plan.kind
        ),
        format!(
            "The largest risk: {}. The first step: {}.",
            lower(worst),
            first_task(plan)
        ),
    ]
}

/// A few sentences to win somebody over.
pub(super) fn pitch(plan: &Plan) -> Vec<String> {
    vec![
        format!("Picture {}: it is done. “{}.”", date(plan.end()), plan.goal.sentence),
        format!(
            "{} short phases lead there, and each ends with a decision to go on or not.",
            plan.phases.len()
        ),
        format!(
            "What we ask of you: half an hour for the first step: {}.",
            first_task(plan)
        ),
    ]
}

/// What somebody has to decide, and what hangs on it.
pub(super) fn decisions(plan: &Plan) -> Vec<Item> {
    let (first, second) = (plan.goal.keyword(0), plan.goal.keyword(1));
    vec![
        (
            "Small first or all at once".to_owned(),
            format!("A small version shows early what does not work with {first}; all at once is ready sooner."),
        ),
        (
            "Make or buy".to_owned(),
            format!("What others do well is bought; {second} stays in our own hands if it is what people come for."),
        ),
        (
            "Fixed date or fixed extent".to_owned(),
            format!("If {} stands, the extent must be able to shrink.", date(plan.end())),
        ),
        (
            "Where the money comes from".to_owned(),
            format!(
                "With {}, those who give it decide with us. Say from the start on what.",
                budget_text(plan)
            ),
        ),
    ]
}

/// Ways to do it; the first one is the one chosen.
pub(super) fn scenarios(plan: &Plan) -> Vec<Item> {
    let days = (plan.end() - plan.start()).whole_days() + 1;
    vec![
        (
            "Step by step".to_owned(),
            format!("Each phase pays for the next. {days} days, and it can end early without a ruin."),
        ),
        (
            "Fast".to_owned(),
            format!(
                "Phases overlap: about {} days, a third more money, more mistakes.",
                days * 2 / 3
            ),
        ),
        (
            "Thrifty".to_owned(),
            format!(
                "With volunteers and second-hand things: about {} days, half the money.",
                days * 3 / 2
            ),
        ),
    ]
}

/// What is taken for granted until somebody looks.
pub(super) fn assumptions(plan: &Plan) -> Vec<String> {
    let mut all = vec![
        format!("Work can start on {}.", date(plan.start())),
        match plan.goal.days {
            Some(days) => format!("The {days} days that the prompt gives include everything."),
            None => "The prompt gives no time; half a year is assumed.".to_owned(),
        },
        match &plan.budget {
            Some(budget) => format!(
                "{} is the whole budget, not a first part.",
                money(budget.total, budget.currency)
            ),
            None => "The prompt names no amount; costs are left open.".to_owned(),
        },
        format!("The {} roles can be filled within the first phase.", plan.team.len()),
    ];
    if plan.goal.phases.is_empty() {
        all.push("The prompt names no phases; the usual six are taken.".to_owned());
    }
    all.push(format!(
        "People want what the goal says about {}.",
        plan.goal.keyword(0)
    ));
    all
}

/// Strengths, weaknesses, opportunities, threats.
pub(super) fn swot(plan: &Plan) -> [(&'static str, Vec<String>); 4] {
    let known = if plan.goal.days.is_some() {
        "The time is known"
    } else {
        "The time is still free to choose"
    };
    let paid = if plan.budget.is_some() {
        "The money is named"
    } else {
        "Nobody has promised too much money yet"
    };
    let open = if plan.budget.is_some() {
        "Who pays what is open"
    } else {
        "The money is not named"
    };
    let threats = plan.risks.iter().take(3).map(|risk| risk.name.to_owned()).collect();
    [
        (
            "Strengths",
            vec![
                format!(
                    "The goal fits in one sentence of {} characters",
                    plan.goal.sentence.chars().count()
                ),
                known.to_owned(),
                paid.to_owned(),
            ],
        ),
        (
            "Weaknesses",
            vec!["Nobody has checked it against reality".to_owned(), open.to_owned()],
        ),
        (
            "Opportunities",
            vec![
                format!("People who care about {} may join", plan.goal.keyword(0)),
                format!("A first version attracts partners for {}", plan.goal.keyword(1)),
            ],
        ),
        ("Threats", threats),
    ]
}

/// Who decides what.
pub(super) fn governance() -> Vec<Item> {
    vec![
        (
            "Every week".to_owned(),
            "The project lead compares schedule and reality, and writes three lines about it.".to_owned(),
        ),
        (
            "End of each phase".to_owned(),
            "Those who pay decide: go on, change or stop.".to_owned(),
        ),
        (
            "Any day".to_owned(),
            "Whoever answers for quality and safety may stop the work.".to_owned(),
        ),
    ]
}

/// What people ask first.
pub(super) fn questions(plan: &Plan) -> Vec<Item> {
    let worst = plan.risks.first();
    vec![
        (
            "When is it done?".to_owned(),
            format!("On {}, if it begins on {}.", date(plan.end()), date(plan.start())),
        ),
        (
            "What does it cost?".to_owned(),
            match &plan.budget {
                Some(budget) => format!("{}, a reserve of 15 % included.", money(budget.total, budget.currency)),
                None => "The prompt does not say. Ask for offers in the second phase.".to_owned(),
            },
        ),
        (
            "What is most likely to go wrong?".to_owned(),
            worst.map_or(String::new(), |risk| {
                format!("{}. The answer: {}.", risk.name, lower(risk.answer))
            }),
        ),
        (
            "Who is needed?".to_owned(),
            format!(
                "{}.",
                list(&plan.team.iter().map(|role| lower(role.name)).collect::<Vec<_>>())
            ),
        ),
        (
            "Can I rely on this plan?".to_owned(),
            "No. It is a sample that shows what a plan looks like.".to_owned(),
        ),
    ]
}

/// How it failed, told from its end.
pub(super) fn premortem(plan: &Plan) -> Vec<Item> {
    let story = |risk: &super::plan::Risk| {
        let why = risk.word.as_ref().map_or(String::new(), |word| {
            format!(" The word “{word}” should have warned us.")
        });
        (
            risk.name.to_owned(),
            format!(
                "A year later: it began small and nobody said a word.{why} What would have helped: {}.",
                lower(risk.answer)
            ),
        )
    };
    plan.risks.iter().take(4).map(story).collect()
}

/// What somebody who knows would ask.
pub(super) fn criticism(plan: &Plan) -> Vec<Item> {
    let ask = |role: &super::plan::Role| {
        let keyword = plan.goal.keyword(role.name.len());
        (
            role.name.to_owned(),
            format!("Where is the evidence for what is said about {keyword}, and who checks it?"),
        )
    };
    plan.team.iter().map(ask).collect()
}

/// What has to be found out.
pub(super) fn data_needed(plan: &Plan) -> Vec<String> {
    plan.goal
        .keywords
        .iter()
        .map(|word| format!("Facts about “{word}”: three sources, one of them a person."))
        .collect()
}

/// `a, b and c`.
pub(super) fn list(words: &[String]) -> String {
    match words.split_last() {
        None => "nothing in particular".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

fn first_task(plan: &Plan) -> String {
    plan.tasks().next().map_or(String::new(), |task| lower(&task.name))
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|first| first.to_lowercase().to_string())
        .unwrap_or_default();
    // An abbreviation stays what it is.
    if letters.clone().next().is_some_and(char::is_uppercase) {
        text.to_owned()
    } else {
        first + letters.as_str()
    }
}
