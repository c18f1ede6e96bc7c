//! What plain rules can read out of a prompt: its goal, its words, amounts, duration and phases.
//!
//! Makes no plan and no text.

use super::amounts::{Amount, amounts};
use std::collections::HashMap;

/// No need to read on beyond this many characters.
const READ: usize = 20_000;

/// Words that say nothing about a goal.
const COMMON: &str = " about above after again against also another anything around because become been before being \
    below between both cannot could create does doing done down during each either enough even every everything few \
    first from further gets give goal good great have having help here high idea into itself just keep know large last \
    less like likely little long look made main make makes making many maybe mind more most much must need needs \
    never next none nothing once only open other ours over people phase place plan planned planning please possible \
    project really same second shall should since small some someone something soon start still such take than that \
    their them then there these they thing things third this those three through time today together toward towards \
    under unit until upon used using very want wants well were what when where which while will with within without \
    work would year years your month months week weeks days percent per day the and for are but not you all any can \
    had her was one our out has him his how its may new now old see two way who did get let put say she too use ";

/// What introduces a goal without being part of it.
const OPENINGS: [&str; 8] = [
    "i want to ",
    "i would like to ",
    "we want to ",
    "we plan to ",
    "i plan to ",
    "please ",
    "help me to ",
    "help me ",
];

const LEADING_ON: [&str; 18] = [
    "a", "an", "the", "and", "or", "of", "to", "in", "into", "on", "with", "for", "from", "by", "at", "our", "my",
    "its",
];

/// A prompt, read.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// The whole prompt.
    pub(super) prompt: String,
    /// As much of it as is read.
    text: String,
    /// A few words of its first sentence.
    pub(super) title: String,
    /// Its first sentence.
    pub(super) sentence: String,
    /// How many words it has.
    pub(super) words: usize,
    /// Its most frequent telling words, the most frequent first; at most eight.
    pub(super) keywords: Vec<String>,
    /// The amounts it names, in order.
    pub(super) amounts: Vec<Amount>,
    /// The time it gives, in days.
    pub(super) days: Option<u32>,
    /// The phases it names, in order; empty when it names none.
    pub(super) phases: Vec<String>,
}

impl Goal {
    /// Reads a prompt.
    pub(super) fn read(prompt: &str) -> Self {
        let text: String = prompt.chars().take(READ).collect();
        let sentence = first_sentence(&text);
        let words: Vec<&str> = text.split_whitespace().collect();
        Self {
            prompt: prompt.to_owned(),
            title: title(&sentence),
            words: prompt.split_whitespace().count(),
            keywords: keywords(&text),
            amounts: amounts(&words),
            days: days(&words),
            phases: phases(&text),
            sentence,
            text,
        }
    }

    /// The largest amount: usually the budget.
    pub(super) fn budget(&self) -> Option<&Amount> {
        self.amounts.iter().max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// The first word of the prompt that begins with one of these, or is one that has a `=` before it.
    pub(super) fn mentions(&self, beginnings: &[&str]) -> Option<String> {
        let is_part = |c: char| !c.is_alphanumeric();
        let mut words = self.text.split(is_part).filter(|word| !word.is_empty());
        words
            .find(|word| beginnings.iter().any(|start| starts_with(word, start)))
            .map(str::to_lowercase)
    }

    /// A keyword by number, counted around, in quotes; `the goal` when there is none.
    pub(super) fn keyword(&self, number: usize) -> String {
        self.keywords
            .iter()
            .cycle()
            .nth(number)
            .map_or("the goal".to_owned(), |word| format!("“{word}”"))
    }
}

fn starts_with(word: &str, start: &str) -> bool {
    if let Some(whole) = start.strip_prefix('=') {
        return word.eq_ignore_ascii_case(whole);
    }
    word.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// A text cut after at most `limit` characters, at the end of a word if possible.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= limit {
        return text;
    }
    let head: String = text.chars().take(limit).collect();
    let end = head
        .rfind(' ')
        .filter(|end| *end > head.len() / 2)
        .unwrap_or(head.len());
    format!(
        "{}…",
        head.get(..end)
            .unwrap_or(&head)
            .trim_end_matches([' ', ',', ';', ':', '-', '–'])
    )
}

