//! What the texts of the old Postgres interface say. They are made for people, and differ from Spin to Spin:
//!
//! | Spin | a statement that Postgres refuses |
//! | --- | --- |
//! | to 3.6.1 | the driver's error in its debug form, with the SQLSTATE |
//! | 3.6.2, 3.6.3 | the same for what fails before the statement runs, else `db error: ERROR: …` without the SQLSTATE |
//! | from 4.0 | the debug form, or that in the debug form of another error |

use crate::host::Refusal;

/// What messages begin with that come without their SQLSTATE, and that SQLSTATE: of all that passes, and of what ends
/// the connection. In English: Postgres gives them in the language of `lc_messages`.
const MESSAGES: [(&str, &str); 9] = [
    ("ERROR: canceling statement", "57014"),
    ("ERROR: deadlock detected", "40P01"),
    ("ERROR: could not serialize access", "40001"),
    ("ERROR: could not obtain lock", "55P03"),
    ("ERROR: could not extend file", "53100"),
    ("ERROR: out of memory", "53200"),
    ("FATAL: ", "57P01"),
    ("PANIC: ", "57P02"),
    // The statements raise this one themselves, see `db::schema`.
    ("ERROR: relation \"task_item_was_renamed\"", "42P01"),
];

/// What refused a statement. Of Postgres's own text nothing is kept but the message of what has a SQLSTATE: the rest may
/// repeat values, and looks like whatever they look like.
pub(super) fn from_text(text: String) -> Refusal {
    if let Some(message) = text.strip_prefix("db error: ") {
        let known = MESSAGES.iter().find(|(beginning, _)| message.starts_with(beginning));
        let message = message.lines().next().unwrap_or_default();
        return match known {
            Some((_, state)) => Refusal::State((*state).to_owned(), message.to_owned()),
            None => Refusal::Misfit("Postgres refused a statement; this Spin does not say why".to_owned()),
        };
    }
    let parts = text
        .split_once("code: SqlState(")
        .and_then(|(_, rest)| rest.split_once("message: "));
    let Some((code, message)) = parts else {
        return Refusal::Text(text);
    };
    // `E57014), `, or `Other("P0002")), ` where the driver does not know it.
    let code = code
        .strip_prefix("Other")
        .or_else(|| code.strip_prefix('E'))
        .unwrap_or(code);
    let code = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let message = message.split("detail: ").next().unwrap_or_default();
    let message = message.trim_matches(|c: char| c == '"' || c == '\\' || c == ',' || c == ' ');
    Refusal::State(code, message.to_owned())
}

/// A text without the address, which holds a password: to 3.5, Spin repeats all of it where the component may not reach
/// it. And without what the driver takes for the name of an option of it, which may be the end of a password.
pub(super) fn without_address(text: &str, address: &str) -> String {
    const OPTION: &str = "unknown option";
    let text = text.replace(address, "of the database");
    match text.split_once(OPTION) {
        Some((before, _)) => format!("{before}{OPTION}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The driver's debug form, which has no end here.
    fn debug(severity: &str, code: &str, message: &str) -> String {
        format!(
            "Error {{ kind: Db, cause: Some(DbError {{ severity: {severity:?}, parsed_severity: Some(Error), \
             code: SqlState({code}), message: {message:?}, detail: None, hint: None, position: None }}) }}"
        )
    }

    /// The error in which Spin 4 wraps it where it comes while rows do.
    fn wrapped(text: &str) -> String {
        format!("Error::QueryFailed(QueryError::DbError(DbError {{ as-text: {text:?}, severity: \"ERROR\" }}))")
    }

    #[test]
    fn every_spin_says_it_in_its_own_words() {
        let timeout = "canceling statement due to statement timeout";
        let state = |code: &str, message: &str| Refusal::State(code.to_owned(), message.to_owned());
        for (spin, text, refusal) in [
            (
                "3.0 to 3.6.1, 4",
                debug("ERROR", "E57014", timeout),
                state("57014", timeout),
            ),
            (
                "3.0 to 3.6.1, 4",
                debug("FEHLER", "E40P01", "Verklemmung"),
                state("40P01", "Verklemmung"),
            ),
            (
                "3.0 to 3.6.1, 4",
                debug("ERROR", "Other(\"P0002\")", "no"),
                state("P0002", "no"),
            ),
            (
                "all",
                debug("ERROR", "E42P01", "relation \"x\" is not there"),
                state("42P01", "relation \\\"x\\\" is not there"),
            ),
            (
                "4.0 on",
                wrapped(&debug("ERROR", "E57014", timeout)),
                state("57014", timeout),
            ),
            (
                "4.0 on",
                wrapped(&debug("ERROR", "Other(\"P0002\")", "no")),
                state("P0002", "no"),
            ),
            (
                "3.6.2, 3.6.3",
                format!("db error: ERROR: {timeout}\n\nCaused by:\n    ERROR: {timeout}\n\nStack backtrace:\n   0: x"),
                state("57014", &format!("ERROR: {timeout}")),
            ),
            (
                "3.6.2, 3.6.3",
                "db error: ERROR: deadlock detected\nDETAIL: Process 1 waits".to_owned(),
                state("40P01", "ERROR: deadlock detected"),
            ),
            (
                "3.6.2, 3.6.3",
                "db error: FATAL: terminating connection due to administrator command\n\nCaused by:".to_owned(),
                state("57P01", "FATAL: terminating connection due to administrator command"),
            ),
            (
                "3.6.2, 3.6.3",
                "db error: ERROR: duplicate key value\nDETAIL: Key (prompt)=(code: SqlState(E57014), message: )"
                    .to_owned(),
                Refusal::Misfit("Postgres refused a statement; this Spin does not say why".to_owned()),
            ),
        ] {
            assert_eq!(from_text(text.clone()), refusal, "{spin}: {text}");
        }
        for text in [
            "Error { kind: Closed, cause: None }",
            "connection closed\n\nStack backtrace:",
            "error communicating with the server: Connection reset by peer (os error 104)",
            "Error::QueryFailed(QueryError::Text(\"Error { kind: Closed, cause: None }\"))",
        ] {
            assert_eq!(from_text(text.to_owned()), Refusal::Text(text.to_owned()));
        }
    }

    #[test]
    fn no_text_repeats_the_password() {
        for (address, text, left) in [
            (
                "postgres://u:secret@h:1/d?x=y",
                "address postgres://u:secret@h:1/d?x=y is not permitted",
                "address of the database is not permitted",
            ),
            (
                "postgres://u:a@h?secret@host/d?connect_timeout=2",
                "invalid connection string: unknown option `secret@host/d?connect_timeout`",
                "invalid connection string: unknown option",
            ),
            (
                "postgres://u:p@h/d?sslmode=verify-full",
                "invalid connection string: invalid value for option `sslmode`",
                "invalid connection string: invalid value for option `sslmode`",
            ),
        ] {
            assert_eq!(without_address(text, address), left);
        }
    }
}
