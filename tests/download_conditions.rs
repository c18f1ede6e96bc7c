//! What of a download is sent: headers alone, parts, nothing to those who have it. And pages in place of JSON.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::{
    download_entries::noise,
    support::{Proxy, Stage, cluster, each_row, request, run},
};

/// A stage with a counting proxy in front of its database, with a completed task whose archive are these bytes.
async fn counted(bytes: &[u8]) -> (Stage, Proxy, String) {
    let proxy = Proxy::to(cluster().await.port()).await;
    let stage = Stage::builder()
        .with_key()
        .set("PLANEXE_POSTGRES_PORT", &proxy.port())
        .build()
        .await;
    let id = stage.create("p").await;
    stage.complete_with_zip(bytes).await;
    (stage, proxy, id)
}

/// `method` with the key and these headers.
async fn send(stage: &Stage, method: Method, path: &str, headers: &[(&str, &str)]) -> crate::support::Answer {
    let headers = [&[("x-api-key", "secret")], headers].concat();
    stage.send(request(method, path, &headers, Bytes::new())).await
}

#[test]
fn only_what_is_sent_is_read() {
    run(async {
        let bytes = noise(3_000_000);
        let (stage, proxy, id) = counted(&bytes).await;
        let path = format!("/download/{id}/run.zip");
        let whole = send(&stage, Method::GET, &path, &[]).await;
        assert!(*whole.bytes() == bytes);
        let etag = whole.header("etag").to_owned();
        assert_eq!(etag.len(), 66, "a quoted SHA-256: {etag}");
        assert_eq!(whole.header("accept-ranges"), "bytes");
        assert_eq!(whole.header("last-modified"), "Sat, 31 Jan 2026 12:00:00 GMT");
        assert_eq!(whole.header("cache-control"), "private, no-cache");
        assert_eq!(whole.header("referrer-policy"), "no-referrer");

        let before = proxy.received();
        let head = send(&stage, Method::HEAD, &path, &[]).await;
        assert_eq!((head.status(), head.header("content-length")), (200, "3000000"));
        for name in [
            "etag",
            "last-modified",
            "content-type",
            "content-disposition",
            "accept-ranges",
        ] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
        let has = send(&stage, Method::GET, &path, &[("if-none-match", &etag)]).await;
        assert_eq!((has.status(), has.bytes().len()), (304, 0));
        assert_eq!(
            (has.header("etag"), has.has_header("content-length")),
            (etag.as_str(), false)
        );
        let beyond = send(&stage, Method::GET, &path, &[("range", "bytes=3000000-")]).await;
        assert_eq!(
            (beyond.status(), beyond.header("content-range")),
            (416, "bytes */3000000")
        );
        assert!(beyond.json()["detail"].is_string());
        let read = proxy.received() - before;
        assert!(read < 4000, "three answers without a byte of the file: {read} bytes");

        let before = proxy.received();
        let headers = [("range", "bytes=2500000-2599999"), ("if-range", etag.as_str())];
        let part = send(&stage, Method::GET, &path, &headers).await;
        assert_eq!(part.status(), 206);
        assert_eq!(part.header("content-range"), "bytes 2500000-2599999/3000000");
        assert_eq!(
            (part.header("content-length"), part.header("etag")),
            ("100000", etag.as_str())
        );
        assert!(part.bytes() == &bytes[2_500_000..2_600_000]);
        let read = proxy.received() - before;
        assert!(read < 110_000, "a part of 100,000 bytes: {read} bytes");
        for range in ["bytes=0-1,5-6", "pages=1-2", "bytes=x"] {
            let answer = send(&stage, Method::GET, &path, &[("range", range)]).await;
            assert_eq!((answer.status(), answer.bytes().len()), (200, 3_000_000), "{range}");
        }
    });
}

#[test]
fn a_link_is_made_without_moving_the_file() {
    run(async {
        let (stage, proxy, id) = counted(&noise(17_000_000)).await;
        stage
            .tool("task_file_info", json!({ "task_id": id, "artifact": "zip" }))
            .await;
        let before = proxy.received();
        let info = stage
            .tool("task_file_info", json!({ "task_id": id, "artifact": "zip" }))
            .await;
        let read = proxy.received() - before;
        assert_eq!(info["download_size"], 17_000_000);
        println!("task_file_info of 17,000,000 bytes: {read} bytes from Postgres");
        assert!(read < 2000, "{read} bytes from Postgres");
    });
}

#[test]
fn people_get_pages_and_programs_json() {
    run(async {
        let stage = Stage::builder().with_key().build().await;
        let id = stage.create("p").await;
        stage.complete_with_zip(b"no archive").await;
        let info = stage
            .tool("task_file_info", json!({ "task_id": id, "artifact": "zip" }))
            .await;
        let url = info["download_url"].as_str().expect("a link");
        let link = url
            .strip_prefix("http://test.local:3000")
            .expect("the request's origin");
        let changed = link.replace("signature=", "signature=0");
        let pending = stage.create("q").await;
        let accept = (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        );
        each_row(
            [
                (changed.clone(), "", 403, "This link is not valid"),
                (format!("/download/{id}/run.zip"), "", 401, "This file is not public"),
                (
                    format!("/download/{id}/run.zip"),
                    "wrong",
                    403,
                    "This file is not public",
                ),
                (
                    format!("/download/{id}/none.md"),
                    "secret",
                    422,
                    "The file cannot be delivered",
                ),
                (
                    format!("/download/{pending}/none.md"),
                    "secret",
                    404,
                    "The plan is not ready yet",
                ),
                ("/download/x/run.zip".to_owned(), "secret", 404, "There is no such plan"),
            ],
            async |(path, key, status, words)| {
                let mut headers = vec![accept];
                if !key.is_empty() {
                    headers.push(("x-api-key", key));
                }
                let page = stage.send(request(Method::GET, &path, &headers, Bytes::new())).await;
                assert_eq!(page.status(), status, "{path}: {}", page.text());
                assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
                assert!(
                    page.text().contains(&format!("<h1>{words}</h1>")),
                    "{path}: {}",
                    page.text()
                );
                assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
                assert_eq!(page.header("x-content-type-options"), "nosniff");
                headers[0] = ("accept", "application/json");
                let json = stage.send(request(Method::GET, &path, &headers, Bytes::new())).await;
                assert_eq!(json.status(), status);
                assert!(json.json()["detail"].is_string());
            },
        )
        .await;
        // A browser that opens a link that holds gets the file, whatever it names first.
        let file = stage.send(request(Method::GET, link, &[accept], Bytes::new())).await;
        assert_eq!(file.text(), "no archive");
    });
}
