//! The resources: files of runs at `planexe://task/{task_id}/{file}`. `resources/list` is empty: the id of a task is known
//! only to the caller of `task_create`.

use base64ct::{Base64, Encoding as _};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    error::{Fault, INVALID_PARAMS, json_rpc},
    revision::Lifecycle,
};
use crate::{
    artifacts::{self, FileContent},
    auth::{SignedLink, UNSTORED_LIFETIME},
    clock, config,
    db::Database,
    error::Error,
    plan::{RunFile, TaskId},
    tools::Context,
};

/// The beginning of every resource's address.
const SCHEME: &str = "planexe://task/";
/// Size limit of a resource, in bytes: an agent reads the whole answer into its context.
const MAX_SIZE: u64 = 1 << 20;
/// The code for a missing resource in revisions with a handshake (2025-11-25, resources, error handling). The revision
/// without one uses -32602 and forbids this code.
const NOT_FOUND: i64 = -32002;
/// How long clients may cache a file that can no longer change: an hour, in milliseconds.
const CACHE_TTL_MS: u32 = 3_600_000;

/// The templates of `resources/templates/list`.
pub(super) fn templates() -> Value {
    json!([
        {
            "uriTemplate": "planexe://task/{task_id}/030-report.html",
            "name": "report",
            "title": "Project plan",
            "description": "The finished plan as one HTML page. There once task_status says completed.",
            "mimeType": "text/html",
            "annotations": { "audience": ["user", "assistant"], "priority": 1.0 },
        },
        {
            "uriTemplate": "planexe://task/{task_id}/{file}",
            "name": "file",
            "title": "Working file of a project plan",
            "description": "A file that the plan was made from, by a name that task_status lists: Markdown, JSON, CSV \
                or text. Files beyond 1 MiB, as run.zip is, are not read but downloaded.",
            "annotations": { "audience": ["assistant"], "priority": 0.5 },
        },
    ])
}

/// The result of `resources/read`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadResult {
    contents: [Contents; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_scope: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Contents {
    uri: String,
    mime_type: &'static str,
    /// In bytes, before base64.
    size: usize,
    #[serde(flatten)]
    body: Body,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Body {
    Text(String),
    Blob(String),
}

/// Reads a resource.
///
/// # Errors
/// An error whose data holds the address.
pub(super) async fn read_resource(uri: &str, lifecycle: Lifecycle, context: &Context) -> Result<ReadResult, Fault> {
    let (id, file) = parse_uri(uri).ok_or_else(|| {
        let text = "No resource has this address. Files of a plan are at planexe://task/{task_id}/{file}.";
        not_found(lifecycle, text.to_owned(), uri)
    })?;
    let content = async {
        artifacts::read_file(
            &Database::configured(&context.request).await?,
            id,
            context.caller.owner(),
            &file,
            MAX_SIZE,
        )
        .await
    };
    match content.await {
        Ok(FileContent::Complete { bytes, is_final }) => {
            let size = bytes.len();
            let body = match String::from_utf8(bytes) {
                Ok(text) if file.is_text() => Body::Text(text),
                Ok(text) => Body::Blob(Base64::encode_string(text.as_bytes())),
                Err(error) => Body::Blob(Base64::encode_string(error.as_bytes())),
            };
            let is_modern = lifecycle == Lifecycle::Modern;
            Ok(ReadResult {
                contents: [Contents {
                    uri: uri.to_owned(),
                    mime_type: file.content_type(),
                    size,
                    body,
                }],
                ttl_ms: is_modern.then_some(if is_final { CACHE_TTL_MS } else { 0 }),
                cache_scope: is_modern.then_some("private"),
            })
        }
        Ok(FileContent::TooLarge { size, is_stored }) => Err(too_large(uri, id, &file, size, is_stored, context).await),
        Err(error) => Err(fault(&error, lifecycle, uri, context)),
    }
}

/// Task and file of an address, in which names are percent-encoded.
fn parse_uri(uri: &str) -> Option<(TaskId, RunFile)> {
    let (id, file) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    if file.contains(['?', '#']) {
        return None;
    }
    let file = percent_decode_str(file).decode_utf8().ok()?;
    Some((TaskId::parse(id)?, RunFile::parse(&file)?))
}

fn not_found(lifecycle: Lifecycle, message: String, uri: &str) -> Fault {
    let code = match lifecycle {
        Lifecycle::Legacy => NOT_FOUND,
        Lifecycle::Modern => INVALID_PARAMS,
    };
    Fault::new(code, message).with_data(json!({ "uri": uri }))
}

fn fault(error: &Error, lifecycle: Lifecycle, uri: &str, context: &Context) -> Fault {
    context.request.fail(error);
    let fault = json_rpc(error);
    if fault.code != INVALID_PARAMS {
        return fault.with_data(json!({ "uri": uri }));
    }
    // The resource is missing or cannot be delivered.
    let mut fault = not_found(lifecycle, fault.message, uri);
    if let Some(Value::Object(data)) = &mut fault.data {
        for (name, value) in error.details() {
            data.insert(name.to_owned(), value);
        }
    }
    fault
}

/// The error for a file that is too large for an answer, with a link to download it.
async fn too_large(
    uri: &str,
    id: TaskId,
    file: &RunFile,
    size: Option<u64>,
    is_stored: bool,
    context: &Context,
) -> Fault {
    let (lifetime, time) = if is_stored {
        match config::link_lifetime().await {
            Ok(lifetime) => (lifetime, format!("within {} minutes", lifetime / 60)),
            Err(error) => return fault(&error.into(), Lifecycle::Modern, uri, context),
        }
    } else {
        (
            UNSTORED_LIFETIME,
            "now, since it is deleted when the plan has ended".to_owned(),
        )
    };
    let api_key = context.access.api_key.as_deref();
    match SignedLink::create(id, file.name(), lifetime, api_key, &context.request_origin).await {
        Ok(SignedLink { url, expires }) => {
            let text = format!(
                "This file is larger than the {MAX_SIZE} bytes that resources/read returns. Download it {time}: {url}"
            );
            Fault::new(INVALID_PARAMS, text).with_data(json!({
                "uri": uri,
                "size": size,
                "download_url": url,
                "expires_at": clock::rfc3339(expires),
            }))
        }
        Err(error) => fault(&error, Lifecycle::Modern, uri, context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let id = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1";
        let file = |uri: String| parse_uri(&uri).map(|(_, file)| file.name().to_owned());
        assert_eq!(file(format!("planexe://task/{id}/run.zip")).as_deref(), Some("run.zip"));
        assert_eq!(file(format!("planexe://task/{id}/a%20b.md")).as_deref(), Some("a b.md"));
        assert_eq!(file(format!("planexe://task/{id}/a%2Fb.md")).as_deref(), Some("a/b.md"));
        for uri in [
            format!("planexe://task/{id}"),
            format!("planexe://task/{id}/"),
            format!("planexe://task/{id}/../x"),
            format!("planexe://task/{id}/..%2Fx"),
            format!("planexe://task/{id}/%FF"),
            format!("planexe://task/{id}/a.md?x=1"),
            format!("planexe://task/{id}/a.md#x"),
            "planexe://task/x/a.md".to_owned(),
            format!("file://task/{id}/a.md"),
            String::new(),
        ] {
            assert_eq!(file(uri.clone()), None, "{uri}");
        }
    }
}
