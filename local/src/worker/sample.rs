//! The sample pipeline: what files a run has, in what order they come, and what makes them.
//!
//! Plain rules instead of an LLM. Knows no database, no HTTP and no clock.

mod amounts;
mod content;
mod files;
mod goal;
mod plan;
mod report;
mod rules;

use super::REPORT;
use bytes::Bytes;
use goal::Goal;
use plan::Plan;
use time::OffsetDateTime;

/// Stands in every file, so that nobody takes it for the work of PlanExe.
pub(super) const MARK: &str = "Sample output: made without an LLM, by plain rules, to show what the files of a plan look \
    like. Do not act on it.";

/// Makes one file.
type Make = fn(&Plan) -> String;

/// One visible step.
struct Stage {
    /// Whether the short form has it.
    is_short: bool,
    files: &'static [(&'static str, Make)],
}

const fn both(files: &'static [(&'static str, Make)]) -> Stage {
    Stage { is_short: true, files }
}

const fn full(files: &'static [(&'static str, Make)]) -> Stage {
    Stage { is_short: false, files }
}

/// Named as PlanExe names its own.
const STAGES: [Stage; 24] = [
    both(&[
        ("001-1-start_time.json", files::start_time),
        ("001-2-plan.txt", files::plan_text),
    ]),
    both(&[
        ("002-5-identify_purpose_raw.json", files::raw),
        ("002-6-identify_purpose.md", files::purpose),
    ]),
    full(&[
        ("002-8-plan_type.md", files::plan_type),
        ("002-10-potential_levers.json", files::levers),
    ]),
    full(&[("002-14-strategic_decisions.md", files::decisions)]),
    full(&[
        ("002-16-candidate_scenarios.json", files::candidate_scenarios),
        ("002-19-scenarios.md", files::scenarios),
    ]),
    full(&[("002-23-currency_strategy.md", files::currency)]),
    full(&[
        ("003-1-identify_risks_raw.json", files::risks_raw),
        ("003-2-identify_risks.md", files::risks),
    ]),
    full(&[("003-5-make_assumptions.md", files::assumptions)]),
    full(&[("004-2-pre_project_assessment.json", files::assessment)]),
    both(&[
        ("005-1-project_plan_raw.json", files::raw),
        ("005-2-project_plan.md", files::project_plan),
    ]),
    full(&[("006-13-consolidate_governance.md", files::governance)]),
    full(&[
        ("008-2-find_team_members.json", files::team_json),
        ("013-team.md", files::team),
    ]),
    full(&[("014-2-swot_analysis.md", files::swot)]),
    full(&[
        ("016-2-expert_criticism.md", files::criticism),
        ("017-2-data_collection.md", files::data_collection),
    ]),
    full(&[
        ("018-2-wbs_level1.json", files::wbs_level1),
        ("018-5-wbs_level2.json", files::wbs_level2),
    ]),
    full(&[("020-3-pitch.md", files::pitch)]),
    full(&[("022-2-task_durations.json", files::durations)]),
    both(&[("023-4-wbs_project_level1_and_level2_and_level3.csv", files::wbs_csv)]),
    full(&[("024-2-review_plan.md", files::review)]),
    both(&[("025-2-executive_summary.md", files::summary)]),
    full(&[
        ("026-1-schedule_gantt_mermaid.md", files::gantt_mermaid),
        ("026-3-schedule_gantt_machai.csv", files::gantt_csv),
    ]),
    full(&[("027-2-questions_and_answers.md", files::questions)]),
    full(&[
        ("028-2-premortem.md", files::premortem),
        ("029-8-viability_summary.md", files::viability),
    ]),
    both(&[(REPORT, report::html)]),
];

/// The sample run of one prompt.
pub(super) struct Sample(Plan);

impl Sample {
    /// Reads the prompt and makes the plan. The schedule begins soon after `now`.
    pub(super) fn new(prompt: &str, now: OffsetDateTime) -> Self {
        Self(Plan::new(Goal::read(prompt), now))
    }

    /// The files of each step: of few steps in the short form.
    pub(super) fn stages(&self, is_short: bool) -> Vec<Vec<(String, Bytes)>> {
        let stages = STAGES.iter().filter(|stage| stage.is_short || !is_short);
        stages
            .map(|stage| {
                stage
                    .files
                    .iter()
                    .map(|(name, make)| ((*name).to_owned(), make(&self.0).into()))
                    .collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{MARK, REPORT, Sample};
    use time::macros::datetime;

    fn files(prompt: &str, is_short: bool) -> Vec<(String, String)> {
        let stages = Sample::new(prompt, datetime!(2026-03-04 12:00 UTC)).stages(is_short);
        stages
            .concat()
            .into_iter()
            .map(|(name, content)| (name, String::from_utf8(content.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn every_file_says_that_it_is_a_sample() {
        for (name, content) in files("Open a café in 6 months for 40k EUR.", false) {
            assert!(content.contains(MARK), "{name}");
            assert!(
                !content.contains('{') || !name.ends_with(".md"),
                "an unfilled place in {name}: {content}"
            );
        }
    }

    #[test]
    fn names_differ_and_the_report_is_last() {
        for is_short in [true, false] {
            let names: Vec<_> = files("x", is_short).into_iter().map(|(name, _)| name).collect();
            assert_eq!(
                names.iter().collect::<std::collections::BTreeSet<_>>().len(),
                names.len()
            );
            assert_eq!(names.last().map(String::as_str), Some(REPORT));
        }
        assert!(files("x", true).len() < files("x", false).len() / 3);
    }

    #[test]
    fn json_is_json_whatever_the_prompt() {
        for prompt in ["", "\"}],\\ \u{1} </script>", "Phase 1: \"a\". Phase 2: =1+1."] {
            for (name, content) in files(prompt, false) {
                let is_json = serde_json::from_str::<serde_json::Value>(&content).is_ok();
                assert_eq!(is_json, name.ends_with(".json"), "{name}");
            }
        }
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        let all = files("Phase 1: =HYPERLINK(1). Phase 2: @SUM(1).", false);
        let csv = all.iter().filter(|(name, _)| name.ends_with(".csv"));
        for (name, content) in csv {
            assert!(
                content.contains("\"'=HYPERLINK(1)\"") && !content.contains("\"=") && !content.contains("\"@"),
                "{name}"
            );
        }
    }
}
