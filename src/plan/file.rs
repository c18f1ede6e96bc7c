//! Names of the files of a run: which ones can be asked for, and what kind of file a name stands for.

use super::Artifact;

/// Longer names are refused.
const MAX_NAME: usize = 1024;

/// The names of the report: the one before April 2026, and the one since.
pub const REPORT_NAMES: [&str; 2] = ["030-report.html", "report.html"];

/// A file of a run that can be asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunFile {
    /// One of the two files that a finished plan is made of, and the name by which it was asked for.
    Artifact(Artifact, &'static str),
    /// Any other, out of the archive.
    Entry(String),
}

impl RunFile {
    /// Reads a name, percent-decoded already; `None` when it cannot be the name of a file inside a run.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let [old, new] = REPORT_NAMES;
        let artifacts = [
            (Artifact::Report, old),
            (Artifact::Report, new),
            (Artifact::Zip, Artifact::Zip.file_name()),
        ];
        match artifacts.into_iter().find(|(_, known)| *known == name) {
            Some((artifact, name)) => Some(Self::Artifact(artifact, name)),
            None => is_inside(name).then(|| Self::Entry(name.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Artifact(_, name) => name,
            Self::Entry(name) => name,
        }
    }

    /// Media type, as in `Content-Type`, by the ending of the name.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        let name = match self {
            Self::Artifact(artifact, _) => return artifact.content_type(),
            Self::Entry(name) => name,
        };
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("md" | "markdown") => "text/markdown; charset=utf-8",
            Some("json") => "application/json",
            Some("csv") => "text/csv; charset=utf-8",
            Some("txt" | "log") => "text/plain; charset=utf-8",
            Some("html" | "htm") => "text/html; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    /// Whether a browser runs scripts that are in such a file.
    #[must_use]
    pub fn is_active(&self) -> bool {
        let content_type = self.content_type();
        content_type.starts_with("text/html") || content_type == "image/svg+xml"
    }

    /// Whether the file is for reading as it is; others are for saving.
    #[must_use]
    pub fn is_text(&self) -> bool {
        let content_type = self.content_type();
        content_type.starts_with("text/") || ["application/json", "image/svg+xml"].contains(&content_type)
    }
}

/// Whether a file is not handed out by itself: it holds every prompt and answer of the language models, with call stacks.
#[must_use]
pub fn is_withheld(name: &str) -> bool {
    name.rsplit(['/', '\\']).next() == Some("track_activity.jsonl")
}

/// The numbers in front of a name: the pipeline's stage, the step, and of a piece its number. `016-1-3-expert.json` has
/// 16, 1 and 3. `None` for names without a stage: `PlanExe`'s bookkeeping files.
#[must_use]
pub fn stage(name: &str) -> Option<[u32; 3]> {
    let mut stage = [0; 3];
    let (mut rest, mut found) = (name, false);
    for number in &mut stage {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (text, after) = rest.split_at_checked(digits)?;
        let (Ok(value), Some(after)) = (text.parse(), after.strip_prefix('-')) else {
            break;
        };
        (*number, rest, found) = (value, after, true);
    }
    found.then_some(stage)
}

/// Whether a name is a safe relative path on every system: it leads to a file below the folder of the run.
#[must_use]
pub fn is_inside(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    name.len() <= MAX_NAME
        && !drive
        && !name.bytes().any(|b| b.is_ascii_control() || b == b'\\')
        && (name.is_ascii() || !name.chars().any(char::is_control))
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_the_run_are_none() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../x",
            "a//x",
            "a/",
            "./x",
            "a\\x",
            "..\\x",
            "C:x",
            "c:/x",
            "a\0b",
            "a\nb",
        ] {
            assert_eq!(RunFile::parse(name), None, "{name:?}");
        }
        assert_eq!(RunFile::parse(&"x".repeat(1025)), None);
        for name in ["a", "a/b.md", "..a", "a..b", "...", "Überblick 1.md", "ab:c", "%2e%2e"] {
            assert_eq!(RunFile::parse(name), Some(RunFile::Entry(name.to_owned())));
        }
        for (name, artifact) in [
            ("run.zip", Artifact::Zip),
            ("030-report.html", Artifact::Report),
            ("report.html", Artifact::Report),
        ] {
            assert_eq!(RunFile::parse(name), Some(RunFile::Artifact(artifact, name)));
        }
    }

    #[test]
    fn stages_are_numbers() {
        for (name, expected) in [
            ("001-1-start_time.json", Some([1, 1, 0])),
            ("006-13-x.md", Some([6, 13, 0])),
            ("016-1-3-expert.json", Some([16, 1, 3])),
            ("030-report.html", Some([30, 0, 0])),
            ("023-2-wbs-3-x.json", Some([23, 2, 0])),
            ("track_activity.jsonl", None),
            ("expected_filenames1.json", None),
            ("030", None),
            ("-1-x", None),
            ("99999999999-x", None),
            ("", None),
            ("ü-1", None),
        ] {
            assert_eq!(stage(name), expected, "{name}");
        }
    }

    #[test]
    fn the_ending_tells_the_kind() {
        for (name, content_type, is_text, is_active) in [
            ("a.md", "text/markdown; charset=utf-8", true, false),
            ("a.JSON", "application/json", true, false),
            ("a.csv", "text/csv; charset=utf-8", true, false),
            ("a.txt", "text/plain; charset=utf-8", true, false),
            ("a.html", "text/html; charset=utf-8", true, true),
            ("a.svg", "image/svg+xml", true, true),
            ("a.xhtml", "application/octet-stream", false, false),
            ("a.exe", "application/octet-stream", false, false),
            ("html", "application/octet-stream", false, false),
        ] {
            let file = RunFile::Entry(name.to_owned());
            assert_eq!(
                (file.content_type(), file.is_text(), file.is_active()),
                (content_type, is_text, is_active),
                "{name}"
            );
        }
    }
}
