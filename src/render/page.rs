//! Converts an [`Error`] to a page, for browsers.

use http::{HeaderValue, header};
use http_body_util::{Either, Full};

use super::{Response, http};
use crate::error::{Class, Error};

/// The page has only text and a style.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'");

/// Texts for errors whose message is meant for programs: reason or code, title, text. `{message}` stands for the error's own
/// message.
const TEXTS: [(&str, &str, &str); 13] = [
    (
        "LINK_EXPIRED",
        "This link has expired",
        "Links to plans work for 15 minutes. Ask the assistant that gave it to you for a new one.",
    ),
    (
        "LINK_INVALID",
        "This link is not valid",
        "It is incomplete or was changed. Open it exactly as you were given it, or ask the assistant that gave it to you \
         for a new one.",
    ),
    ("API_KEY_MISSING", NOT_PUBLIC, USE_THE_LINK),
    ("API_KEY_WRONG", NOT_PUBLIC, USE_THE_LINK),
    ("USER_API_KEY_REQUIRED", NOT_PUBLIC, USE_THE_LINK),
    ("LINK_REQUIRED", NOT_PUBLIC, USE_THE_LINK),
    (
        "TASK_NOT_FOUND",
        "There is no such plan",
        "The address names a plan that this server does not have. Compare it with the link that you were given.",
    ),
    ("failed", "The plan could not be made", "{message}"),
    ("stopped", "The plan was stopped", "{message}"),
    (
        "not_ready",
        "The plan is not ready yet",
        "{message} Then load this page again.",
    ),
    ("no_such_file", "There is no such file", "{message}"),
    ("not_stored", "The plan was not stored", "{message}"),
    ("withheld", NOT_DELIVERED, "{message}"),
];
const NOT_PUBLIC: &str = "This file is not public";
const USE_THE_LINK: &str = "It opens with the link that your assistant gives you once the plan is complete. Programs send \
    the server's API key.";
const NOT_DELIVERED: &str = "The file cannot be delivered";

/// The same answer as [`super::http()`], with a page in place of the JSON.
#[must_use]
pub fn page(error: &Error) -> Response {
    let mut response = http(error);
    let name = error.reason().unwrap_or(error.code());
    let (title, text) = match TEXTS.iter().find(|(known, ..)| *known == name) {
        Some((_, title, text)) => (*title, text.replace("{message}", &error.message())),
        None => (title(error.class()), error.message().into_owned()),
    };
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

/// The title of an error that is not in [`TEXTS`].
fn title(class: Class) -> &'static str {
    match class {
        Class::Caller(_) => "This does not work",
        Class::Permanent | Class::Temporary(_) | Class::Ours => NOT_DELIVERED,
    }
}

/// Escapes text for HTML.
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
    fn every_text_belongs_to_an_error() {
        let names: Vec<_> = Error::samples()
            .iter()
            .map(|error| error.reason().unwrap_or(error.code()))
            .collect();
        let unknown: Vec<_> = TEXTS.iter().filter(|(name, ..)| !names.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

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
