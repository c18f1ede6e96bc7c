//! The prompts: messages that describe the steps to a plan. Clients offer them as slash commands.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::error::{Fault, INVALID_PARAMS};
use crate::{json, tools::Family};

/// A prompt.
struct Prompt {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [Argument],
    /// Builds the message from the arguments.
    render: fn(&Arguments, Family) -> String,
}

/// An argument of a prompt.
struct Argument {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    required: bool,
}

/// The values of the arguments of all prompts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    goal: Option<String>,
    constraints: Option<String>,
    #[serde(alias = "plan_id")]
    task_id: Option<String>,
}

impl Arguments {
    fn value(&self, name: &str) -> &str {
        let value = match name {
            "goal" => &self.goal,
            "constraints" => &self.constraints,
            "task_id" => &self.task_id,
            _ => &None,
        };
        value.as_deref().map(str::trim).unwrap_or_default()
    }
}

const ALL: &[Prompt] = &[
    Prompt {
        name: "plan_project",
        title: "Plan a project",
        description: "Takes a goal through all steps to a finished project plan.",
        arguments: &[
            Argument {
                name: "goal",
                title: "Goal",
                description: "What the plan is for, in a sentence or more.",
                required: true,
            },
            Argument {
                name: "constraints",
                title: "Constraints",
                description: "Budget, dates, place, people, rules: what the plan has to respect.",
                required: false,
            },
        ],
        render: plan_project,
    },
    Prompt {
        name: "review_plan",
        title: "Review a plan",
        description: "Reads a finished plan and says how good it is and what to do about it.",
        arguments: &[Argument {
            name: "task_id",
            title: "Id of the plan",
            description: "The task_id of a completed plan.",
            required: true,
        }],
        render: review_plan,
    },
];

fn plan_project(arguments: &Arguments, family: Family) -> String {
    let constraints = match arguments.value("constraints") {
        "" => "None are named: ask me about budget, dates and place where they matter.",
        constraints => constraints,
    };
    let order = match family {
        Family::Task => {
            "call task_create once with the approved prompt, speed_vs_detail all (or what I ask for) and a client_request_id \
             of your choice. If the call fails, repeat it with the same client_request_id."
        }
        Family::Plan => {
            "call plan_create once with the approved prompt and the model_profile that I ask for. If the call fails, repeat \
             it with the same arguments."
        }
    };
    let steps = format!(
        "Work in this order and skip no step:\n\
         1. Call prompt_examples and study the length and concreteness of the examples.\n\
         2. Draft a prompt of that quality for my goal (300-800 words). Ask me for facts that you lack; do not invent \
         them. Show me the draft and wait for my approval.\n\
         3. Once I approve, {order}\n\
         4. Tell me the task_id. Call task_status every few minutes until state is completed, failed or stopped; a \
         plan takes 15-20 minutes.\n\
         5. When it is completed, call task_file_info and give me the download_url unchanged, with a summary of what \
         the plan covers."
    );
    format!(
        "Make a project plan with PlanExe for this goal:\n\n{}\n\nConstraints: {constraints}\n\n{}",
        arguments.value("goal"),
        family.words(steps.into())
    )
}

fn review_plan(arguments: &Arguments, family: Family) -> String {
    let dummy = match family {
        Family::Task => " Say plainly when the plan is a dummy made with speed_vs_detail ping.",
        Family::Plan => "",
    };
    let steps = format!(
        "1. Call task_status. If the state is not completed, tell me so and stop.\n\
         2. Call task_file_info for the report and read it from its download_url, or give me the link when you cannot \
         open it and ask me for the parts that you need.\n\
         3. Judge the plan: Are the goal and its measures of success met? Which assumptions carry it, and which are \
         doubtful? Are budget, dates and people consistent with each other? Which risks are missing or played down?\n\
         4. Give me the three changes that would improve it most, each with its reason, and what to do in the first \
         week.{dummy}"
    );
    let (name, steps) = (family.words("task_id".into()), family.words(steps.into()));
    format!(
        "Review the PlanExe plan with the {name} {}.\n\n{steps}",
        arguments.value("task_id")
    )
}

/// The prompts as `prompts/list` shows them.
pub(super) fn list(family: Family) -> Value {
    let argument = |argument: &Argument| {
        json!({
            "name": family.words(argument.name.into()),
            "title": argument.title,
            "description": family.words(argument.description.into()),
            "required": argument.required,
        })
    };
    let prompts = ALL.iter().map(|prompt| {
        json!({
            "name": prompt.name,
            "title": prompt.title,
            "description": prompt.description,
            "arguments": prompt.arguments.iter().map(argument).collect::<Vec<_>>(),
        })
    });
    Value::Array(prompts.collect())
}

/// The result of `prompts/get`: a prompt with its arguments filled in.
#[derive(Debug, Serialize)]
pub(super) struct Filled {
    description: &'static str,
    messages: [Value; 1],
}

/// Fills a prompt in.
///
/// # Errors
/// An error for an unknown name, and for arguments that are missing or not strings.
pub(super) fn fill(name: &str, arguments: Option<&RawValue>, family: Family) -> Result<Filled, Fault> {
    let invalid = |text: String| Fault::new(INVALID_PARAMS, text);
    let names = || ALL.iter().map(|prompt| prompt.name).collect::<Vec<_>>().join(", ");
    let Some(prompt) = ALL.iter().find(|prompt| prompt.name == name) else {
        let name: String = name.chars().take(100).collect();
        return Err(invalid(format!(
            "Unknown prompt: {name}. Available prompts: {}.",
            names()
        )));
    };
    let arguments: Arguments = match arguments {
        None => Arguments::default(),
        Some(raw) => json::object(raw.get())
            .map_err(|_| invalid("params.arguments must be an object whose values are strings.".to_owned()))?,
    };
    let missing: Vec<&str> = prompt.arguments.iter().filter(|a| a.required).map(|a| a.name).collect();
    let missing: Vec<&str> = missing
        .into_iter()
        .filter(|name| arguments.value(name).is_empty())
        .collect();
    if !missing.is_empty() {
        let missing = family.words(missing.join(", ").into());
        return Err(invalid(format!("{name} needs the argument {missing}.")));
    }
    let content = json!({ "type": "text", "text": (prompt.render)(&arguments, family) });
    Ok(Filled {
        description: prompt.description,
        messages: [json!({ "role": "user", "content": content })],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_argument_reaches_the_message() {
        for prompt in ALL {
            let values: serde_json::Map<String, Value> = prompt
                .arguments
                .iter()
                .map(|a| (a.name.to_owned(), json!(format!("value of {}", a.name))))
                .collect();
            let raw = serde_json::value::to_raw_value(&values).expect("JSON");
            let filled =
                serde_json::to_string(&fill(prompt.name, Some(&raw), Family::Plan).expect("a prompt")).expect("JSON");
            for argument in prompt.arguments {
                assert!(
                    filled.contains(&format!("value of {}", argument.name)),
                    "{}: {}",
                    prompt.name,
                    argument.name
                );
            }
        }
    }
}
