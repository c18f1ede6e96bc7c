//! Files out of the archive of a run: from the database and from the worker.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;

use crate::support::{
    Stage, each_row, http_double, request, run,
    zips::{Entry, archive, deflated, stored},
};

/// A completed task whose archive lies in the database, and one whose archive only the worker has.
pub struct Both {
    pub stored: (Stage, String),
    pub at_worker: (Stage, String),
    /// The archive that the worker has.
    zip: Arc<Mutex<Vec<u8>>>,
}

impl Both {
    pub async fn with(zip: Vec<u8>) -> Self {
        let served: Arc<Mutex<Vec<u8>>> = Arc::default();
        let zip_of_worker = Arc::clone(&served);
        let worker = http_double(move |_| Some((200, zip_of_worker.lock().expect("the archive").clone()))).await;
        let stored = Stage::builder().build().await;
        let stored_id = stored.create("p").await;
        let at_worker = Stage::builder().set("PLANEXE_WORKER_PLAN_URL", &worker).build().await;
        let at_worker_id = at_worker.create("p").await;
        at_worker.execute("UPDATE task_item SET state = 'completed'", &[]).await;
        let both = Self {
            stored: (stored, stored_id),
            at_worker: (at_worker, at_worker_id),
            zip: served,
        };
        both.put(zip).await;
        both
    }

    /// From now on this is the archive.
    pub async fn put(&self, zip: Vec<u8>) {
        self.stored.0.complete_with_zip(&zip).await;
        *self.zip.lock().expect("the archive") = zip;
    }

    fn each(&self) -> [(&'static str, &Stage, &str); 2] {
        [
            ("database", &self.stored.0, &self.stored.1),
            ("worker", &self.at_worker.0, &self.at_worker.1),
        ]
    }

    /// Expects this content, or this status and part of the message, from both sources.
    pub async fn expect(&self, file: &str, expected: Result<&[u8], (u16, &str)>) {
        for (source, ..) in self.each() {
            self.expect_from(source, file, expected).await;
        }
    }

    pub async fn expect_from(&self, source: &str, file: &str, expected: Result<&[u8], (u16, &str)>) {
        let (_, stage, id) = self
            .each()
            .into_iter()
            .find(|(name, ..)| *name == source)
            .expect("a source");
        let answer = stage.get(&format!("/download/{id}/{file}")).await;
        match expected {
            Ok(content) => {
                assert_eq!(answer.status(), 200, "{source} {file}: {}", answer.text());
                assert!(answer.bytes() == content, "{source} {file}: other bytes");
            }
            Err((status, part)) => {
                assert_eq!(answer.status(), status, "{source} {file}");
                let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
                assert!(detail.contains(part), "{source} {file}: {detail}");
                assert!(
                    !answer.has_header("retry-after"),
                    "{source} {file}: another try changes nothing"
                );
            }
        }
    }

    /// Expects an answer that begins well and breaks off before it is complete.
    pub async fn expect_broken(&self, file: &str) {
        for (source, stage, id) in self.each() {
            let path = format!("/download/{id}/{file}");
            // Or nothing comes at all.
            let Ok(answer) = stage.try_send(request(Method::GET, &path, &[], Bytes::new())).await else {
                continue;
            };
            assert!(
                answer.status() == 422 || answer.body.is_err(),
                "{source} {file}: {} with {:?} bytes",
                answer.status(),
                answer.body.map(|body| body.len())
            );
        }
    }
}

const NO_SUCH_FILE: Result<&[u8], (u16, &str)> = Err((404, "no such file"));

/// Text that deflates, larger than any buffer on its way.
pub fn text() -> Vec<u8> {
    (0..60_000)
        .flat_map(|n: u32| format!("line {n}\n").into_bytes())
        .collect()
}

/// Bytes that do not deflate.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn every_way_of_packing_comes_out_right() {
    run(async {
        let (text, noise) = (text(), noise(700_000));
        let both = Both::with(archive(&[
            deflated("first.txt", b"one"),
            stored("stored.bin", &noise),
            deflated("text.md", &text),
            deflated("noise.bin", &noise),
            deflated("later.json", &text).with_descriptor(),
            deflated("empty.csv", b""),
            stored("empty.txt", b""),
            deflated("folder/Überblick 100%.md", b"inside"),
        ]))
        .await;
        both.expect("first.txt", Ok(b"one")).await;
        both.expect("stored.bin", Ok(&noise)).await;
        both.expect("text.md", Ok(&text)).await;
        both.expect("noise.bin", Ok(&noise)).await;
        both.expect("later.json", Ok(&text)).await;
        both.expect("empty.csv", Ok(b"")).await;
        both.expect("empty.txt", Ok(b"")).await;
        for (_, stage, id) in both.each() {
            // What comes before its size is known has none, not even in the answer to a HEAD.
            let head = |file: &str| request(Method::HEAD, &format!("/download/{id}/{file}"), &[], Bytes::new());
            let known = stage.send(head("text.md")).await;
            assert_eq!(known.header("content-length"), text.len().to_string());
            let later = stage.send(head("later.json")).await;
            assert_ne!(later.header("content-length"), "0");
        }
        both.expect("folder/%C3%9Cberblick%20100%25.md", Ok(b"inside")).await;
        both.expect("folder%2F%C3%9Cberblick%20100%25.md", Ok(b"inside")).await;
        for name in [
            "FIRST.TXT",
            "first",
            "first.txt%20",
            "folder",
            "folder/",
            "irst.txt",
            "%2566irst.txt",
            "%ff",
        ] {
            both.expect(name, NO_SUCH_FILE).await;
        }
    });
}

