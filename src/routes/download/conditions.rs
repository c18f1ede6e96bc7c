//! Preconditions and ranges of a request for a file (RFC 9110 sections 13 and 14).

use std::ops::Range;

use http::{HeaderMap, HeaderName, header};

/// What to send to a request for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The whole file.
    Full,
    /// No content: the client has the current version.
    NotModified,
    /// The bytes of this range, which is inside the file and not empty.
    Partial(Range<u64>),
    /// An error: the range is outside the file.
    RangeNotSatisfiable,
}

/// Validators and size of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileMeta<'a> {
    /// The `ETag`, quoted.
    pub(crate) etag: Option<&'a str>,
    /// The `Last-Modified`.
    pub(crate) modified: Option<&'a str>,
    /// In bytes; `None` when it is unknown or byte ranges are not supported.
    pub(crate) size: Option<u64>,
}

/// Evaluates the preconditions and the range of a request.
pub(crate) fn evaluate(headers: &HeaderMap, is_head: bool, file: FileMeta<'_>) -> Decision {
    let mut tags = lines(headers, &header::IF_NONE_MATCH).peekable();
    if tags.peek().is_some() {
        // A list of tags, compared weakly. This server's tags contain no comma.
        let mut tags = tags.flat_map(|line| line.split(',')).map(str::trim);
        if tags.any(|tag| {
            tag == "*"
                || file
                    .etag
                    .is_some_and(|etag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
        }) {
            return Decision::NotModified;
        }
    } else if file.modified.is_some()
        && headers.get(header::IF_MODIFIED_SINCE).and_then(|v| v.to_str().ok()) == file.modified
    {
        // Only the exact date that the server sent matches. Any other date gets the whole file.
        return Decision::NotModified;
    }
    // Ranges are defined for GET only (section 14.2).
    let (false, Some(size)) = (is_head, file.size) else {
        return Decision::Full;
    };
    let current = headers
        .get(header::IF_RANGE)
        .is_none_or(|value| file.etag.is_some_and(|etag| value.as_bytes() == etag.as_bytes()));
    let mut ranges = lines(headers, &header::RANGE);
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if current => parse_range(range, size),
        _ => Decision::Full,
    }
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// Parses `bytes=a-b`, `bytes=a-` or `bytes=-n`. Invalid ranges are ignored, as the RFC demands, and so are multiple ranges.
fn parse_range(header: &str, size: u64) -> Decision {
    let split = || {
        let (unit, range) = header.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        unit.trim().eq_ignore_ascii_case("bytes").then_some((first, last))
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Too large for u64, so larger than any file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = split() else {
        return Decision::Full;
    };
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Decision::Full,
    };
    if range.start < range.end {
        Decision::Partial(range)
    } else {
        Decision::RangeNotSatisfiable
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const META: FileMeta<'static> = FileMeta {
        etag: Some("\"abc\""),
        modified: Some("Sun, 06 Nov 1994 08:49:37 GMT"),
        size: Some(1000),
    };

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn ranges_are_read_strictly_and_ignored_otherwise() {
        for (range, wants) in [
            ("bytes=0-0", Decision::Partial(0..1)),
            ("bytes=0-999", Decision::Partial(0..1000)),
            ("bytes=10-19", Decision::Partial(10..20)),
            ("Bytes = 10-19", Decision::Partial(10..20)),
            ("bytes=990-2000", Decision::Partial(990..1000)),
            ("bytes=990-99999999999999999999999", Decision::Partial(990..1000)),
            ("bytes=990-", Decision::Partial(990..1000)),
            ("bytes=-10", Decision::Partial(990..1000)),
            ("bytes=-5000", Decision::Partial(0..1000)),
            ("bytes=1000-", Decision::RangeNotSatisfiable),
            ("bytes=1000-1001", Decision::RangeNotSatisfiable),
            ("bytes=99999999999999999999999-", Decision::RangeNotSatisfiable),
            ("bytes=-0", Decision::RangeNotSatisfiable),
            ("bytes=20-10", Decision::Full),
            ("bytes=0-1,5-6", Decision::Full),
            ("bytes=-", Decision::Full),
            ("bytes=", Decision::Full),
            ("bytes=a-b", Decision::Full),
            ("bytes=+1-2", Decision::Full),
            ("items=0-1", Decision::Full),
            ("0-1", Decision::Full),
        ] {
            assert_eq!(evaluate(&headers(&[("range", range)]), false, META), wants, "{range}");
        }
        assert_eq!(
            evaluate(&headers(&[("range", "bytes=0-1")]), true, META),
            Decision::Full
        );
        let unknown = FileMeta { size: None, ..META };
        assert_eq!(
            evaluate(&headers(&[("range", "bytes=0-1")]), false, unknown),
            Decision::Full
        );
        let empty = FileMeta { size: Some(0), ..META };
        assert_eq!(
            evaluate(&headers(&[("range", "bytes=0-")]), false, empty),
            Decision::RangeNotSatisfiable
        );
    }

    #[test]
    fn validators_decide_whether_the_file_is_sent() {
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (pairs, wants) in [
            (&[("if-none-match", "\"abc\"")][..], Decision::NotModified),
            (&[("if-none-match", "W/\"abc\"")], Decision::NotModified),
            (&[("if-none-match", "\"x\" , W/\"y\",\"abc\"")], Decision::NotModified),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")],
                Decision::NotModified,
            ),
            (&[("if-none-match", "*")], Decision::NotModified),
            (
                &[("if-none-match", "\"abc\""), ("range", "bytes=0-1")],
                Decision::NotModified,
            ),
            (&[("if-none-match", "abc")], Decision::Full),
            (&[("if-none-match", "\"x\"")], Decision::Full),
            (&[("if-modified-since", modified)], Decision::NotModified),
            (
                &[("if-modified-since", "Sun, 06 Nov 1994 08:49:38 GMT")],
                Decision::Full,
            ),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", modified)],
                Decision::Full,
            ),
            (
                &[("if-range", "\"abc\""), ("range", "bytes=0-1")],
                Decision::Partial(0..2),
            ),
            (&[("if-range", "W/\"abc\""), ("range", "bytes=0-1")], Decision::Full),
            (&[("if-range", "\"x\""), ("range", "bytes=0-1")], Decision::Full),
            (&[("if-range", modified), ("range", "bytes=0-1")], Decision::Full),
        ] {
            assert_eq!(evaluate(&headers(pairs), false, META), wants, "{pairs:?}");
        }
        let nothing = FileMeta {
            etag: None,
            modified: None,
            size: None,
        };
        assert_eq!(
            evaluate(&headers(&[("if-none-match", "\"abc\"")]), false, nothing),
            Decision::Full
        );
        assert_eq!(evaluate(&headers(&[]), false, nothing), Decision::Full);
    }
}
