//! The table of the routes: one row for each. The router, `GET /`, the log and the OpenAPI document read it.

/// A route.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The method; `HEAD` works where `GET` does.
    pub method: &'static str,
    /// The path. `{task_id}` stands for one part of it, `{file}` for all that follows.
    pub path: &'static str,
    /// The function that answers.
    pub handler: Handler,
    /// Which key the route needs.
    pub access: Access,
    /// The path as the log names it.
    pub log: &'static str,
    /// Whether errors are sent as pages to browsers.
    pub has_pages: bool,
}

/// The handlers: the router's match has an arm for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the function or the file of its name in `routes`")]
pub enum Handler {
    Index,
    Healthcheck,
    Mcp,
    ToolList,
    ToolCall,
    Download,
    OpenApi,
    Docs,
}

/// The key that a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No key.
    Open,
    /// The key, unless the lists are open; some MCP methods check the key themselves. Web pages of other origins are refused,
    /// against DNS rebinding.
    Lists,
    /// As `Lists`, and the key wherever the server has one.
    Calls,
    /// The key or a signed link. The route checks them itself.
    Link,
}

/// The routes, in the order of `GET /`. The first row that matches a path is used.
pub const TABLE: [Row; 10] = [
    row("GET", "/", Handler::Index, Access::Open),
    row("GET", "/healthcheck", Handler::Healthcheck, Access::Open),
    row("POST", "/mcp", Handler::Mcp, Access::Lists),
    row("GET", "/mcp/tools", Handler::ToolList, Access::Lists),
    row("POST", "/mcp/tools/call", Handler::ToolCall, Access::Calls),
    download("/download/{task_id}/030-report.html"),
    download("/download/{task_id}/run.zip"),
    download("/download/{task_id}/{file}"),
    row("GET", "/openapi.json", Handler::OpenApi, Access::Open),
    Row {
        has_pages: true,
        ..row("GET", "/docs", Handler::Docs, Access::Open)
    },
];

/// The methods of all rows, for the header `Access-Control-Allow-Methods`.
pub const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// A route for programs, with its path as its name in the log.
const fn row(method: &'static str, path: &'static str, handler: Handler, access: Access) -> Row {
    Row {
        method,
        path,
        handler,
        access,
        log: path,
        has_pages: false,
    }
}

/// A route to a file. The log does not name the file.
const fn download(path: &'static str) -> Row {
    Row {
        log: "/download/{task_id}/{file}",
        has_pages: true,
        ..row("GET", path, Handler::Download, Access::Link)
    }
}

impl Access {
    /// Whether web pages of other origins are refused.
    #[must_use]
    pub fn checks_origin(self) -> bool {
        match self {
            Self::Lists | Self::Calls => true,
            Self::Open | Self::Link => false,
        }
    }
}

/// The row that matches a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'p> {
    /// The row.
    pub row: &'static Row,
    /// What the path has for `{task_id}`; blank where the row has none.
    pub id: &'p str,
    /// What the path has for `{file}`, or the file that the row itself names; blank without one.
    pub file: &'p str,
}

/// Finds the row of a path, preferably one with this method. A trailing slash is ignored.
#[must_use]
pub fn find_row<'p>(method: &str, path: &'p str) -> Option<Match<'p>> {
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let mut first = None;
    for row in &TABLE {
        let Some(found) = match_row(row, path) else { continue };
        if row.method == method {
            return Some(found);
        }
        first = first.or(Some(found));
    }
    first
}

fn match_row<'p>(row: &'static Row, path: &'p str) -> Option<Match<'p>> {
    let Some(name) = row.path.strip_prefix("/download/{task_id}/") else {
        return (row.path == path).then_some(Match { row, id: "", file: "" });
    };
    let (id, file) = path.strip_prefix("/download/")?.split_once('/')?;
    (name == "{file}" || name == file).then_some(Match { row, id, file })
}

impl Match<'_> {
    /// The methods of its path, as the header `Allow` has them.
    #[must_use]
    pub fn allow(&self) -> &'static str {
        let has = |method: &str| {
            TABLE
                .iter()
                .any(|row| row.path == self.row.path && row.method == method)
        };
        match (has("GET"), has("POST")) {
            (true, false) => "GET, HEAD",
            (false, _) => "POST",
            (true, true) => "GET, HEAD, POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_rows() {
        for (path, expected) in [
            ("/", Some(("/", "", ""))),
            ("/mcp", Some(("/mcp", "", ""))),
            ("/mcp/", Some(("/mcp", "", ""))),
            ("/mcp//", None),
            ("//mcp", None),
            ("/MCP", None),
            ("/mcp/tools", Some(("/mcp/tools", "", ""))),
            ("/mcp/tools/", Some(("/mcp/tools", "", ""))),
            ("/mcp/tools/call", Some(("/mcp/tools/call", "", ""))),
            ("/mcp/tools/list", None),
            ("/healthcheck/", Some(("/healthcheck", "", ""))),
            ("/openapi.json", Some(("/openapi.json", "", ""))),
            ("/docs/", Some(("/docs", "", ""))),
            ("/docs/x", None),
            (
                "/download/a/run.zip",
                Some(("/download/{task_id}/run.zip", "a", "run.zip")),
            ),
            (
                "/download/a/run.zip/",
                Some(("/download/{task_id}/run.zip", "a", "run.zip")),
            ),
            ("/download/a", None),
            ("/download/a/b/c", Some(("/download/{task_id}/{file}", "a", "b/c"))),
            ("/download/a/", None),
            ("*", None),
            ("/.well-known/oauth-protected-resource", None),
        ] {
            let found = find_row("GET", path).map(|found| (found.row.path, found.id, found.file));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn every_row_is_found_and_names_its_methods() {
        for row in &TABLE {
            let found = find_row(row.method, row.path).expect("a route");
            assert_eq!(found.row, row);
            let allow = found.allow();
            assert!(allow.split(", ").any(|method| method == row.method), "{allow}");
            assert_eq!(allow.contains("HEAD"), allow.contains("GET"), "{allow}");
            assert!(METHODS.contains(allow), "{METHODS}");
        }
    }
}
