//! Addresses: every path leads to a route of the table or nowhere, every name of a file lies inside the run, and what is
//! said of the file and of the caller's own address stays in its place.
//!
//! Input: a path, or two lines: an address and a `spin-full-url`.

#![no_main]

use std::path::{Component, Path};

use http::{HeaderMap, HeaderValue, Uri};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use planexe_mcp::{
    auth::{RequestOrigin, origin_allowed},
    fuzzing::file_headers,
    plan::{RunFile, TaskId},
    routes::table::{TABLE, find_row},
};

/// The rule of names, in the words of the system: they lead down from where they are seen, never up or away.
fn leads_down(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', '\0', '\r', '\n'])
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        && Path::new("/runs/1").join(name).starts_with("/runs/1")
}

fn check_headers(id: TaskId, file: &RunFile) {
    let headers = file_headers(file, id);
    let disposition = headers["content-disposition"].to_str().expect("ASCII");
    let (kind, name) = disposition.split_once("; filename=\"").expect("a kind and a name");
    assert!(["inline", "attachment"].contains(&kind));
    let (plain, rest) = name.split_once('"').expect("a name in quotes");
    assert!(!plain.contains(['/', '\\', '%']), "{plain}");
    let own = match file {
        RunFile::Artifact(..) => return,
        RunFile::Entry(name) => name.rsplit('/').next().expect("a last part"),
    };
    match rest.strip_prefix("; filename*=UTF-8''") {
        Some(encoded) => assert_eq!(percent_decode_str(encoded).decode_utf8().expect("UTF-8"), own),
        None => assert_eq!((plain, rest), (own, "")),
    }
    assert_eq!(headers.contains_key("content-security-policy"), file.is_active());
    let runs_scripts = ["text/html", "image/svg", "text/xml", "application/xhtml"];
    let content_type = headers["content-type"].to_str().expect("ASCII");
    assert!(file.is_active() || !runs_scripts.iter().any(|active| content_type.starts_with(active)));
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (address, full) = text.split_once('\n').unwrap_or((text, ""));
    let uri = address.parse::<Uri>().ok();
    let path = uri.as_ref().map_or(address, |uri| uri.path());
    if let Some(found) = find_row("GET", path) {
        assert!(TABLE.contains(found.row), "{:?}", found.row);
        if !path.ends_with('/') {
            let slash = [path, "/"].concat();
            assert_eq!(
                find_row("GET", &slash),
                Some(found),
                "a slash at the end changes nothing"
            );
        }
        let (id, file) = (found.id, found.file);
        assert_eq!(found.row.path.starts_with("/download/"), path.starts_with("/download/"));
        if found.row.path.starts_with("/download/") {
            assert!(!id.contains('/'));
            let name = percent_decode_str(file).decode_utf8();
            if let (Some(id), Ok(name)) = (TaskId::parse(id), name)
                && let Some(file) = RunFile::parse(&name)
            {
                assert_eq!(file.name(), name);
                assert!(leads_down(&name), "{name:?}");
                check_headers(id, &file);
                // The address that the server itself would write leads back.
                let encoded = utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string();
                let path = format!("/download/{id}/{encoded}");
                let back = find_row("GET", &path).map(|found| found.file.to_owned());
                assert_eq!(back, Some(encoded));
            }
        }
    }
    if let Some(id) = TaskId::parse(address) {
        assert_eq!(TaskId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), 36);
    }
    if let (Some(uri), Ok(full)) = (&uri, HeaderValue::from_str(full)) {
        let mut headers = HeaderMap::new();
        headers.append("spin-full-url", HeaderValue::from_static("http://forged.example/"));
        headers.append("spin-full-url", full);
        let origin = RequestOrigin::from_request(&headers, uri).text();
        // The fuzzer may learn the other name: then its own value is allowed to have it.
        let own = headers.get_all("spin-full-url").iter().next_back();
        let is_own = own.is_some_and(|own| own.to_str().is_ok_and(|own| own.contains("forged.example")));
        assert!(
            is_own || address.contains("forged.example") || !origin.contains("forged.example"),
            "only the last value counts"
        );
        if !origin.is_empty() {
            let (scheme, authority) = origin.split_once("://").expect("scheme and host");
            assert!(["http", "https"].contains(&scheme) && !authority.is_empty());
            assert!(
                !authority.contains(['/', '?', '#', '\\', '"', '<', '>']) && !authority.contains(char::is_whitespace)
            );
        }
    }
    // Whatever follows the host of an allowed origin makes it another one, save a port.
    let longer = ["http://localhost", address].concat();
    if origin_allowed(&longer, "http://localhost, https://a.example:8443/") {
        let port = address.strip_prefix(':').unwrap_or(address);
        assert!(port.bytes().all(|byte| byte.is_ascii_digit()), "{longer}");
    }
});
