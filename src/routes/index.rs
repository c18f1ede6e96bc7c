//! `GET /`: what this server is and where its routes are.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::table;
use crate::{
    json,
    render::{self, Response},
};

/// What `GET /` answers.
#[derive(Serialize, JsonSchema)]
pub struct IndexBody {
    /// For people.
    description: &'static str,
    /// Method and path of each route.
    routes: Vec<String>,
    /// The kind of server, for programs.
    service: &'static str,
    /// Version of the server.
    version: &'static str,
}

impl IndexBody {
    /// The one answer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            service: "planexe-mcp-http",
            version: env!("CARGO_PKG_VERSION"),
            description: "MCP server for PlanExe. Connect an MCP client to /mcp, or open /docs in a browser.",
            routes: table::TABLE
                .iter()
                .map(|row| format!("{} {}", row.method, row.path))
                .chain(["OPTIONS *".to_owned()])
                .collect(),
        }
    }
}

impl Default for IndexBody {
    fn default() -> Self {
        Self::new()
    }
}

/// Name, version, routes.
pub fn get() -> Response {
    render::json(StatusCode::OK, json::text(&IndexBody::new()))
}
