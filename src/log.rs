//! The log: one line of JSON on stderr for each request. It never contains keys, prompts, texts of a request or raw paths.

use std::{io::Write as _, time::Duration};

use crate::host;

/// Builds a line of JSON. Written by hand, since the members are known: general escaping and number formatting would cost
/// more than the rest of the line.
#[derive(Debug)]
pub struct Line(String);

impl Default for Line {
    /// An empty line.
    fn default() -> Self {
        Self(String::with_capacity(400))
    }
}

impl Line {
    /// Adds a member with this JSON text.
    pub fn value(&mut self, name: &str, json: &str) {
        self.add(["\"", name, "\":", json, ""]);
    }

    /// Adds a string member. The string must need no escaping: a constant, or an id.
    pub fn word(&mut self, name: &str, word: impl AsRef<str>) {
        let word = word.as_ref();
        debug_assert!(
            !word.contains(['"', '\\']) && !word.contains(char::is_control),
            "{word:?}"
        );
        self.add(["\"", name, "\":\"", word, "\""]);
    }

    /// Adds a string member, if there is a string.
    pub fn word_if(&mut self, name: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.word(name, word);
        }
    }

    /// Adds a number of milliseconds with one decimal.
    pub fn millis(&mut self, name: &str, time: Duration) {
        let tenths = time.as_secs() * 10_000 + u64::from((time.subsec_nanos() + 50_000) / 100_000);
        let (whole, part) = ((tenths / 10).to_string(), (tenths % 10).to_string());
        self.add(["\"", name, "\":", &whole, "."]);
        self.0.push_str(&part);
    }

    fn add(&mut self, parts: [&str; 5]) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        for part in parts {
            self.0.push_str(part);
        }
    }

    /// Writes the line in one call of the host, so that lines of concurrent requests are not mixed.
    pub fn write(mut self) {
        self.0.push_str("}\n");
        if !host::write_log(self.0.as_bytes()) {
            // Not `eprint!`, which panics on a closed pipe and would trap the instance.
            let _ = std::io::stderr().write_all(self.0.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json() {
        let mut line = Line::default();
        line.word("outcome", "ok");
        line.word_if("tool", None);
        line.value("status", "200");
        line.millis("ms", Duration::from_micros(12_349));
        line.millis("worker_ms", Duration::from_micros(49));
        line.value("causes", &crate::json::text(&["a \"b\"\n"]));
        assert_eq!(
            line.0,
            r#"{"outcome":"ok","status":200,"ms":12.3,"worker_ms":0.0,"causes":["a \"b\"\n"]"#
        );
    }

    #[test]
    fn a_closed_stderr_is_no_panic() {
        const CHILD: &str = "PLANEXE_TEST_CLOSED_STDERR";
        if std::env::var_os(CHILD).is_some() {
            Line::default().write();
            return;
        }
        let (reader, closed) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--nocapture", "log::tests::a_closed_stderr_is_no_panic"])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .stderr(closed)
            .status();
        assert!(status.expect("a child").success());
    }
}
