//! Preconditions and ranges of a request for a file (RFC 9110 sections 13 and 14).

use std::ops::Range;

use http::{HeaderMap, HeaderName, header};

/// What the caller has already, and what of the file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The whole file.
    Whole,
    /// Nothing: the caller has it.
    NotModified,
    /// The bytes of this range, which is inside the file and not empty.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Beyond,
}

/// What is known of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The `ETag`, quoted.
    pub(crate) etag: Option<&'a str>,
    /// The `Last-Modified`.
    pub(crate) modified: Option<&'a str>,
    /// In bytes; `None` when unknown, or when no parts can be sent.
    pub(crate) size: Option<u64>,
}

/// Decides by the headers of a request.
pub(crate) fn decide(headers: &HeaderMap, is_head: bool, known: Known<'_>) -> Wants {
    let mut tags = lines(headers, &header::IF_NONE_MATCH).peekable();
    if tags.peek().is_some() {
        // A list of tags, compared weakly. This server's tags contain no comma.
        let mut tags = tags.flat_map(|line| line.split(',')).map(str::trim);
        if tags.any(|tag| {
            tag == "*"
                || known
                    .etag
                    .is_some_and(|etag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
        }) {
            return Wants::NotModified;
        }
    } else if known.modified.is_some()
        && headers.get(header::IF_MODIFIED_SINCE).and_then(|v| v.to_str().ok()) == known.modified
    {
        // The date that was handed out before. Other dates were made up, and lead to the whole file.
        return Wants::NotModified;
    }
    // Ranges have a meaning for GET alone (section 14.2).
    let (false, Some(size)) = (is_head, known.size) else {
        return Wants::Whole;
    };
    let current = headers
        .get(header::IF_RANGE)
        .is_none_or(|value| known.etag.is_some_and(|etag| value.as_bytes() == etag.as_bytes()));
    let mut ranges = lines(headers, &header::RANGE);
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if current => part(range, size),
        _ => Wants::Whole,
    }
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// Reads `bytes=a-b`, `bytes=a-` or `bytes=-n`. All else is ignored, as the RFC wants it, and several ranges too.
fn part(header: &str, size: u64) -> Wants {
    let read = || {
        let (unit, range) = header.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        unit.trim().eq_ignore_ascii_case("bytes").then_some((first, last))
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number beyond all sizes is beyond this one.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = read() else {
        return Wants::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Wants::Whole,
    };
    if range.start < range.end {
        Wants::Part(range)
    } else {
        Wants::Beyond
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const KNOWN: Known<'static> = Known {
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
            ("bytes=0-0", Wants::Part(0..1)),
            ("bytes=0-999", Wants::Part(0..1000)),
            ("bytes=10-19", Wants::Part(10..20)),
            ("Bytes = 10-19", Wants::Part(10..20)),
            ("bytes=990-2000", Wants::Part(990..1000)),
            ("bytes=990-99999999999999999999999", Wants::Part(990..1000)),
            ("bytes=990-", Wants::Part(990..1000)),
            ("bytes=-10", Wants::Part(990..1000)),
            ("bytes=-5000", Wants::Part(0..1000)),
            ("bytes=1000-", Wants::Beyond),
            ("bytes=1000-1001", Wants::Beyond),
            ("bytes=99999999999999999999999-", Wants::Beyond),
            ("bytes=-0", Wants::Beyond),
            ("bytes=20-10", Wants::Whole),
            ("bytes=0-1,5-6", Wants::Whole),
            ("bytes=-", Wants::Whole),
            ("bytes=", Wants::Whole),
            ("bytes=a-b", Wants::Whole),
            ("bytes=+1-2", Wants::Whole),
            ("items=0-1", Wants::Whole),
            ("0-1", Wants::Whole),
        ] {
            assert_eq!(decide(&headers(&[("range", range)]), false, KNOWN), wants, "{range}");
        }
        assert_eq!(decide(&headers(&[("range", "bytes=0-1")]), true, KNOWN), Wants::Whole);
        let unknown = Known { size: None, ..KNOWN };
        assert_eq!(
            decide(&headers(&[("range", "bytes=0-1")]), false, unknown),
            Wants::Whole
        );
        let empty = Known { size: Some(0), ..KNOWN };
        assert_eq!(decide(&headers(&[("range", "bytes=0-")]), false, empty), Wants::Beyond);
    }

    #[test]
    fn who_has_the_file_gets_nothing() {
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (pairs, wants) in [
            (&[("if-none-match", "\"abc\"")][..], Wants::NotModified),
            (&[("if-none-match", "W/\"abc\"")], Wants::NotModified),
            (&[("if-none-match", "\"x\" , W/\"y\",\"abc\"")], Wants::NotModified),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")],
                Wants::NotModified,
            ),
            (&[("if-none-match", "*")], Wants::NotModified),
            (
                &[("if-none-match", "\"abc\""), ("range", "bytes=0-1")],
                Wants::NotModified,
            ),
            (&[("if-none-match", "abc")], Wants::Whole),
            (&[("if-none-match", "\"x\"")], Wants::Whole),
            (&[("if-modified-since", modified)], Wants::NotModified),
            (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:38 GMT")], Wants::Whole),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", modified)],
                Wants::Whole,
            ),
            (&[("if-range", "\"abc\""), ("range", "bytes=0-1")], Wants::Part(0..2)),
            (&[("if-range", "W/\"abc\""), ("range", "bytes=0-1")], Wants::Whole),
            (&[("if-range", "\"x\""), ("range", "bytes=0-1")], Wants::Whole),
            (&[("if-range", modified), ("range", "bytes=0-1")], Wants::Whole),
        ] {
            assert_eq!(decide(&headers(pairs), false, KNOWN), wants, "{pairs:?}");
        }
        let nothing = Known {
            etag: None,
            modified: None,
            size: None,
        };
        assert_eq!(
            decide(&headers(&[("if-none-match", "\"abc\"")]), false, nothing),
            Wants::Whole
        );
        assert_eq!(decide(&headers(&[]), false, nothing), Wants::Whole);
    }
}
