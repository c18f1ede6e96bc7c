//! Time limits: races a call against the clock, since the host waits far longer than a caller does.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::{Either, select};

/// A point in time that no call may outlast.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The point in time `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// Runs a call; `None` when the deadline came first. The call is then dropped, which the host takes as its end.
    pub async fn race<T>(self, call: impl Future<Output = T>) -> Option<T> {
        let rest = self.0.saturating_duration_since(Instant::now());
        match select(pin!(call), pin!(spin_sdk::time::sleep(rest))).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }
}

/// Seconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A Unix time with milliseconds: `2026-01-31T12:00:00.123Z`.
#[must_use]
pub fn rfc3339_millis(since_1970: Duration) -> String {
    let time = i64::try_from(since_1970.as_millis())
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |t| t.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// A Unix time as people and JSON write it: `2026-01-31T12:00:00Z` (RFC 3339, UTC, whole seconds).
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    written(unix_seconds, "%Y-%m-%dT%H:%M:%SZ")
}

/// A Unix time as HTTP headers write it: `Sat, 31 Jan 2026 12:00:00 GMT` (RFC 9110 section 5.6.7).
#[must_use]
pub fn http_date(unix_seconds: u64) -> String {
    written(unix_seconds, "%a, %d %b %Y %H:%M:%S GMT")
}

fn written(unix_seconds: u64, format: &str) -> String {
    let time = i64::try_from(unix_seconds)
        .ok()
        .and_then(|s| chrono::DateTime::from_timestamp(s, 0));
    time.map_or_else(String::new, |t| t.format(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people_and_for_headers() {
        assert_eq!(rfc3339(784_111_777), "1994-11-06T08:49:37Z");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(u64::MAX), "");
    }
}
