//! The plan that rules make of a goal: schedule, money, risks, people.
//!
//! Reads no prompt by itself and writes no file.

use super::goal::{Goal, shorten};
use super::rules::{NAMED, PHASES, RISKS, ROLES};
use time::{Date, Duration, OffsetDateTime, Weekday};

/// Days of a project whose prompt gives no time.
const USUAL_DAYS: u32 = 182;
/// Kept back from the budget.
const RESERVE: f64 = 0.15;

/// One thing to do.
pub(super) struct Task {
    /// Number of its phase and in it: `2.3`.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner: &'static str,
    pub(super) start: Date,
    pub(super) days: u32,
    /// The task that must be done before.
    pub(super) after: Option<String>,
}

impl Task {
    /// Its last day.
    pub(super) fn end(&self) -> Date {
        self.start + Duration::days(i64::from(self.days) - 1)
    }
}

/// A part of the schedule.
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) tasks: Vec<Task>,
}

impl Phase {
    /// Its length in days.
    pub(super) fn days(&self) -> u32 {
        self.tasks.iter().map(|task| task.days).sum()
    }
}

/// Something that may go wrong.
pub(super) struct Risk {
    pub(super) name: &'static str,
    /// The word of the prompt that points to it.
    pub(super) word: Option<String>,
    /// 1 to 5.
    pub(super) likelihood: u8,
    /// 1 to 5.
    pub(super) impact: u8,
    pub(super) answer: &'static str,
}

/// Somebody the project needs.
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) part: &'static str,
    pub(super) time: &'static str,
}

/// The money, when the prompt names any.
pub(super) struct Budget {
    pub(super) currency: &'static str,
    pub(super) total: f64,
    /// What for, and how much of the total.
    pub(super) lines: Vec<(String, f64)>,
}

/// The whole plan.
pub(super) struct Plan {
    pub(super) goal: Goal,
    pub(super) made: OffsetDateTime,
    /// `business`, `personal` or `other`.
    pub(super) purpose: &'static str,
    /// `digital` or `physical`.
    pub(super) kind: &'static str,
    pub(super) phases: Vec<Phase>,
    pub(super) risks: Vec<Risk>,
    pub(super) team: Vec<Role>,
    pub(super) budget: Option<Budget>,
}

impl Plan {
    /// The plan for a goal. It starts on the Monday after `made`.
    pub(super) fn new(goal: Goal, made: OffsetDateTime) -> Self {
        let phases = schedule(&goal, made.date().next_occurrence(Weekday::Monday));
        let business = [
            "company", "revenue", "customer", "business", "startup", "investor", "casino", "profit", "sell",
        ];
        let personal = [
            "wedding", "birthday", "family", "personal", "hobby", "holiday", "vacation",
        ];
        let digital = ["software", "=app", "website", "online", "platform", "code", "digital"];
        Self {
            made,
            purpose: match (goal.mentions(&business), goal.mentions(&personal)) {
                (Some(_), _) => "business",
                (None, Some(_)) => "personal",
                (None, None) => "other",
            },
            kind: if goal.mentions(&digital).is_some() {
                "digital"
            } else {
                "physical"
            },
            risks: risks(&goal),
            team: team(&goal),
            budget: budget(&goal, &phases),
            phases,
            goal,
        }
    }

    /// All tasks in order.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.phases.iter().flat_map(|phase| &phase.tasks)
    }

    /// Its first day.
    pub(super) fn start(&self) -> Date {
        self.tasks().map(|task| task.start).min().unwrap_or(self.made.date())
    }

    /// Its last day.
    pub(super) fn end(&self) -> Date {
        self.tasks().map(Task::end).max().unwrap_or(self.made.date())
    }
}

/// Phases, and their tasks with the share of the time that each takes.
fn outline(goal: &Goal) -> Vec<(String, Vec<(String, u32)>)> {
    let usual = PHASES.iter().map(|(name, share, tasks)| {
        let filled = tasks.iter().map(|task| {
            let name = (0..3).fold((*task).to_owned(), |task, at| {
                task.replace(&format!("{{{at}}}"), &goal.keyword(at))
            });
            (name, share * 12 / u32::try_from(tasks.len()).unwrap_or(1))
        });
        ((*name).to_owned(), filled.collect())
    });
    let mut phases: Vec<_> = usual.collect();
    if !goal.phases.is_empty() {
        let named = goal.phases.iter().map(|name| {
            let short = shorten(name, 32);
            (
                name.clone(),
                NAMED
                    .iter()
                    .map(|(task, share)| (task.replace("{}", &short), *share))
                    .collect(),
            )
        });
        // The prompt's own phases stand between agreeing and handing over.
        phases.splice(1..phases.len() - 1, named);
    }
    phases
}

