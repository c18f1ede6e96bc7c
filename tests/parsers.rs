//! Whatever callers and neighbours send, what reads it says yes, no, or broken, and never fails: links, keys, origins,
//! queries, archives.

use planexe_mcp::{
    auth::{LinkKey, caller::normalise, origin_allowed},
    error::LinkFault,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

use crate::support::{Stage, block_on, run};

fn key() -> LinkKey {
    LinkKey::new("of the tests")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_query_opens_what_was_not_signed(query in "\\PC{0,60}|(expires|signature|=|&|%|[0-9a-f]){0,40}") {
        prop_assert_ne!(key().check(&query, "task", "run.zip", 1_000), Some(Ok(())));
    }

    #[test]
    fn a_signature_is_for_one_file_of_one_task(id in "\\PC{0,40}", file in "\\PC{0,40}", other in "\\PC{0,40}", expires in any::<u64>()) {
        let query = key().query(&id, &file, expires);
        prop_assert_eq!(key().check(&query, &id, &file, expires), Some(Ok(())));
        if other != file {
            prop_assert_eq!(key().check(&query, &id, &other, expires), Some(Err(LinkFault::Signature)));
        }
        if other != id {
            prop_assert_eq!(key().check(&query, &other, &file, expires), Some(Err(LinkFault::Signature)));
        }
    }

    #[test]
    fn a_normalised_key_stays_as_it_is(key in "\\PC{0,40}|([\"'“”`]|Bearer|bearer| |:|\\r|\\n|\u{200b}|\u{a0}|pex_a){0,12}") {
        let once = normalise(&key);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn origins_are_compared_whole(origin in "(http|https|null|://|localhost|evil|\\.|:|[0-9]){0,8}", suffix in "[a-z.]{1,8}") {
        let _ = origin_allowed(&origin, "http://localhost,https://a.example:8443");
        let longer = ["http://localhost.", suffix.as_str()].concat();
        prop_assert!(!origin_allowed(&longer, "http://localhost"));
    }
}

/// The smallest archive of one empty file, to be broken.
const ARCHIVE: &[u8] = b"PK\x03\x04\x0a\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\x001-a\
    PK\x01\x02\x1e\x03\x0a\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\xa4\x81\0\0\0\x001-a\
    PK\x05\x06\0\0\0\0\x01\0\x01\x001\0\0\0!\0\0\0\0\0";

#[test]
fn a_broken_archive_lists_nothing_and_harms_nothing() {
    let stage = block_on(Stage::builder().build());
    let task = block_on(stage.create("p"));
    let edits = vec(
        (any::<prop::sample::Index>(), select(vec![0, 1, 0x7f, 0xff, b'P'])),
        0..6,
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let done = runner.run(
        &(edits, any::<prop::sample::Index>(), any::<bool>()),
        |(edits, end, cut)| {
            let mut bytes = ARCHIVE.to_vec();
            for (index, value) in edits {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            block_on(async {
                let update = "UPDATE task_item SET state = 'completed', run_zip_snapshot = $1";
                stage.execute(update, &[&bytes]).await;
                let status = stage.tool("task_status", json!({ "task_id": task })).await;
                prop_assert_eq!(&status["state"], "completed", "{:?}: {}", bytes, status);
                prop_assert!(status["files"].as_array().is_some_and(|files| files.len() <= 10));
                Ok(())
            })
        },
    );
    done.expect("every archive is answered");
    run(async {
        stage
            .execute("UPDATE task_item SET run_zip_snapshot = $1", &[&ARCHIVE])
            .await;
        let status = stage.tool("task_status", json!({ "task_id": task })).await;
        assert_eq!(
            status["files"][0]["path"], "1-a",
            "the archive is one before it is broken"
        );
    });
}
