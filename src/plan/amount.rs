//! Percentages and credits.

use std::fmt;

use super::TaskState;

/// How far a plan is, from 0 to 100 %, in hundredths as the database has it. Formatting a float would add 20 kB to the
/// component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentage(u16);

impl Percentage {
    /// Of a plan that is complete.
    pub const COMPLETE: Self = Self(10_000);

    /// The nearest percentage to a number.
    #[must_use]
    pub fn new(percent: f64) -> Self {
        let hundredths = (percent * 100.0).round().clamp(0.0, f64::from(Self::COMPLETE.0));
        Self(hundredths as u16)
    }

    /// How far a plan in this state is: a complete one is at 100 %, whatever the worker has written.
    #[must_use]
    pub fn of(state: TaskState, percent: f64) -> Self {
        if state == TaskState::Completed {
            Self::COMPLETE
        } else {
            Self::new(percent)
        }
    }

    /// As a number.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// Without zeros at the end: `47.2`.
impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match (part, part % 10) {
            (0, _) => write!(f, "{whole}"),
            (_, 0) => write!(f, "{whole}.{}", part / 10),
            _ => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// An amount of credits: whole before March 2026, with up to nine decimals since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credits(String);

impl Credits {
    /// Reads the database's decimal text, such as `1.500000000`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        })
    }
}

/// The shortest decimal text, which is JSON too: `1.5`.
impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_have_no_zeros_at_the_end() {
        for (text, shown) in [
            ("3", "3"),
            ("100", "100"),
            ("1.500000000", "1.5"),
            ("-2.000000000", "-2"),
            ("0.000000001", "0.000000001"),
        ] {
            assert_eq!(Credits::parse(text).to_string(), shown);
        }
    }

    #[test]
    fn percentages_are_written_without_zeros_at_the_end() {
        for (number, text) in [
            (0.0, "0"),
            (1.8, "1.8"),
            (96.4, "96.4"),
            (3.603_603, "3.6"),
            (42.34, "42.34"),
            (7.05, "7.05"),
            (100.0, "100"),
            (999.0, "100"),
            (-1.0, "0"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(Percentage::new(number).to_string(), text);
        }
        assert_eq!(Percentage::new(42.34).percent().to_string(), "42.34");
    }
}
