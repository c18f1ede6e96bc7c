//! An [`Error`] as a page, for people who open a link in a browser.

use http::{HeaderValue, StatusCode, header};
use http_body_util::{Either, Full};

use super::{Response, http};
use crate::{
    error::{Error, LinkFault, Unavailable},
    plan::TaskState,
};

/// The page is text and a style.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'");

/// The same answer as [`super::http()`], with a page in place of the JSON.
#[must_use]
pub fn page(error: &Error) -> Response {
    let mut response = http(error);
    let (title, text) = words(error, response.status());
    let html = PAGE.replace("{title}", title).replace("{text}", &escape(&text));
    *response.body_mut() = Either::Left(Full::new(html.into()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Title and text. Where the message is for programs, people are told in other words.
fn words(error: &Error, status: StatusCode) -> (&'static str, String) {
    match error {
        Error::LinkRefused(LinkFault::Expired) => (
            "This link has expired",
            "Links to plans work for 15 minutes. Ask the assistant that gave it to you for a new one.".to_owned(),
        ),
        Error::LinkRefused(LinkFault::Signature) => (
            "This link is not valid",
            "It is incomplete or was changed. Open it exactly as you were given it, or ask the assistant that gave it \
             to you for a new one."
                .to_owned(),
        ),
        Error::ApiKeyMissing | Error::ApiKeyWrong | Error::UserKeyRequired | Error::LinkRefused(LinkFault::Missing) => {
            (
                "This file is not public",
                "It opens with the link that your assistant gives you once the plan is complete. Programs send the \
             server's API key."
                    .to_owned(),
            )
        }
        Error::NotReady {
            state: TaskState::Stopped,
            ..
        } => ("The plan was stopped", error.message()),
        Error::NotReady { .. } => (
            "The plan is not ready yet",
            format!("{} Then load this page again.", error.message()),
        ),
        Error::GenerationFailed(_) => ("The plan could not be made", error.message()),
        Error::TaskNotFound => (
            "There is no such plan",
            "The address names a plan that this server does not have. Compare it with the link that you were given."
                .to_owned(),
        ),
        Error::ContentUnavailable(Unavailable::NoSuchFile) => ("There is no such file", error.message()),
        Error::ContentUnavailable(Unavailable::NotStored) => ("The plan was not stored", error.message()),
        Error::ContentUnavailable(_) => ("The file cannot be delivered", error.message()),
        _ if status.is_server_error() => ("The file cannot be delivered", error.message()),
        _ => ("This does not work", error.message()),
    }
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root { color-scheme: light dark; font: 1.0625rem/1.5 system-ui, sans-serif }
body { max-width: 34rem; margin: 18vh auto 0; padding: 0 1.5rem }
h1 { font-size: 1.5rem; line-height: 1.25 }
</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"#;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn words_of_others_are_text() {
        let response = page(&Error::GenerationFailed("<script>alert(1)</script> & more".to_owned()));
        assert_eq!(response.status(), 404);
        let body = futures::executor::block_on(response.into_body().collect())
            .ok()
            .map(|body| body.to_bytes());
        let html = String::from_utf8(body.expect("a body").to_vec()).expect("UTF-8");
        assert!(
            html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more"),
            "{html}"
        );
        assert!(!html.contains("<script"), "{html}");
    }
}
