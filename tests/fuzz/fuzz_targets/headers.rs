//! Headers and settings: a range lies inside its file, a key loses what copying added and never shows in a log, an id is
//! one, and an address of a database keeps its parts.
//!
//! Input: a line for each member of `Case`; blank where the header is absent.

#![no_main]

use base64ct::{Base64, Encoding as _};
use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use planexe_mcp::{
    auth::caller::{Key, normalise},
    fuzzing::{database_address, decode_name, evaluate_conditions, normalised_database_address, request_id},
};

struct Case<'a> {
    range: Option<&'a str>,
    second_range: Option<&'a str>,
    if_range: Option<&'a str>,
    if_none_match: Option<&'a str>,
    size: u64,
    is_head: bool,
    key: &'a str,
    request_id: Option<&'a str>,
    trace: Option<&'a str>,
    text: &'a str,
    more: &'a str,
}

impl<'a> Case<'a> {
    fn read(text: &'a str) -> Self {
        let mut lines = text.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        Self {
            range: line(),
            second_range: line(),
            if_range: line(),
            if_none_match: line(),
            size: line().and_then(|line| line.parse().ok()).unwrap_or(1_000),
            is_head: line().is_some(),
            key: line().unwrap_or_default(),
            request_id: line(),
            trace: line(),
            text: line().unwrap_or_default(),
            more: line().unwrap_or_default(),
        }
    }
}

const ETAG: &str = "\"abc\"";

fn insert(headers: &mut HeaderMap, name: &'static str, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.append(name, value);
    }
}

fn ranges(case: &Case<'_>) {
    let mut headers = HeaderMap::new();
    insert(&mut headers, "range", case.range);
    insert(&mut headers, "range", case.second_range);
    insert(&mut headers, "if-range", case.if_range);
    insert(&mut headers, "if-none-match", case.if_none_match);
    let (status, range) = evaluate_conditions(&headers, case.is_head, Some(ETAG), None, Some(case.size));
    assert_eq!(range.is_some(), status == StatusCode::PARTIAL_CONTENT);
    if let Some(range) = range {
        assert!(
            range.start < range.end && range.end <= case.size,
            "{range:?} of {}",
            case.size
        );
        // A value that is not text does not count.
        let ranges = headers.get_all("range").iter().filter(|value| value.to_str().is_ok());
        assert!(!case.is_head && ranges.count() == 1);
        assert!(headers.get("if-range").is_none_or(|value| value == ETAG));
    }
    if status == StatusCode::NOT_MODIFIED {
        assert!(
            case.if_none_match
                .is_some_and(|tags| tags.contains("abc") || tags.contains('*'))
        );
    }
    let (unknown, _) = evaluate_conditions(&headers, case.is_head, Some(ETAG), None, None);
    assert!(
        [StatusCode::OK, StatusCode::NOT_MODIFIED].contains(&unknown),
        "no part of what has no size"
    );
}

fn keys(case: &Case<'_>) {
    let plain = normalise(case.key);
    assert_eq!(normalise(&plain), plain);
    assert!(plain.len() <= case.key.len() && !plain.chars().any(|c| c.is_control() && c != '\t'));
    for copied in ["\"{}\"", " {}\r\n", "Bearer {}", "“Bearer {}”", "\u{feff}{}"] {
        // "Bearer" alone is a key like any other.
        if !plain.is_empty() {
            assert_eq!(normalise(&copied.replace("{}", &plain)), plain, "{copied}");
        }
    }
    let mut headers = HeaderMap::new();
    insert(&mut headers, "x-api-key", Some(case.key));
    insert(&mut headers, "x-request-id", case.request_id);
    insert(&mut headers, "traceparent", case.trace);
    if let Some(key) = Key::presented(&headers) {
        let id = key.id();
        assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(
            key.is_in(case.key) && key.is_in(&plain),
            "a key is known however it was copied"
        );
    }
    let id = request_id(&headers);
    assert!((1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!id.contains(['"', '\\', '<', '{', '%']), "{id}");
    assert!(
        !headers.contains_key("x-api-key") || plain.is_empty() || normalise(&id) != plain,
        "the key in the log"
    );
}

fn names(text: &str) {
    let encoded = format!("=?base64?{}?=", Base64::encode_string(text.as_bytes()));
    assert_eq!(decode_name(&encoded).as_deref(), Some(text));
    match decode_name(text) {
        Some(plain) if plain == text => {}
        Some(decoded) => {
            let inner = text
                .strip_prefix("=?base64?")
                .and_then(|rest| rest.strip_suffix("?="))
                .expect("an encoded name");
            assert_eq!(
                Base64::encode_string(decoded.as_bytes()),
                inner,
                "one text has one encoding"
            );
        }
        None => assert!(text.starts_with("=?base64?") && text.ends_with("?=")),
    }
}

fn addresses(user: &str, password: &str) {
    let address = database_address(user, password, "db.internal", "5432", password);
    let (rest, options) = address
        .strip_prefix("postgres://")
        .and_then(|rest| rest.split_once('?'))
        .expect("an address");
    assert!(options.starts_with("connect_timeout=2&"));
    let (credentials, place) = rest.split_once('@').expect("credentials");
    let parts = credentials.split_once(':').expect("user and password");
    let database = place
        .strip_prefix("db.internal:5432/")
        .expect("the host as it was given");
    let decoded = |part| percent_decode_str(part).decode_utf8().expect("UTF-8").into_owned();
    assert_eq!(
        (decoded(parts.0), decoded(parts.1), decoded(database)),
        (user.to_owned(), password.to_owned(), password.to_owned())
    );
    if let Some(plain) = normalised_database_address(user) {
        let given = user.trim().split_once("://").expect("a scheme").1;
        assert!(plain.starts_with("postgres://") && plain.contains(given) && plain.contains(options));
        assert_eq!(
            normalised_database_address(&["postgresql+psycopg2://", given].concat()),
            Some(plain)
        );
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let case = Case::read(text);
    ranges(&case);
    keys(&case);
    names(case.text);
    addresses(case.text, case.more);
});
