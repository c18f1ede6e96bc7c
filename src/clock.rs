//! Time limits: races a call against the clock, since the host waits far longer than a caller does.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::{Either, select};

use crate::host;

/// Runs a call that may take `limit`; `None` when it took longer. The call is then dropped, which the host takes as its
/// end. One that has no time left does not begin: a host may carry it out all the same, before the clock counts.
pub async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    if limit.is_zero() {
        return None;
    }
    match select(pin!(call), pin!(host::sleep(limit))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// What time it is, to measure with and to show. The host is asked for the second once a second only; in between it
/// is the first that counts on.
#[must_use]
pub fn now() -> (Instant, SystemTime) {
    thread_local! {
        static ASKED: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if let Some((then, time)) = ASKED.get() {
        let since = now.saturating_duration_since(then);
        if since < Duration::from_secs(1) {
            return (now, time + since);
        }
    }
    let time = SystemTime::now();
    ASKED.set(Some((now, time)));
    (now, time)
}

/// Seconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A time with milliseconds: `2026-01-31T12:00:00.123Z`.
#[must_use]
pub fn rfc3339_millis(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.max(UNIX_EPOCH)).to_string()
}

/// A Unix time as people and JSON write it: `2026-01-31T12:00:00Z` (RFC 3339, UTC, whole seconds). Blank beyond the
/// year 9999.
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    time(unix_seconds).map_or_else(String::new, |time| humantime::format_rfc3339_seconds(time).to_string())
}

/// The Unix time of a text in that form; `None` of another text.
#[must_use]
pub fn read_rfc3339(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// A Unix time as HTTP headers write it: `Sat, 31 Jan 2026 12:00:00 GMT` (RFC 9110 section 5.6.7). Blank beyond the
/// year 9999.
#[must_use]
pub fn http_date(unix_seconds: u64) -> String {
    time(unix_seconds).map_or_else(String::new, httpdate::fmt_http_date)
}

/// A time that has four digits for its year.
fn time(unix_seconds: u64) -> Option<SystemTime> {
    const YEAR_10000: u64 = 253_402_300_800;
    (unix_seconds < YEAR_10000).then(|| UNIX_EPOCH + Duration::from_secs(unix_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people_and_for_headers() {
        assert_eq!(rfc3339(784_111_777), "1994-11-06T08:49:37Z");
        assert_eq!(read_rfc3339("1994-11-06T08:49:37Z"), Some(784_111_777));
        assert_eq!(read_rfc3339("1994-11-06"), None);
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(253_402_300_799), "Fri, 31 Dec 9999 23:59:59 GMT");
        for none in [253_402_300_800, u64::MAX] {
            assert_eq!((rfc3339(none), http_date(none)), (String::new(), String::new()));
        }
        let millis = Duration::from_millis(784_111_777_042);
        assert_eq!(rfc3339_millis(UNIX_EPOCH + millis), "1994-11-06T08:49:37.042Z");
    }
}
