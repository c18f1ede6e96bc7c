//! Archives that are damaged, not what they say, or of a kind that is not read here.

use bytes::Bytes;
use http::Method;

use crate::{
    download_entries::{Both, text},
    support::{
        Stage, each_row, request, run,
        zips::{archive, deflated, stored},
    },
};

const NOT_READ_HERE: Result<&[u8], (u16, &str)> = Err((422, "encrypted or packed by a method"));
const BROKEN: Result<&[u8], (u16, &str)> = Err((422, "damaged"));
const TOO_LARGE: Result<&[u8], (u16, &str)> = Err((422, "larger than the 100,000,000 bytes"));

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
