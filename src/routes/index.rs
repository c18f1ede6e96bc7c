//! `GET /`: what this server is and where its routes are.

use http::StatusCode;
use serde_json::json;

use crate::{
    render::{self, Response},
    router,
};

/// Name, version, routes.
pub fn get() -> Response {
    let body = json!({
        "service": "planexe-mcp-http",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "MCP server for PlanExe. Connect an MCP client to /mcp.",
        "routes": router::TABLE,
    });
    render::json(StatusCode::OK, render::to_json(&body))
}
