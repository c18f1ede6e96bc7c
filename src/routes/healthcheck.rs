//! `GET /healthcheck`: whether the server is there, and with `?deep=1` whether Postgres and `worker_plan` are.

use std::{borrow::Cow, rc::Rc, time::Duration};

use futures::join;
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    config::Access,
    db::{Database, UNTRUSTED},
    error::{Error, RETRY_AFTER, Unavailable},
    json,
    render::{self, Response},
    request,
    worker_plan::WorkerPlan,
};

/// Time limit for each of the two services.
const LIMIT: Duration = Duration::from_secs(2);

/// What `GET /healthcheck` answers.
#[derive(Serialize, JsonSchema)]
pub struct HealthBody {
    /// Whether calls need a key.
    api_key_configured: bool,
    /// With `deep`: `ok`, or what is wrong with the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    database: Option<Cow<'static, str>>,
    /// The kind of server, for programs.
    service: &'static str,
    /// Whether all that was asked for is well.
    status: Status,
    /// Version of the server.
    version: &'static str,
    /// With `deep`: `ok`, or what is wrong with the service that keeps the files of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    worker_plan: Option<Cow<'static, str>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Healthy,
    Unhealthy,
}

impl HealthBody {
    /// The answer of a server that asks no other service.
    #[must_use]
    pub fn shallow(api_key_configured: bool) -> Self {
        Self {
            status: Status::Healthy,
            service: "planexe-mcp-http",
            api_key_configured,
            version: env!("CARGO_PKG_VERSION"),
            database: None,
            worker_plan: None,
        }
    }

    /// With the answers of both services.
    #[must_use]
    pub fn with_services(self, database: Answer, worker_plan: Answer) -> Self {
        let all_well = database.is_ok() && worker_plan.is_ok();
        let shown = |answer: Answer| Some(answer.err().unwrap_or(Cow::Borrowed("ok")));
        Self {
            status: if all_well { Status::Healthy } else { Status::Unhealthy },
            database: shown(database),
            worker_plan: shown(worker_plan),
            ..self
        }
    }
}

/// What is wrong with a service, in words that name no host.
type Answer = Result<(), Cow<'static, str>>;

/// Healthy, and whether an API key guards the server. Contacts no other service unless the query asks for it.
pub async fn get(query: &str, access: &Access, cx: &Rc<request::Context>) -> Response {
    let body = HealthBody::shallow(access.api_key_hash != Ok(None));
    let is_deep = query.split('&').any(|pair| matches!(pair, "deep=1" | "deep=true"));
    if !is_deep {
        return render::json(StatusCode::OK, json::text(&body));
    }
    // The service first: its request travels while a host that can do one thing at a time asks the database.
    let (worker_plan, database) = join!(worker_plan(cx), database(cx));
    let all_well = database.is_ok() && worker_plan.is_ok();
    if !all_well {
        cx.outcome("UNHEALTHY");
    }
    let body = body.with_services(database, worker_plan);
    if all_well {
        return render::json(StatusCode::OK, json::text(&body));
    }
    let mut response = render::json(StatusCode::SERVICE_UNAVAILABLE, json::text(&body));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.into());
    response
}

async fn database(cx: &Rc<request::Context>) -> Answer {
    let asked = async {
        let database = Database::configured(cx).await?.within(LIMIT);
        database.check_tables().await
    };
    let Err(failed) = asked.await else { return Ok(()) };
    cx.cause(&failed);
    Err(if let Error::TablesMissing(tables) = failed {
        format!("lacks the tables {tables}, which PlanExe's web frontend creates when it starts").into()
    } else if let Error::DatabaseUnavailable(cause) = failed {
        if cause.starts_with(UNTRUSTED) {
            "offers TLS with a certificate that is not trusted".into()
        } else if cause.ends_with("in time") {
            "does not answer within 2 seconds".into()
        } else {
            "refuses connections or statements".into()
        }
    } else {
        "cannot be used with these settings".into()
    })
}

async fn worker_plan(cx: &Rc<request::Context>) -> Answer {
    let service = WorkerPlan::configured(cx).await.map_err(|failed| {
        cx.cause(&failed);
        Cow::Borrowed("cannot be used with these settings")
    })?;
    service.check_health(LIMIT).await.map_err(|failed| {
        cx.cause(&Error::ContentUnavailable(failed));
        Cow::Borrowed(if failed == Unavailable::WorkerTimeout {
            "does not answer within 2 seconds"
        } else if failed == Unavailable::WorkerUnreachable {
            "cannot be reached"
        } else {
            "reports an error"
        })
    })
}
