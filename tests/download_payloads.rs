//! Archives of today's databases leave without the payloads of the language models' providers.

use std::{
    io::Cursor,
    ops::Range,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::{
    download_entries::noise,
    support::{
        Answer, Faults, Proxy, Schema, Stage, cluster, each_row, http_double, request, run,
        zips::{Entry, archive, deflated, stored},
    },
};

/// Name and content of the file that never leaves.
const PAYLOADS: &str = "track_activity.jsonl";
const MARKER: &[u8] = b"{\"prompt\": \"what a provider was told\"}";

/// That file, as large as some slices together.
fn payloads(name: &str, pack: fn(&str, &[u8]) -> Entry) -> Entry {
    pack(name, &[MARKER, &noise(600_000), MARKER].concat())
}

/// Archives that PlanExe or another program may have packed.
fn archives() -> Vec<(&'static str, Vec<Entry>)> {
    let (text, other) = (noise(300_000), b"other ".repeat(9_000));
    let a = || deflated("a.md", &other);
    let b = || stored("folder/b.bin", &text);
    let c = || deflated("c.md", b"").with_descriptor();
    let many = |index: u32| deflated(&format!("{index:0200}.md"), b"one of many");
    vec![
        ("absent", vec![a(), b(), c()]),
        ("first", vec![payloads(PAYLOADS, stored), a(), b(), c()]),
        ("in the middle", vec![a(), payloads(PAYLOADS, deflated), b(), c()]),
        ("last", vec![a(), b(), c(), payloads(PAYLOADS, stored)]),
        ("alone", vec![payloads(PAYLOADS, deflated)]),
        ("none", vec![]),
        (
            "twice",
            vec![payloads(PAYLOADS, stored), a(), payloads(PAYLOADS, deflated), b()],
        ),
        (
            "two in a row",
            vec![a(), payloads(PAYLOADS, stored), payloads(PAYLOADS, stored), b()],
        ),
        (
            "in a folder",
            vec![a(), payloads("x/track_activity.jsonl", deflated), b()],
        ),
        (
            "in a folder of Windows",
            vec![a(), payloads("x\\track_activity.jsonl", stored), b()],
        ),
        (
            "with a descriptor",
            vec![
                a().with_descriptor(),
                payloads(PAYLOADS, deflated).with_descriptor(),
                b(),
            ],
        ),
        (
            "with another name in it",
            vec![
                payloads("my_track_activity.jsonl", stored),
                payloads("track_activity.jsonl.md", stored),
            ],
        ),
        (
            "among many",
            (0..400)
                .map(many)
                .chain([payloads(PAYLOADS, stored)])
                .chain((400..800).map(many))
                .collect(),
        ),
    ]
}

/// Whether a file is to be left out.
fn is_payloads(entry: &Entry) -> bool {
    let name = String::from_utf8_lossy(&entry.name);
    name.rsplit(['/', '\\']).next() == Some(PAYLOADS)
}

/// Checks an archive: it opens, has these entries, and nothing of others.
fn check(zip: &[u8], entries: &[Entry]) {
    let kept: Vec<_> = entries.iter().filter(|entry| !is_payloads(entry)).collect();
    let mut read = zip::ZipArchive::new(Cursor::new(zip)).expect("an archive");
    assert_eq!(read.len(), kept.len());
    for (index, entry) in kept.iter().enumerate() {
        let mut file = read.by_index(index).expect("an entry");
        assert_eq!(file.name_raw(), entry.name);
        std::io::copy(&mut file, &mut std::io::sink()).expect("the right checksum");
        assert_eq!(file.crc32(), entry.crc);
    }
    for gone in entries.iter().filter(|entry| is_payloads(entry)) {
        for part in [MARKER, &gone.packed[..40], &gone.packed[gone.packed.len() - 40..]] {
            assert!(
                !zip.windows(part.len()).any(|window| window == part),
                "some of it is there"
            );
        }
    }
}

/// Checks an archive with Python, as PlanExe's own services would read it.
fn check_with_python(zip: &[u8], count: usize) {
    let file = std::env::temp_dir().join(format!("planexe-{}.zip", std::process::id()));
    std::fs::write(&file, zip).expect("a file");
    let program = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.testzip(), len(z.namelist()))";
    let done = Command::new("python3")
        .args(["-c", program])
        .arg(&file)
        .output()
        .expect("python3");
    assert_eq!(
        String::from_utf8_lossy(&done.stdout).trim(),
        format!("None {count}"),
        "{done:?}"
    );
}