#[test]
fn kinds_of_files_have_their_headers() {
    run(async {
        let names = [
            "a.md",
            "a.json",
            "a.csv",
            "a.txt",
            "a.html",
            "a.svg",
            "a.exe",
            "Übersicht.md",
        ];
        let entries: Vec<Entry> = names.iter().map(|name| deflated(name, b"content")).collect();
        let both = Both::with(archive(&entries)).await;
        for (source, stage, id) in both.each() {
            each_row(
                [
                    (
                        "a.md",
                        "text/markdown; charset=utf-8",
                        "inline; filename=\"a.md\"",
                        false,
                    ),
                    ("a.json", "application/json", "inline; filename=\"a.json\"", false),
                    ("a.csv", "text/csv; charset=utf-8", "inline; filename=\"a.csv\"", false),
                    (
                        "a.txt",
                        "text/plain; charset=utf-8",
                        "inline; filename=\"a.txt\"",
                        false,
                    ),
                    (
                        "a.html",
                        "text/html; charset=utf-8",
                        "inline; filename=\"a.html\"",
                        true,
                    ),
                    ("a.svg", "image/svg+xml", "inline; filename=\"a.svg\"", true),
                    (
                        "a.exe",
                        "application/octet-stream",
                        "attachment; filename=\"a.exe\"",
                        false,
                    ),
                    (
                        "%C3%9Cbersicht.md",
                        "text/markdown; charset=utf-8",
                        "inline; filename=\"_bersicht.md\"; filename*=UTF-8''%C3%9Cbersicht%2Emd",
                        false,
                    ),
                ],
                async |(name, content_type, disposition, has_policy)| {
                    let answer = stage.get(&format!("/download/{id}/{name}")).await;
                    assert_eq!(answer.header("content-type"), content_type, "{source} {name}");
                    assert_eq!(answer.header("content-disposition"), disposition, "{source} {name}");
                    assert_eq!(answer.header("content-length"), "7", "{source} {name}");
                    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{source} {name}");
                    assert_eq!(answer.header("cache-control"), "private, no-cache", "{source} {name}");
                    let policy = answer.header("content-security-policy");
                    assert_eq!(
                        policy.starts_with("sandbox allow-scripts"),
                        has_policy,
                        "{source} {name}"
                    );
                    assert_eq!(answer.has_header("etag"), source == "database", "{source} {name}");
                },
            )
            .await;
        }
    });
}

