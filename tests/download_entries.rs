//! Files out of the archive of a run: from the database and from the worker, sound archives and others.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;

use crate::support::{
    Stage, each_row, http_double, request, run,
    zips::{Entry, archive, deflated, stored},
};

/// A completed task whose archive lies in the database, and one whose archive only the worker has.
struct Both {
    stored: (Stage, String),
    at_worker: (Stage, String),
    /// The archive that the worker has.
    zip: Arc<Mutex<Vec<u8>>>,
}

impl Both {
    async fn with(zip: Vec<u8>) -> Self {
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
    async fn put(&self, zip: Vec<u8>) {
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
    async fn expect(&self, file: &str, expected: Result<&[u8], (u16, &str)>) {
        for (source, ..) in self.each() {
            self.expect_from(source, file, expected).await;
        }
    }

    async fn expect_from(&self, source: &str, file: &str, expected: Result<&[u8], (u16, &str)>) {
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
    async fn expect_broken(&self, file: &str) {
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
const NOT_READ_HERE: Result<&[u8], (u16, &str)> = Err((422, "encrypted or packed by a method"));
const BROKEN: Result<&[u8], (u16, &str)> = Err((422, "damaged"));
const TOO_LARGE: Result<&[u8], (u16, &str)> = Err((422, "larger than the 100,000,000 bytes"));

/// Text that deflates, larger than any buffer on its way.
fn text() -> Vec<u8> {
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
fn what_cannot_be_unpacked_is_said_to_be_so() {
    run(async {
        let mut encrypted = deflated("encrypted.md", b"secret");
        encrypted.flags |= 1;
        let mut unknown = deflated("lzma.md", b"content");
        unknown.method = 14;
        let both = Both::with(archive(&[encrypted, unknown, deflated("good.md", b"good")])).await;
        both.expect("encrypted.md", NOT_READ_HERE).await;
        both.expect("lzma.md", NOT_READ_HERE).await;
        both.expect("good.md", Ok(b"good")).await;
        // The form of files beyond 4 GiB.
        let mut large = deflated("large.md", b"content");
        large.version = 45;
        both.put(archive(&[deflated("good.md", b"good"), large])).await;
        both.expect("large.md", NOT_READ_HERE).await;
        both.expect("good.md", Ok(b"good")).await;
        // Nothing says where it ends but the directory.
        both.put(archive(&[
            stored("open.md", b"content").with_descriptor(),
            deflated("good.md", b"good"),
        ]))
        .await;
        both.expect_from("database", "open.md", Ok(b"content")).await;
        both.expect_from("worker", "open.md", NOT_READ_HERE).await;
        both.expect_from("database", "good.md", Ok(b"good")).await;
        both.expect_from("worker", "good.md", NOT_READ_HERE).await;
    });
}

#[test]
fn bombs_do_not_go_off() {
    run(async {
        let mut declared = deflated("declared.txt", b"x");
        declared.size = 100_000_001;
        let mut liar = deflated("liar.txt", &vec![b'x'; 3_000_000]);
        liar.size = 1_000_000;
        let both = Both::with(archive(&[declared, liar])).await;
        both.expect("declared.txt", TOO_LARGE).await;
        both.expect_broken("liar.txt").await;
        // A hundred kilobytes that unpack to more than the bound.
        let bomb = deflated("bomb.txt", &vec![0; 101_000_000]).with_descriptor();
        both.put(archive(&[bomb, deflated("good.md", b"good")])).await;
        both.expect_from("database", "good.md", Ok(b"good")).await;
        both.expect_from("worker", "good.md", TOO_LARGE).await;
        both.expect_from("database", "bomb.txt", TOO_LARGE).await;
        let (stage, id) = &both.at_worker;
        let before = stage.process.memory().1;
        let answer = stage.get(&format!("/download/{id}/bomb.txt")).await;
        assert!(answer.body.is_err(), "without a size, it breaks off at the bound");
        let grown = stage.process.memory().1 - before;
        println!("a file of 101,000,000 bytes: {grown} bytes of memory");
        assert!(grown < 32 << 20, "{grown} bytes of memory");
    });
}

#[test]
fn damaged_entries_never_look_complete() {
    run(async {
        let text = text();
        let mut wrong_crc = deflated("crc.md", &text);
        wrong_crc.crc ^= 1;
        let mut wrong_stored = stored("stored.md", &text);
        wrong_stored.crc ^= 1;
        let mut longer = deflated("longer.md", &text);
        longer.size += 1;
        let mut cut = deflated("cut.md", &text);
        cut.packed.truncate(1000);
        cut.compressed = 1000;
        let mut garbage = deflated("garbage.md", &text);
        garbage.packed.iter_mut().skip(100).for_each(|byte| *byte ^= 0x55);
        let mut wrong_later = deflated("later.md", &text).with_descriptor();
        wrong_later.crc ^= 1;
        let mut small = deflated("small.md", b"small");
        small.crc ^= 1;
        let both = Both::with(archive(&[
            wrong_crc,
            wrong_stored,
            longer,
            cut,
            garbage,
            small,
            deflated("good.md", b"good"),
            wrong_later,
        ]))
        .await;
        each_row(
            [
                "crc.md",
                "stored.md",
                "longer.md",
                "cut.md",
                "garbage.md",
                "later.md",
                "small.md",
            ],
            async |name| {
                both.expect_broken(name).await;
            },
        )
        .await;
        both.expect("good.md", Ok(b"good")).await;
    });
}

#[test]
fn truncated_archives_and_other_files_are_damaged() {
    run(async {
        let text = text();
        let whole = archive(&[deflated("a.md", &text), deflated("b.md", &text)]);
        let mut pretender = archive(&[deflated("a.md", b"a")]);
        // The directory is said to be where it is not.
        let end = pretender.len();
        pretender[end - 6..end - 2].copy_from_slice(&7_u32.to_le_bytes());
        let both = Both::with(whole.clone()).await;
        each_row(
            [
                whole[..whole.len() / 2].to_vec(),
                whole[..30].to_vec(),
                Vec::new(),
                b"PK".to_vec(),
                vec![0; 200_000],
                b"<html>no archive</html>".repeat(100),
            ],
            async |zip| {
                both.put(zip).await;
                both.expect_from("database", "b.md", BROKEN).await;
                both.expect_broken("b.md").await;
                let (stage, id) = &both.stored;
                let status = stage.tool("task_status", serde_json::json!({ "task_id": id })).await;
                assert_eq!(status["files"], serde_json::json!([]), "{status}");
            },
        )
        .await;
        both.put(pretender).await;
        both.expect_from("database", "a.md", BROKEN).await;
    });
}

#[test]
fn any_damage_to_an_archive_is_survived() {
    run(async {
        let whole = archive(&[
            deflated("a.md", b"some text, some text, some text"),
            stored("b.md", b"content"),
        ]);
        let stage = Stage::builder().build().await;
        let id = stage.create("p").await;
        for position in 0..whole.len() {
            let mut zip = whole.clone();
            zip[position] ^= 0xFF;
            stage.complete_with_zip(&zip).await;
            for name in ["a.md", "b.md"] {
                let path = format!("/download/{id}/{name}");
                let answer = stage.try_send(request(Method::GET, &path, &[], Bytes::new())).await;
                // An answer may break off before its first byte.
                let status = answer.map_or(200, |answer| answer.status());
                assert!([200, 404, 422].contains(&status), "{position}: {status}");
            }
        }
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
