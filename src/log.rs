//! The log: lines of JSON on stderr, for the operator. Never a key, a prompt, or the text of a request.

use serde_json::json;

use crate::error::Error;

/// An error that the operator should look into. Errors of callers are not.
pub fn fault(error: &Error) {
    if error.is_fault() {
        line(&json!({ "level": "error", "code": error.code(), "cause": error.to_string() }));
    }
}

/// Something that is allowed but unwise.
pub fn warning(text: &str) {
    line(&json!({ "level": "warning", "message": text }));
}

fn line(entry: &serde_json::Value) {
    #[expect(clippy::print_stderr, reason = "stderr is the host's log")]
    {
        eprintln!("{entry}");
    }
}
