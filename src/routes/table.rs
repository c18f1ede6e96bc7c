//! The table of the routes: one row for each. The router, `GET /`, the log and the OpenAPI document read it.

/// A route.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The method; `HEAD` works where `GET` does.
    pub method: &'static str,
    /// The path. `{task_id}` stands for one part of it, `{file}` for all that follows.
    pub path: &'static str,
    /// Who answers.
    pub handler: Handler,
    /// Who may call.
    pub access: Access,
    /// The path as the log names it.
    pub log: &'static str,
    /// Whether people open it in a browser, which is then shown errors as pages.
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

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// The key where the lists are closed. Some calls ask for it themselves. Web pages of other origins are kept out,
    /// against DNS rebinding.
    Lists,
    /// As `Lists`, and the key wherever the server has one.
    Calls,
    /// The key or a signed link. The route looks at them itself.
    Link,
}

/// The routes, in the order in which `GET /` shows them. Of two rows that fit a path, the first counts.
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

/// A route that the log names by its path, for programs.
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

/// A route to a file. The log names no file.
const fn download(path: &'static str) -> Row {
    Row {
        log: "/download/{task_id}/{file}",
        has_pages: true,
        ..row("GET", path, Handler::Download, Access::Link)
    }
}

impl Access {
    /// Whether web pages of other origins are kept out.
    #[must_use]
    pub fn checks_origin(self) -> bool {
        match self {
            Self::Lists | Self::Calls => true,
            Self::Open | Self::Link => false,
        }
    }
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'p> {
    /// The row.
    pub row: &'static Row,
    /// What the path has for `{task_id}`; blank where the row has none.
    pub id: &'p str,
    /// What the path has for `{file}`, or the file that the row itself names; blank without one.
    pub file: &'p str,
}

/// Finds the row of a path, of several with this path that of the method. A trailing slash is the same route.
#[must_use]
pub fn find<'p>(method: &str, path: &'p str) -> Option<Found<'p>> {
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let mut first = None;
    for row in &TABLE {
        let Some(found) = fit(row, path) else { continue };
        if row.method == method {
            return Some(found);
        }
        first = first.or(Some(found));
    }
    first
}

fn fit<'p>(row: &'static Row, path: &'p str) -> Option<Found<'p>> {
    let Some(name) = row.path.strip_prefix("/download/{task_id}/") else {
        return (row.path == path).then_some(Found { row, id: "", file: "" });
    };
    let (id, file) = path.strip_prefix("/download/")?.split_once('/')?;
    (name == "{file}" || name == file).then_some(Found { row, id, file })
}

impl Found<'_> {
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
            let found = find("GET", path).map(|found| (found.row.path, found.id, found.file));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn every_row_is_found_and_names_its_methods() {
        for row in &TABLE {
            let found = find(row.method, row.path).expect("a route");
            assert_eq!(found.row, row);
            let allow = found.allow();
            assert!(allow.split(", ").any(|method| method == row.method), "{allow}");
            assert_eq!(allow.contains("HEAD"), allow.contains("GET"), "{allow}");
            assert!(METHODS.contains(allow), "{METHODS}");
        }
    }
}
