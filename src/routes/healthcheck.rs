//! `GET /healthcheck`: whether the server is there, and with `?deep=1` whether its two neighbours are.

use std::{rc::Rc, time::Duration};

use futures::join;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

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

/// Healthy, and whether an API key guards the server. Touches no neighbour unless the query asks for it.
pub async fn get(query: &str, access: &Access, record: &Rc<Record>) -> Response {
    let mut body = json!({
        "status": "healthy",
        "service": "planexe-mcp-http",
        "api_key_configured": access.api_key.is_some(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let is_deep = query.split('&').any(|pair| matches!(pair, "deep=1" | "deep=true"));
    if !is_deep {
        return render::json(StatusCode::OK, render::to_json(&body));
    }
    let (database, worker_plan) = join!(database(record), worker_plan(record));
    let all_well = database.is_ok() && worker_plan.is_ok();
    if !all_well {
        record.outcome("UNHEALTHY");
    }
    if let Some(object) = body.as_object_mut() {
        let status = if all_well { "healthy" } else { "unhealthy" };
        object.insert("status".to_owned(), status.into());
        for (name, state) in [("database", database), ("worker_plan", worker_plan)] {
            object.insert(name.to_owned(), Value::from(state.err().unwrap_or("ok")));
        }
    }
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
