//! The log: lines of JSON on stderr for the operator, one for each request. Never a key, a prompt, the text of a request,
//! or a raw path.

use std::{io::Write as _, time::Duration};

use crate::host;

/// A line of JSON in the making. It is put together by hand: what it holds is known, and to look for what is to be
/// escaped, and to format numbers in every way there is, costs more than the rest of the line.
#[derive(Debug)]
pub struct Line(String);

impl Default for Line {
    /// A line without members.
    fn default() -> Self {
        Self(String::with_capacity(400))
    }
}

impl Line {
    /// A member of which the JSON text is known.
    pub fn value(&mut self, name: &str, json: &str) {
        self.add(["\"", name, "\":", json, ""]);
    }

    /// A member that is a string of letters, digits and what else needs no escape: a fixed name, or an id.
    pub fn word(&mut self, name: &str, word: impl AsRef<str>) {
        let word = word.as_ref();
        debug_assert!(
            !word.contains(['"', '\\']) && !word.contains(char::is_control),
            "{word:?}"
        );
        self.add(["\"", name, "\":\"", word, "\""]);
    }

    /// The same, if there is one.
    pub fn word_if(&mut self, name: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.word(name, word);
        }
    }

    /// Milliseconds with one decimal.
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

    /// Writes the line, in one call of the host, so that lines of requests that run side by side do not mix.
    pub fn write(mut self) {
        self.0.push_str("}\n");
        if !host::write_log(self.0.as_bytes()) {
            // `eprint!` panics when the pipe behind it is gone, which would trap the instance.
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