fn first_sentence(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("Plan:").unwrap_or(text).trim_start();
    let mut end = text.len();
    for (at, sign) in text.char_indices() {
        let after = text.get(at + sign.len_utf8()..).unwrap_or_default();
        let ends = matches!(sign, '.' | '!' | '?') && after.starts_with(char::is_whitespace);
        if ends || matches!(sign, '\n' | '。') {
            end = at;
            break;
        }
    }
    let sentence = shorten(text.get(..end).unwrap_or(text).trim_end_matches(['.', ':']), 240);
    if sentence.is_empty() {
        "No goal was given".to_owned()
    } else {
        sentence
    }
}

fn title(sentence: &str) -> String {
    let lower = sentence.to_ascii_lowercase();
    let opening = OPENINGS
        .iter()
        .find(|opening| lower.starts_with(**opening))
        .map_or(0, |opening| opening.len());
    let words: Vec<&str> = sentence.get(opening..).unwrap_or(sentence).split_whitespace().collect();
    let mut taken = words.get(..9).unwrap_or(&words);
    // Cut before what only leads on to the next word.
    while let (true, Some((last, others))) = (taken.len() < words.len(), taken.split_last()) {
        if others.is_empty() || !LEADING_ON.contains(&last.to_ascii_lowercase().as_str()) {
            break;
        }
        taken = others;
    }
    let few = taken.join(" ");
    let few = shorten(few.trim_end_matches([',', ';', ':', '.']), 64);
    let more = if taken.len() < words.len() && !few.ends_with('…') {
        "…"
    } else {
        ""
    };
    let mut letters = few.chars();
    let first = letters
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}{more}", letters.as_str())
}

fn keywords(text: &str) -> Vec<String> {
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for (at, word) in text.split(|c: char| !c.is_alphabetic() && c != '\'').enumerate() {
        let word = word.trim_matches('\'').to_lowercase();
        let word = word.strip_suffix("'s").unwrap_or(&word);
        let length = word.chars().count();
        let is_telling = length > 3 || (length > 1 && !word.is_ascii());
        if is_telling && length <= 24 && !COMMON.contains(&format!(" {word} ")) {
            counts.entry(word.to_owned()).or_insert((0, at)).0 += 1;
        }
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort_by(|(_, (count, at)), (_, (other, other_at))| other.cmp(count).then(at.cmp(other_at)));
    words.into_iter().take(8).map(|(word, _)| word).collect()
}

/// The duration that the goal is to take: one after `in` or `within` first, else any that is no age, no
/// rate and no term; from a week to ten years.
fn days(words: &[&str]) -> Option<u32> {
    let joined = words.join(" ").replace('-', " ");
    let words: Vec<&str> = joined
        .split(' ')
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .collect();
    let is = |at: usize, any: &[&str]| {
        words
            .get(at)
            .is_some_and(|word| any.iter().any(|w| word.eq_ignore_ascii_case(w)))
    };
    let duration = |at: usize| {
        let unit = match words.get(at + 1)?.to_ascii_lowercase().trim_end_matches('s') {
            "day" => 1,
            "week" => 7,
            "month" => 30,
            "year" => 365,
            _ => return None,
        };
        let days = count_of(words.get(at)?)?.checked_mul(unit)?;
        ((7..=3650).contains(&days) && !is(at + 2, &["old"])).then_some(days)
    };
    let after = |at: usize, any: &[&str]| at > 0 && is(at - 1, any);
    let mut all = (0..words.len()).filter(|at| after(*at, &["in", "within", "over", "takes", "take", "lasts"]));
    all.find_map(duration).or_else(|| {
        let mut others = (0..words.len()).filter(|at| !after(*at, &["for", "per", "every", "last", "past"]));
        others.find_map(duration)
    })
}

fn count_of(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    ];
    let named = NAMES.iter().position(|name| word.eq_ignore_ascii_case(name));
    named
        .and_then(|at| u32::try_from(at + 1).ok())
        .or_else(|| word.parse().ok())
}

