//! `GET /healthcheck`: whether the server is there, and with `?deep=1` whether its two neighbours are.

use std::{rc::Rc, time::Duration};

use futures::join;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    config::Access,
    db::Database,
    error::{Error, Unavailable},
    log::Record,
    render::{self, Response},
    worker_plan::WorkerPlan,
};

/// What each neighbour has to answer in.
const LIMIT: Duration = Duration::from_secs(2);

/// What `GET /healthcheck` answers.
#[derive(Serialize, JsonSchema)]
pub struct HealthBody {
    /// Whether calls need a key.
    api_key_configured: bool,
    /// With `deep`: `ok`, or what is wrong with the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    database: Option<&'static str>,
    /// The kind of server, for programs.
    service: &'static str,
    /// Whether all that was asked for is well.
    status: Status,
    /// Version of the server.
    version: &'static str,
    /// With `deep`: `ok`, or what is wrong with the service that keeps the files of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    worker_plan: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Healthy,
    Unhealthy,
}

impl HealthBody {
    /// What a server says that asks no neighbour.
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

    /// With what the neighbours said.
    #[must_use]
    pub fn with_neighbours(self, database: Result<(), &'static str>, worker_plan: Result<(), &'static str>) -> Self {
        let all_well = database.is_ok() && worker_plan.is_ok();
        Self {
            status: if all_well { Status::Healthy } else { Status::Unhealthy },
            database: Some(database.err().unwrap_or("ok")),
            worker_plan: Some(worker_plan.err().unwrap_or("ok")),
            ..self
        }
    }
}

/// Healthy, and whether an API key guards the server. Touches no neighbour unless the query asks for it.
pub async fn get(query: &str, access: &Access, record: &Rc<Record>) -> Response {
    let body = HealthBody::shallow(access.api_key_hash != Ok(None));
    let is_deep = query.split('&').any(|pair| matches!(pair, "deep=1" | "deep=true"));
    if !is_deep {
        return render::json(StatusCode::OK, render::to_json(&body));
    }
    let (database, worker_plan) = join!(database(record), worker_plan(record));
    let all_well = database.is_ok() && worker_plan.is_ok();
    if !all_well {
        record.outcome("UNHEALTHY");
    }
    let body = body.with_neighbours(database, worker_plan);
    if all_well {
        return render::json(StatusCode::OK, render::to_json(&body));
    }
    let mut response = render::json(StatusCode::SERVICE_UNAVAILABLE, render::to_json(&body));
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(render::RETRY_AFTER));
    response
}

/// The reasons are in our words: what a neighbour says may name hosts.
async fn database(record: &Rc<Record>) -> Result<(), &'static str> {
    let asked = async {
        let database = Database::configured(record).await?.within(LIMIT);
        database.query("SELECT 1", Vec::new()).await
    };
    let Err(failed) = asked.await else { return Ok(()) };
    record.cause(&failed);
    Err(match failed {
        Error::DatabaseUnavailable(cause) if cause.ends_with("in time") => "does not answer within 2 seconds",
        Error::DatabaseUnavailable(_) => "refuses connections or statements",
        _ => "cannot be used with these settings",
    })
}

async fn worker_plan(record: &Rc<Record>) -> Result<(), &'static str> {
    let service = WorkerPlan::configured(record).await.map_err(|failed| {
        record.cause(&failed);
        "cannot be used with these settings"
    })?;
    service.check_health(LIMIT).await.map_err(|failed| {
        record.cause(&Error::ContentUnavailable(failed));
        match failed {
            Unavailable::WorkerTimeout => "does not answer within 2 seconds",
            Unavailable::WorkerUnreachable => "cannot be reached",
            _ => "answers that it is not well",
        }
    })
}
