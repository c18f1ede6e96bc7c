//! `GET /openapi.json` and `GET /docs`: the files of `assets/pages/`, which `spin.toml` mounts beside the component as it
//! does the prompt catalogue. Inside the component every instance would load them, for rare requests.

use std::{path::Path, sync::OnceLock};

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::download::conditions::{Decision, FileMeta, evaluate};
use crate::{
    auth::hex,
    error::Error,
    render::{self, Response},
};

/// Where `spin.toml` mounts the folder.
const FOLDER: &str = "/pages";

/// A file with its headers.
#[derive(Debug)]
struct Page {
    body: Bytes,
    etag: String,
    /// `Content-Security-Policy`, for the page that browsers open.
    policy: Option<String>,
}

/// The OpenAPI document.
///
/// # Errors
/// [`Error::PagesMissing`] when the folder is not mounted.
pub fn openapi(headers: &HeaderMap) -> Result<Response, Error> {
    static PAGE: OnceLock<Result<Page, String>> = OnceLock::new();
    let page = PAGE.get_or_init(|| Page::load(&Path::new(FOLDER).join("openapi.json")));
    respond(page.as_ref(), "application/json", headers)
}

/// The page that shows the API in a browser.
///
/// # Errors
/// [`Error::PagesMissing`] when the folder is not mounted.
pub fn get(headers: &HeaderMap) -> Result<Response, Error> {
    static PAGE: OnceLock<Result<Page, String>> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let mut page = Page::load(&Path::new(FOLDER).join("docs.html"))?;
        page.policy = Some(policy(&page.body));
        Ok(page)
    });
    respond(page.as_ref(), "text/html; charset=utf-8", headers)
}

impl Page {
    /// Loads a file. The error text is for the log.
    fn load(path: &Path) -> Result<Self, String> {
        let body = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        Ok(Self {
            etag: format!("\"{}\"", hex(&Sha256::digest(&body))),
            body: body.into(),
            policy: None,
        })
    }
}

fn respond(page: Result<&Page, &String>, content_type: &'static str, headers: &HeaderMap) -> Result<Response, Error> {
    let page = page.map_err(|cause| Error::PagesMissing(cause.clone()))?;
    let meta = FileMeta {
        etag: Some(&page.etag),
        modified: None,
        size: None,
    };
    let mut response = match evaluate(headers, false, meta) {
        Decision::NotModified => render::empty(StatusCode::NOT_MODIFIED),
        // Without a size there are no ranges.
        Decision::Full | Decision::Partial(_) | Decision::RangeNotSatisfiable => {
            render::content(StatusCode::OK, content_type, page.body.clone())
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in [
        (header::ETAG, Some(&page.etag)),
        (header::CONTENT_SECURITY_POLICY, page.policy.as_ref()),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    if page.policy.is_some() {
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    Ok(response)
}

/// A policy that allows the script and the style of the file, by their hashes, and calls of this server (CSP level 3).
fn policy(html: &[u8]) -> String {
    let html = String::from_utf8_lossy(html);
    let hashes = |open, close| {
        let elements = html.split(open).skip(1).filter_map(|rest| rest.split_once(close));
        elements
            .map(|(text, _)| format!(" 'sha256-{}'", Base64::encode_string(&Sha256::digest(text))))
            .collect::<String>()
    };
    format!(
        "default-src 'none'; connect-src 'self'; script-src{}; style-src{}; img-src data:; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'",
        hashes("<script>", "</script>"),
        hashes("<style>", "</style>"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_what_is_in_the_page() {
        // printf %s 'alert(1)' | openssl dgst -sha256 -binary | base64
        let policy = policy(b"<style>a{}</style><p>x</p><script>alert(1)</script>");
        assert!(
            policy.contains("script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=';"),
            "{policy}"
        );
        assert_eq!(policy.matches("sha256-").count(), 2, "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn our_page_has_no_code_or_style_that_the_policy_blocks() {
        let html = include_str!("../../assets/pages/docs.html");
        let (_, body) = html.split_once("<body>").expect("a body");
        let (markup, _) = body.split_once("<script>").expect("a script");
        for forbidden in [" style=", " onclick=", " onload=", " src=", "javascript:"] {
            assert!(!markup.contains(forbidden), "{forbidden}");
        }
        assert_eq!(html.matches("<script").count(), 1);
        assert_eq!(html.matches("<style").count(), 1);
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.len() < 40_000, "{} bytes", html.len());
    }

    #[test]
    fn a_folder_that_is_not_mounted_is_told_with_what_to_do() {
        let missing = Page::load(Path::new("/nowhere/docs.html"));
        let refused = respond(missing.as_ref(), "text/html", &HeaderMap::new())
            .err()
            .expect("no file");
        assert!(refused.is_fault(), "the log has it");
        assert!(refused.to_string().contains("/nowhere/docs.html"), "{refused}");
        assert!(
            refused.message().contains("files of spin.toml"),
            "{}",
            refused.message()
        );
    }
}
