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

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
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

/// A Unix time as people and JSON write it: `2026-01-31T12:00:00Z` (RFC 3339, UTC, whole seconds).
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds)
        .ok()
        .and_then(|s| chrono::DateTime::from_timestamp(s, 0));
    time.map_or_else(String::new, |t| t.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
