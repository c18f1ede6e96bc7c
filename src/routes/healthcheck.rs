//! `GET /healthcheck`: whether the server is up, and with `?deep=1` whether Postgres and `worker_plan` are.

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
    /// Whether everything that was checked is healthy.
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
    /// The answer without `deep`.
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

    /// The answer with `deep`, from the results of both services.
    #[must_use]
    pub fn with_services(self, database: ServiceHealth, worker_plan: ServiceHealth) -> Self {
        let all_healthy = database.is_ok() && worker_plan.is_ok();
        let shown = |health: ServiceHealth| Some(health.err().unwrap_or(Cow::Borrowed("ok")));
        Self {
            status: if all_healthy {
                Status::Healthy
            } else {
                Status::Unhealthy
            },
            database: shown(database),
            worker_plan: shown(worker_plan),
            ..self
        }
    }
}

/// The health of a service, or what is wrong with it. The text names no host.
type ServiceHealth = Result<(), Cow<'static, str>>;

/// Reports the health of the server and whether it has an API key. Contacts other services only with `deep=1`.
pub async fn get(query: &str, access: &Access, cx: &Rc<request::Context>) -> Response {
    let body = HealthBody::shallow(access.api_key_hash != Ok(None));
    let is_deep = query.split('&').any(|pair| matches!(pair, "deep=1" | "deep=true"));
    if !is_deep {
        return render::json(StatusCode::OK, json::text(&body));
    }
    // The service first: its request is under way while the statement blocks, as it does in WASI 0.2.
    let (worker_plan, database) = join!(worker_plan(cx), database(cx));
    let all_healthy = database.is_ok() && worker_plan.is_ok();
    if !all_healthy {
        cx.set_outcome("UNHEALTHY");
    }
    let body = body.with_services(database, worker_plan);
    if all_healthy {
        return render::json(StatusCode::OK, json::text(&body));
    }
    let mut response = render::json(StatusCode::SERVICE_UNAVAILABLE, json::text(&body));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.into());
    response
}

async fn database(cx: &Rc<request::Context>) -> ServiceHealth {
    let asked = async {
        let database = Database::configured(cx).await?.within(LIMIT);
        database.check_tables().await
    };
    let Err(failed) = asked.await else { return Ok(()) };
    cx.log_error(&failed);
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

async fn worker_plan(cx: &Rc<request::Context>) -> ServiceHealth {
    let service = WorkerPlan::configured(cx).await.map_err(|failed| {
        cx.log_error(&failed);
        Cow::Borrowed("cannot be used with these settings")
    })?;
    service.check_health(LIMIT).await.map_err(|failed| {
        cx.log_error(&Error::ContentUnavailable(failed));
        Cow::Borrowed(if failed == Unavailable::WorkerTimeout {
            "does not answer within 2 seconds"
        } else if failed == Unavailable::WorkerUnreachable {
            "cannot be reached"
        } else {
            "reports an error"
        })
    })
}