fn schedule(goal: &Goal, start: Date) -> Vec<Phase> {
    let outline = outline(goal);
    let shares = || {
        outline
            .iter()
            .flat_map(|(_, tasks)| tasks)
            .map(|(_, share)| u64::from(*share))
    };
    let (total, mut left) = (shares().sum::<u64>().max(1), shares().count() as u64);
    let days = u64::from(goal.days.unwrap_or(USUAL_DAYS)).max(left);
    let (mut day, mut passed) = (0, 0);
    let mut last = None;
    let mut phases = Vec::new();
    for (number, (name, tasks)) in outline.iter().enumerate() {
        let mut planned = Vec::new();
        for (at, (task, share)) in tasks.iter().enumerate() {
            (left, passed) = (left - 1, passed + u64::from(*share));
            // A day at least for this one and for each one after it.
            let end = (days * passed / total).clamp(day + 1, (days - left).max(day + 1));
            let id = format!("{}.{}", number + 1, at + 1);
            planned.push(Task {
                name: task.clone(),
                owner: ROLES.get(at % 3).map_or("Project lead", |role| role.1),
                start: start + Duration::days(i64::try_from(day).unwrap_or_default()),
                days: u32::try_from(end - day).unwrap_or(1),
                after: last.replace(id.clone()),
                id,
            });
            day = end;
        }
        phases.push(Phase {
            name: name.clone(),
            tasks: planned,
        });
    }
    phases
}

fn risks(goal: &Goal) -> Vec<Risk> {
    let fitting = RISKS
        .into_iter()
        .filter_map(|(words, name, likelihood, impact, answer)| {
            let word = goal.mentions(words);
            (words.is_empty() || word.is_some()).then_some(Risk {
                name,
                word,
                likelihood,
                impact,
                answer,
            })
        });
    let mut risks: Vec<Risk> = fitting.collect();
    risks.sort_by_key(|risk| std::cmp::Reverse(risk.likelihood * risk.impact));
    risks
}

fn team(goal: &Goal) -> Vec<Role> {
    let fitting = ROLES
        .into_iter()
        .filter(|(words, ..)| words.is_empty() || goal.mentions(words).is_some());
    fitting.map(|(_, name, part, time)| Role { name, part, time }).collect()
}

fn budget(goal: &Goal, phases: &[Phase]) -> Option<Budget> {
    let amount = goal.budget()?;
    let days: u32 = phases.iter().map(Phase::days).sum();
    let share = |phase: &Phase| f64::from(phase.days()) / f64::from(days.max(1)) * (1.0 - RESERVE);
    let mut lines: Vec<_> = phases
        .iter()
        .map(|phase| (phase.name.clone(), amount.value * share(phase)))
        .collect();
    lines.push(("Reserve".to_owned(), amount.value * RESERVE));
    Some(Budget {
        currency: amount.currency,
        total: amount.value,
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use crate::worker::sample::goal::Goal;
    use time::macros::datetime;

    fn plan(prompt: &str) -> Plan {
        Plan::new(Goal::read(prompt), datetime!(2026-03-04 12:00 UTC))
    }

    #[test]
    fn the_schedule_is_gapless_and_as_long_as_the_prompt_says() {
        for (prompt, days) in [
            ("Build a house in 12 months", 360),
            ("Do it", 182),
            ("A feast in 7 days", 19),
        ] {
            let plan = plan(prompt);
            assert_eq!(plan.start().to_string(), "2026-03-09", "a Monday");
            assert_eq!((plan.end() - plan.start()).whole_days() + 1, days, "{prompt}");
            for pair in plan.tasks().collect::<Vec<_>>().windows(2) {
                assert_eq!(pair[0].end().next_day(), Some(pair[1].start));
                assert_eq!(pair[1].after.as_ref(), Some(&pair[0].id));
            }
        }
    }

    #[test]
    fn phases_money_and_words_of_the_prompt_are_used() {
        let plan = plan("Phase 1: Dig. Phase 2: Build the casino. For 1000 USD from sponsors.");
        let names: Vec<_> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["Agree on the goal", "Dig", "Build the casino", "Hand over"]);
        let budget = plan.budget.unwrap();
        let sum: f64 = budget.lines.iter().map(|(_, amount)| amount).sum();
        assert!((sum - 1000.0).abs() < 0.01);
        assert_eq!(plan.purpose, "business");
        assert_eq!(plan.risks[0].word.as_deref(), Some("build"));
    }
}