/// `Phase 1: …` anywhere, else a numbered or dotted list.
fn phases(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("hase ") {
        let rest = text.get(at + 5..).unwrap_or_default();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(rest) = rest.strip_prefix([':', '.', ')', '-']) {
            let end = rest.find(['.', '\n', ';']).unwrap_or(rest.len());
            named.push(phase_name(rest.get(..end).unwrap_or(rest)));
        }
    }
    if named.len() < 2 {
        named = text
            .lines()
            .filter_map(list_item)
            .map(|item| shorten(item, 60))
            .collect();
    }
    named.retain(|name| !name.is_empty());
    if (2..=8).contains(&named.len()) {
        named
    } else {
        Vec::new()
    }
}

/// The main part of a long sentence, as a rule, stands before its first comma.
fn phase_name(text: &str) -> String {
    let comma = text.find(',').filter(|comma| *comma > 12 && text.len() > 60);
    shorten(comma.and_then(|comma| text.get(..comma)).unwrap_or(text), 60)
}

fn list_item(line: &str) -> Option<&str> {
    let line = line.trim();
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if numbered.len() < line.len() {
        return numbered.strip_prefix(['.', ')']).map(str::trim);
    }
    line.strip_prefix("- ")
        .or_else(|| line.strip_prefix("* "))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{Amount, Goal, shorten};

    const CASINO: &str = "Replace East Wing of the white house with a casino. Casino capacity: 999 guests. Open 24/7. \
        Budget: 600 Million USD from sponsors. Phase 1: Make a temporary casino in some containers, so the gambling \
        can start. Phase 2: Construct the casino. Phase 3: Transition to the new casino.";

    #[test]
    fn a_real_prompt_is_read() {
        let goal = Goal::read(CASINO);
        assert_eq!(goal.title, "Replace East Wing of the white house…");
        assert_eq!(goal.sentence, "Replace East Wing of the white house with a casino");
        assert_eq!(goal.keywords.first().map(String::as_str), Some("casino"));
        assert_eq!(
            goal.budget(),
            Some(&Amount {
                value: 6e8,
                currency: "USD"
            })
        );
        assert_eq!(goal.phases.len(), 3);
        assert_eq!(goal.phases.get(1).map(String::as_str), Some("Construct the casino"));
        assert_eq!(goal.days, None);
        assert_eq!(goal.mentions(&["gambl"]).as_deref(), Some("gambling"));
    }

    #[test]
    fn durations_are_found_and_ages_are_not() {
        for (text, days) in [
            ("done in 6 weeks", Some(42)),
            ("a 12-month course", Some(360)),
            ("two years", Some(730)),
            ("rented for ten years, open within 9 months", Some(270)),
            ("rented for ten years", None),
            ("my son is 7 years old", None),
            ("99999999999 years", None),
            ("one day", None),
        ] {
            assert_eq!(Goal::read(text).days, days, "{text}");
        }
    }

    #[test]
    fn lists_are_phases_and_nothing_breaks_on_odd_prompts() {
        assert_eq!(
            Goal::read("Do:\n1. Buy wood\n2) Build\n- Paint").phases,
            ["Buy wood", "Build", "Paint"]
        );
        for odd in [
            "",
            "   ",
            "é",
            "。。",
            "$",
            "1",
            "Phase 1",
            "phase :",
            "🎉 1.",
            "\u{202e}x",
            "'s",
            "hase 9",
        ] {
            let goal = Goal::read(odd);
            assert!(!goal.sentence.is_empty() && !goal.title.is_empty(), "{odd:?}");
        }
        assert_eq!(Goal::read("計画を立てる。次に進む").sentence, "計画を立てる");
    }

    #[test]
    fn long_texts_end_at_a_word() {
        assert_eq!(shorten("one two  three", 9), "one two…");
        assert_eq!(shorten("überlangeswort", 4), "über…");
    }
}
