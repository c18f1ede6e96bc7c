//! `GET /healthcheck`: whether the server is there. Touches no neighbour.

use http::StatusCode;
use serde_json::json;

use crate::{
    config::Access,
    render::{self, Response},
};

/// Healthy, and whether an API key guards the server.
pub fn get(access: &Access) -> Response {
    let body = json!({
        "status": "healthy",
        "service": "planexe-mcp-http",
        "api_key_configured": access.api_key.is_some(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    render::json(StatusCode::OK, render::to_json(&body))
}
