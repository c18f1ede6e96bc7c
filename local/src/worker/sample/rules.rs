//! What the sample plan is made of: the usual phases, risks and roles, and the words that call for them.
//!
//! Words begin with the given letters, or are the whole word when a `=` stands before it.

/// The phases of a goal that names none, their share of the time, and their tasks. `{0}` to `{2}` stand
/// for keywords.
pub(super) const PHASES: [(&str, u32, &[&str]); 6] = [
    (
        "Agree on the goal",
        8,
        &[
            "Write down what success means for {0}",
            "Name who decides and who is asked",
            "Set the limits of time and money",
        ],
    ),
    (
        "Find out",
        14,
        &[
            "Ask five people who know about {0} or {1}",
            "List the rules and permits that apply",
            "Compare three ways to do it",
        ],
    ),
    (
        "Prepare",
        18,
        &[
            "Make the detailed schedule",
            "Choose partners and suppliers for {1}",
            "Order what takes long to come",
        ],
    ),
    (
        "Carry out",
        38,
        &[
            "Make a first small version, {0} before all else",
            "Show it to those it is for",
            "Do the main part: {0} and {1}",
            "Do the rest: {2} and what was put off",
        ],
    ),
    (
        "Try and open",
        14,
        &[
            "Try it under real conditions",
            "Put right what the trial showed",
            "Open, and tell people",
        ],
    ),
    (
        "Hand over",
        8,
        &[
            "Hand over to those who run it",
            "Write down what was learnt",
            "Close the accounts",
        ],
    ),
];

/// What every phase that the prompt names consists of, and the share of its time.
pub(super) const NAMED: [(&str, u32); 4] = [
    ("Say when “{}” is done", 24),
    ("Get people, material and money for it", 60),
    ("Do it: {}", 180),
    ("Check the result and decide how to go on", 24),
];

/// Beginnings of words that call for a risk, the risk, its likelihood and impact, and the answer to it.
pub(super) type RiskRule = (&'static [&'static str], &'static str, u8, u8, &'static str);

pub(super) const RISKS: [RiskRule; 14] = [
    (
        &[],
        "Those involved understand the goal differently",
        3,
        4,
        "One page that all of them sign before work begins",
    ),
    (
        &[],
        "It takes longer than planned",
        4,
        3,
        "A fixed date every week to compare schedule and reality",
    ),
    (
        &[],
        "It costs more than planned",
        3,
        4,
        "A reserve that only the project lead may open",
    ),
    (
        &[],
        "A person who is hard to replace leaves",
        2,
        4,
        "Two people know each important thing",
    ),
    (
        &["build", "construct", "renovat", "permit", "house"],
        "Permits come late or with conditions",
        3,
        5,
        "Speak with the authority before the design is final",
    ),
    (
        &["guest", "event", "wedding", "festival", "visitor", "conference"],
        "Many more or far fewer people come than expected",
        3,
        3,
        "Plan for half and for double the number",
    ),
    (
        &["software", "=app", "website", "data", "online", "platform"],
        "Data is lost or gets into the wrong hands",
        2,
        5,
        "Backups that are tried out, and as little personal data as possible",
    ),
    (
        &["casino", "gambl", "alcohol", "tobacco", "=pub", "=bar"],
        "The licence is refused or public opinion turns",
        3,
        5,
        "Legal advice first, and an offer for those who object",
    ),
    (
        &["food", "restaurant", "kitchen", "cafe", "bakery"],
        "Guests fall ill",
        1,
        5,
        "A hygiene plan, checked by an outsider",
    ),
    (
        &["school", "child", "student", "kids", "teen"],
        "Children are not safe enough",
        1,
        5,
        "Clear rules for all who work there, and a person to turn to",
    ),
    (
        &["garden", "farm", "outdoor", "solar", "park", "forest"],
        "The weather does not play along",
        3,
        3,
        "Move what depends on it into the mild months",
    ),
    (
        &["hospital", "medic", "health", "clinic", "patient"],
        "The approval for use on people takes years",
        3,
        5,
        "Ask the authority for a scientific consultation early",
    ),
    (
        &["robot", "machine", "factory", "drone", "reactor"],
        "A machine hurts somebody",
        1,
        5,
        "A safety review before anything moves by itself",
    ),
    (
        &["volunteer", "community", "club", "neighbo"],
        "Helpers lose interest",
        3,
        3,
        "Small tasks with an end, and thanks in public",
    ),
];

pub(super) const ROLES: [(&[&str], &str, &str, &str); 11] = [
    (&[], "Project lead", "Decides, and answers for the whole", "full time"),
    (
        &[],
        "Money and contracts",
        "Keeps the budget and the papers",
        "half time",
    ),
    (&[], "Quality and safety", "May stop the work", "half time"),
    (
        &["build", "construct", "renovat", "house"],
        "Engineer",
        "Designs, and speaks with the authorities",
        "full time",
    ),
    (
        &["software", "=app", "website", "data", "online", "platform"],
        "Developer",
        "Makes and runs the software",
        "full time",
    ),
    (
        &["guest", "event", "wedding", "festival", "visitor"],
        "Host",
        "Looks after all who come",
        "half time",
    ),
    (
        &["food", "restaurant", "kitchen", "cafe", "bakery"],
        "Head of kitchen",
        "Chooses what is served",
        "full time",
    ),
    (
        &["customer", "market", "sell", "brand", "sponsor"],
        "Marketing",
        "Tells people, and listens",
        "half time",
    ),
    (
        &["permit", "law", "licen", "casino", "government"],
        "Legal adviser",
        "Reads before others sign",
        "some days",
    ),
    (
        &["school", "child", "student", "teach"],
        "Educational adviser",
        "Speaks for the young ones",
        "some days",
    ),
    (
        &["hospital", "medic", "health", "clinic"],
        "Medical adviser",
        "Speaks for the patients",
        "some days",
    ),
];
