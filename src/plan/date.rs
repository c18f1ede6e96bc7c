//! The start date of a project, as Python's `datetime.fromisoformat` reads it: a worker that cannot read it ends.

/// Whether a worker can read a start date: ISO 8601, a date or a date and a time, with or without an offset. Years out of
/// the reach of a worker's local time are refused too.
#[must_use]
pub fn is_start_date(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(text: &str) -> Option<()> {
    let (year, rest) = number(text, 4)?;
    let is_extended = rest.starts_with('-');
    let separator = |rest: &'_ str, mark: char| {
        if is_extended {
            rest.strip_prefix(mark).map(str::len)
        } else {
            Some(rest.len())
        }
    };
    let rest = tail(rest, separator(rest, '-')?)?;
    let (month, rest) = number(rest, 2)?;
    let rest = tail(rest, separator(rest, '-')?)?;
    let (day, rest) = number(rest, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1900..=2999).contains(&year) || !(1..=days).contains(&day) {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, ""),
    };
    clock(time)?;
    match offset.strip_prefix(['+', '-']) {
        Some(offset) => clock(offset),
        None => ["", "Z", "z"].contains(&offset).then_some(()),
    }
}

/// `09`, `09:00`, `09:00:30`, `09:00:30.5`, or the same without colons.
fn clock(text: &str) -> Option<()> {
    let (hour, mut rest) = number(text, 2)?;
    let is_extended = rest.starts_with(':');
    let mut limits = [60, 60].into_iter();
    while !rest.is_empty() && !rest.starts_with(['.', ',']) {
        let limit = limits.next()?;
        let digits = if is_extended { rest.strip_prefix(':')? } else { rest };
        let (value, after) = number(digits, 2)?;
        if value >= limit {
            return None;
        }
        rest = after;
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
        // Only seconds have parts.
        if !is_fraction || limits.next().is_some() {
            return None;
        }
    }
    (hour < 24).then_some(())
}

/// A number of exactly so many digits at the beginning, and what follows.
fn number(text: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    is_number
        .then(|| number.parse().ok())
        .flatten()
        .map(|number| (number, rest))
}

/// The last bytes of a text, so many.
fn tail(text: &str, length: usize) -> Option<&str> {
    text.get(text.len().checked_sub(length)?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_reads_every_date_that_is_let_through() {
        for text in [
            "2027-06-15",
            "20270615",
            "2024-02-29",
            "2027-06-15T09",
            "2027-06-15T09:00",
            "2027-06-15 09:00:30",
            "2027-06-15T09:00:30.5",
            "2027-06-15T09:00:30.123456Z",
            "2027-06-15T09:00:00+02:00",
            "2027-06-15T09:00:00-0530",
            "20270615T090000Z",
        ] {
            assert!(is_start_date(text), "{text}");
        }
        for text in [
            "",
            "garbage",
            "tomorrow",
            "2027",
            "2027-06",
            "2027-13-01",
            "2027-02-29",
            "2027-06-31",
            "2027-06-00",
            "2027-6-15",
            "2027-0615",
            "202706-15",
            "15/06/2027",
            "2027-06-15T",
            "2027-06-15T24:00",
            "2027-06-15T09:60",
            "2027-06-15T09:00:60",
            "2027-06-15T09:00.5",
            "2027-06-15T09:00:00.",
            "2027-06-15T09:00:00 +02:00",
            "2027-06-15T09:00:00+24:00",
            "2027-06-15T09:00:00+",
            "2027-06-15T09:00:00ZZ",
            "2027-06-15T0900:00",
            "2027-06-15T09:0000",
            "0001-01-01",
            "9999-12-31",
            " 2027-06-15",
            "2027-06-15\n",
            "２０２７-06-15",
        ] {
            assert!(!is_start_date(text), "{text}");
        }
    }
}
