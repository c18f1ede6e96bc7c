//! Signed links: the one that was made opens its file in its time, and no other opens anything.
//!
//! Input: a line for each member of `Case`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use planexe_mcp::{auth::LinkKey, error::LinkFault};

static KEY: LazyLock<LinkKey> = LazyLock::new(|| key("of the fuzz target"));

fn key(secret: &str) -> LinkKey {
    LinkKey::new(secret)
}

struct Case<'a> {
    id: &'a str,
    file: &'a str,
    expires: u64,
    now: u64,
    other_id: &'a str,
    other_file: &'a str,
    secret: &'a str,
    /// A query that somebody made up.
    query: &'a str,
    /// Changes of the signed query, three bytes each: place, what to do, what with.
    edits: &'a [u8],
}

impl<'a> Case<'a> {
    fn read(text: &'a str) -> Self {
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        Self {
            id: line(),
            file: line(),
            expires: line().parse().unwrap_or(1_000),
            now: line().parse().unwrap_or(1_000),
            other_id: line(),
            other_file: line(),
            secret: line(),
            query: line(),
            edits: line().as_bytes(),
        }
    }
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name))
        .map(|(_, value)| value)
}

fn edited(query: &str, edits: &[u8]) -> String {
    let mut bytes = query.as_bytes().to_vec();
    for [place, edit, byte] in edits.as_chunks().0 {
        let place = usize::from(*place) % (bytes.len() + 1);
        match edit % 4 {
            0 => bytes.insert(place, *byte),
            1 if place < bytes.len() => bytes[place] = *byte,
            2 if place < bytes.len() => drop(bytes.remove(place)),
            3 => bytes.rotate_left(place),
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let case = Case::read(text);
    let Case {
        id, file, expires, now, ..
    } = case;
    let signed = KEY.query(id, file, expires);
    let in_time = if now <= expires {
        Ok(())
    } else {
        Err(LinkFault::Expired)
    };
    assert_eq!(KEY.check(&signed, id, file, now), Some(in_time));
    // Each file has its own signature and expiry.
    let opens = |query: &str, id: &str, file: &str, now| {
        let opened = KEY.check(query, id, file, now) == Some(Ok(()));
        if opened {
            let own = KEY.query(
                id,
                file,
                parameter(query, "expires")
                    .and_then(|text| text.parse().ok())
                    .expect("a time"),
            );
            assert_eq!(parameter(query, "signature"), parameter(&own, "signature"), "{query}");
        }
        opened
    };
    for (other_id, other_file) in [
        (case.other_id, file),
        (id, case.other_file),
        (case.other_id, case.other_file),
    ] {
        let opened = opens(&signed, other_id, other_file, now);
        assert!(
            !opened || (other_id, other_file) == (id, file),
            "a link to {id}/{file} opens {other_id}/{other_file}"
        );
    }
    assert!(!opens(case.query, id, file, 0), "a made up query opens: {}", case.query);
    let tampered = edited(&signed, case.edits);
    let same = parameter(&tampered, "expires") == parameter(&signed, "expires")
        && parameter(&tampered, "signature") == parameter(&signed, "signature");
    assert_eq!(opens(&tampered, id, file, expires), same, "{tampered}");
    if case.secret != "of the fuzz target" {
        assert_eq!(
            key(case.secret).check(&signed, id, file, 0),
            Some(Err(LinkFault::Signature)),
            "another key"
        );
    }
});