#[test]
fn names_that_lead_out_of_the_run_are_never_handed_out() {
    run(async {
        let names = [
            "../up.txt",
            "/abs.txt",
            "a/../../up.txt",
            "back\\slash.txt",
            "C:drive.txt",
            "./dot.txt",
        ];
        let mut entries: Vec<Entry> = names.iter().map(|name| deflated(name, b"secret")).collect();
        entries.push(deflated("001-2-good.txt", b"good"));
        let both = Both::with(archive(&entries)).await;
        for name in names {
            both.expect(name, NO_SUCH_FILE).await;
            both.expect(
                &name.replace('/', "%2F").replace('.', "%2E").replace('\\', "%5C"),
                NO_SUCH_FILE,
            )
            .await;
        }
        both.expect("001-2-good.txt", Ok(b"good")).await;
        let (stage, id) = &both.stored;
        let status = stage.tool("task_status", serde_json::json!({ "task_id": id })).await;
        assert_eq!(status["files"].as_array().map(Vec::len), Some(1), "{status}");
    });
}

#[test]
fn a_folder_around_everything_is_taken_off() {
    run(async {
        let both = Both::with(archive(&[
            stored("my run/", b""),
            deflated("my run/001-plan.md", b"plan"),
            deflated("__MACOSX/my run/._001-plan.md", b"mac"),
            deflated("my run/.DS_Store", b"mac"),
            deflated("my run/sub/x.md", b"x"),
        ]))
        .await;
        both.expect("001-plan.md", Ok(b"plan")).await;
        both.expect("sub/x.md", Ok(b"x")).await;
        both.expect("x.md", NO_SUCH_FILE).await;
        both.put(archive(&[deflated("a/x.md", b"inner"), deflated("x.md", b"outer")]))
            .await;
        both.expect("x.md", Ok(b"outer")).await;
        both.expect("a/x.md", Ok(b"inner")).await;
    });
}

#[test]
fn of_two_entries_with_one_name_one_is_handed_out_whole() {
    run(async {
        let both = Both::with(archive(&[
            deflated("a.md", b"first"),
            deflated("b.md", b"b"),
            deflated("a.md", b"last"),
        ]))
        .await;
        // The directory knows which one is the last; an archive that is read as a stream shows the first one first.
        both.expect_from("database", "a.md", Ok(b"last")).await;
        both.expect_from("worker", "a.md", Ok(b"first")).await;
        both.expect("b.md", Ok(b"b")).await;
    });
}

#[test]
fn parts_of_an_entry_are_those_of_the_file() {
    run(async {
        let text = text();
        let both = Both::with(archive(&[deflated("a.md", &text), stored("b.md", &text)])).await;
        let (stage, id) = &both.stored;
        let size = text.len();
        for name in ["a.md", "b.md"] {
            let path = format!("/download/{id}/{name}");
            let whole = stage.get(&path).await;
            let etag = whole.header("etag").to_owned();
            assert_eq!(whole.header("accept-ranges"), "bytes");
            for (range, part) in [
                ("bytes=0-0", 0..1),
                ("bytes=70000-270000", 70_000..270_001),
                ("bytes=-5", size - 5..size),
                ("bytes=300000-", 300_000..size),
            ] {
                let headers = [("range", range), ("if-range", etag.as_str())];
                let answer = stage.send(request(Method::GET, &path, &headers, Bytes::new())).await;
                assert_eq!(answer.status(), 206, "{name} {range}");
                let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                assert_eq!(answer.header("content-range"), content_range);
                assert_eq!(answer.header("content-length"), part.len().to_string());
                assert!(answer.bytes() == &text[part], "{name} {range}: other bytes");
            }
            let answer = stage
                .send(request(Method::GET, &path, &[("if-none-match", &etag)], Bytes::new()))
                .await;
            assert_eq!(answer.status(), 304);
        }
        let (stage, id) = &both.at_worker;
        let headers = [("range", "bytes=0-0")];
        let answer = stage
            .send(request(
                Method::GET,
                &format!("/download/{id}/a.md"),
                &headers,
                Bytes::new(),
            ))
            .await;
        assert_eq!((answer.status(), answer.header("accept-ranges")), (200, "none"));
    });
}