async fn get(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> Answer {
    stage.send(request(Method::GET, path, headers, Bytes::new())).await
}

async fn info(stage: &Stage, id: &str) -> Value {
    stage
        .tool("plan_file_info", json!({ "plan_id": id, "artifact": "zip" }))
        .await
}

/// Completes all plans with this archive, of this layout.
async fn complete(stage: &Stage, zip: &[u8], layout: Option<i32>) {
    stage.complete_with_zip(zip).await;
    let set = "UPDATE task_item SET run_artifact_layout_version = $1";
    stage.execute(set, &[&layout]).await;
}

/// Ranges at the edges of a file and across the places where parts of it meet.
fn ranges(size: usize, packed: usize) -> Vec<Range<usize>> {
    let mut ranges = vec![0..1, size - 1..size, size.saturating_sub(30)..size, 0..size];
    ranges.extend(
        (0..size.saturating_sub(70_000))
            .step_by(size / 5 + 1)
            .map(|start| start..start + 70_000),
    );
    if packed > 10 && packed + 10 < size {
        ranges.push(packed - 10..packed + 10);
    }
    ranges
}

#[test]
fn payloads_never_leave_a_database_that_knows_layouts() {
    run(async {
        let stage = Stage::builder().schema(Schema::May).build().await;
        let id = stage.create("p").await;
        let path = format!("/download/{id}/run.zip");
        let rows = archives().into_iter().flat_map(|(name, entries)| {
            [None, Some(0), Some(1), Some(2)].map(|layout| (name, layout, entries.clone()))
        });
        for (name, layout, entries) in rows {
            let whole = archive(&entries);
            complete(&stage, &whole, layout).await;
            let info = info(&stage, &id).await;
            let answer = stage.get(&path).await;
            assert_eq!(answer.status(), 200, "{name}, {layout:?}: {info}");
            let zip = answer.bytes();
            let sha256: String = Sha256::digest(zip).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(info["sha256"], sha256, "{name}, {layout:?}");
            assert_eq!(info["download_size"], zip.len(), "{name}, {layout:?}");
            assert_eq!(answer.header("content-length"), zip.len().to_string());
            assert_eq!(answer.header("etag"), format!("\"{sha256}\""));
            assert_eq!(answer.header("last-modified"), "Sat, 31 Jan 2026 12:00:00 GMT");
            let is_same = layout == Some(2) || !entries.iter().any(is_payloads);
            assert_eq!(*zip == whole, is_same, "{name}, {layout:?}");
            if layout == Some(2) {
                continue;
            }
            println!("{name}, {layout:?}: {} of {} bytes", zip.len(), whole.len());
            check(zip, &entries);
            if layout.is_none() {
                check_with_python(zip, entries.iter().filter(|entry| !is_payloads(entry)).count());
                for range in ranges(zip.len(), entries.first().map_or(0, |entry| entry.packed.len())) {
                    let asked = format!("bytes={}-{}", range.start, range.end - 1);
                    let part = get(&stage, &path, &[("range", &asked), ("if-range", answer.header("etag"))]).await;
                    assert_eq!(part.status(), 206, "{name}, {asked}");
                    assert!(part.bytes() == &zip[range], "{name}, {asked}: other bytes");
                }
                let again = get(&stage, &path, &[("if-none-match", answer.header("etag"))]).await;
                assert_eq!(again.status(), 304, "{name}");
            }
        }
    });
}

#[test]
fn a_database_of_february_hands_out_its_archives_as_they_are() {
    run(async {
        let stage = Stage::builder().schema(Schema::February).build().await;
        let id = stage.create("p").await;
        for (name, entries) in archives() {
            let whole = archive(&entries);
            stage.complete_with_zip(&whole).await;
            let answer = stage.get(&format!("/download/{id}/run.zip")).await;
            assert!(*answer.bytes() == whole, "{name}");
        }
    });
}

/// Archives in which payloads might hide.
fn strange() -> Vec<(&'static str, Vec<u8>)> {
    let sound = archive(&[stored("a.md", b"a"), stored("b.md", b"b")]);
    let changed = |at: usize, byte: u8| {
        let mut zip = sound.clone();
        let at = if at < 100 { zip.len() - at } else { at - 100 };
        zip[at] = byte;
        zip
    };
    let one = stored("a.md", b"a");
    let hidden = [&archive(&[payloads(PAYLOADS, stored)])[..], &sound].concat();
    let mut between = one.clone();
    between.packed.extend(noise(70_000));
    let mut longer = one.clone();
    longer.compressed = 40;
    vec![
        ("no archive", b"no archive".to_vec()),
        ("empty", Vec::new()),
        ("cut", sound[..sound.len() - 1].to_vec()),
        ("longer", [&sound[..], b"x"].concat()),
        ("with something before it", hidden),
        ("with much between its entries", archive(&[between, one.clone()])),
        ("with entries that overlap", archive(&[longer, one])),
        ("with more entries than it says", changed(12, 1)),
        ("with another number on this disk", changed(14, 1)),
        ("with a directory that is elsewhere", changed(6, 1)),
        ("with a directory that is shorter", changed(10, 50)),
        ("with entries in another order", {
            let mut zip = sound.clone();
            let directory = zip.len() - 22 - 100;
            zip[directory + 42..directory + 46].copy_from_slice(&35_u32.to_le_bytes());
            zip[directory + 92..directory + 96].copy_from_slice(&0_u32.to_le_bytes());
            zip
        }),
        ("of noise", noise(300_000)),
    ]
}

#[test]
fn what_might_hide_payloads_is_refused() {
    run(async {
        let stage = Stage::builder().schema(Schema::May).build().await;
        let id = stage.create("p").await;
        let path = format!("/download/{id}/run.zip");
        each_row(strange(), async |(name, zip)| {
            complete(&stage, &zip, None).await;
            let answer = stage.get(&path).await;
            let reason = || answer.json()["reason"].clone();
            assert_eq!((answer.status(), reason()), (422, json!("archive_broken")), "{name}");
            let info = info(&stage, &id).await;
            assert_eq!(info["error"]["code"], "content_unavailable", "{name}: {info}");
            complete(&stage, &zip, Some(2)).await;
            assert!(*stage.get(&path).await.bytes() == zip, "{name}, which has none");
        })
        .await;
    });
}

#[test]
fn payloads_stay_out_while_the_row_changes() {
    run(async {
        let proxy = Proxy::to(cluster().await.port()).await;
        let builder = Stage::builder().schema(Schema::May);
        let stage = builder.set("PLANEXE_POSTGRES_PORT", &proxy.port()).build().await;
        let id = stage.create("p").await;
        let packed = |name: &str| [payloads(PAYLOADS, stored), stored(name, &noise(20_000_000))];
        let entries = packed("a.bin");
        complete(&stage, &archive(&entries), Some(1)).await;
        let path = format!("/download/{id}/run.zip");
        let updates = async {
            loop {
                let set = "UPDATE task_item SET last_seen_timestamp = now() AT TIME ZONE 'UTC'";
                stage.execute(set, &[]).await;
                sleep(Duration::from_millis(600)).await;
            }
        };
        let downloads = async {
            let whole = stage.get(&path).await;
            check(whole.bytes(), &entries);
            // Until the row has changed between the statements of a request, which begins anew then.
            let delay = Duration::from_millis(10);
            proxy.inject(Faults { delay, ..Faults::NONE });
            loop {
                let head = stage.send(request(Method::HEAD, &path, &[], Bytes::new())).await;
                assert_eq!((head.status(), head.header("etag")), (200, whole.header("etag")));
                if stage.log_of(&head).await["statements"].as_u64() > Some(2) {
                    break;
                }
            }
            proxy.inject(Faults::NONE);
        };
        tokio::select! {
            () = downloads => {}
            () = updates => {}
        }
        // Another archive of the same size is another file.
        let mut body = stage
            .begin(request(Method::GET, &path, &[], Bytes::new()))
            .await
            .into_body();
        body.frame().await.expect("a frame").expect("the first slice");
        complete(&stage, &archive(&packed("b.bin")), Some(1)).await;
        assert!(body.collect().await.is_err(), "two archives in one answer");
    });
}

#[test]
fn an_archive_of_the_worker_alone_passes_without_payloads() {
    run(async {
        let served: Arc<Mutex<Vec<u8>>> = Arc::default();
        let zip_of_worker = Arc::clone(&served);
        let worker = http_double(move |_| Some((200, zip_of_worker.lock().expect("the archive").clone()))).await;
        for schema in [Schema::May, Schema::February] {
            let stage = Stage::builder()
                .schema(schema)
                .set("PLANEXE_WORKER_PLAN_URL", &worker)
                .build()
                .await;
            let id = stage.create("p").await;
            stage.execute("UPDATE task_item SET state = 'completed'", &[]).await;
            let path = format!("/download/{id}/run.zip");
            let rows = archives()
                .into_iter()
                .filter(|(_, entries)| entries.iter().all(|entry| entry.flags == 0));
            for (name, entries) in rows {
                let whole = archive(&entries);
                served.lock().expect("the archive").clone_from(&whole);
                let info = info(&stage, &id).await;
                let answer = get(&stage, &path, &[("range", "bytes=0-1")]).await;
                assert_eq!(
                    (answer.status(), answer.header("accept-ranges")),
                    (200, "none"),
                    "{name}"
                );
                if schema == Schema::February {
                    assert!(*answer.bytes() == whole, "{name}");
                    assert_eq!(info["download_size"], whole.len());
                    continue;
                }
                check(answer.bytes(), &entries);
                assert!(info["download_url"].is_string(), "{name}: {info}");
                assert_eq!((&info["sha256"], &info["download_size"]), (&Value::Null, &Value::Null));
            }
            let with_descriptors = archive(&[deflated("a.md", b"a").with_descriptor()]);
            for (name, zip) in strange().into_iter().chain([("with descriptors", with_descriptors)]) {
                served.lock().expect("the archive").clone_from(&zip);
                let answer = stage.try_send(request(Method::GET, &path, &[], Bytes::new())).await;
                // An answer may break off before its first byte.
                let is_whole = answer.is_ok_and(|answer| answer.body.is_ok());
                assert_eq!(is_whole, schema == Schema::February, "{name}");
            }
        }
    });
}
