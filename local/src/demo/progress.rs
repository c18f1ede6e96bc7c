//! The progress of a task on the screen: a bar at a terminal, lines elsewhere.
//!
//! Asks nobody anything.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// What is on the screen; gone when dropped, if it is a bar.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    last: String,
}

impl Progress {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        Self {
            bar: is_terminal.then(bar),
            last: String::new(),
        }
    }

    /// Shows how far the task is. `percentage` is of 100.
    pub(super) fn show(&mut self, state: &str, percentage: f64, message: &str, newest: Option<&str>) {
        let newest = newest.map_or(String::new(), |name| format!(", newest file {name}"));
        let message = if message.is_empty() { state } else { message };
        let text = format!("{message}{newest}");
        let line = format!("{state} {percentage:3.0} %: {text}");
        match &self.bar {
            Some(bar) => {
                bar.set_position(percentage.clamp(0.0, 100.0) as u64);
                bar.set_message(text);
            }
            None if line != self.last => println!("{line}"),
            None => {}
        }
        self.last = line;
    }

    /// A line beside the progress.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Leaves the screen to others; the last line stays.
    pub(super) fn end(mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            println!("{}", self.last);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(100);
    // The default style is as good as any if this one were broken.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:30} {pos:>3} %  {elapsed:>4}  {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
