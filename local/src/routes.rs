//! Which component answers a path: exact routes and routes that end in `/...`.

use anyhow::ensure;

/// A route of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pattern: String,
    component: String,
    /// The pattern without its wildcard and without slashes at either end.
    prefix: String,
    wildcard: bool,
}

/// A route that matches, with the part of the path that its wildcard took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RouteMatch<'a> {
    pub(crate) route: &'a Route,
    /// Empty, or starts with a slash.
    pub(crate) path_info: String,
}

impl Route {
    pub(crate) fn parse(pattern: &str, component: &str) -> anyhow::Result<Self> {
        let (prefix, wildcard) = match pattern.strip_suffix("/...").or_else(|| pattern.strip_suffix("/*")) {
            Some(prefix) => (prefix, true),
            None => (pattern, false),
        };
        ensure!(
            !prefix.contains([':', '*']),
            "the route {pattern:?} is not supported by the local host: only exact routes and '/...' at the end are"
        );
        Ok(Self {
            pattern: pattern.to_owned(),
            component: component.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            wildcard,
        })
    }

    /// The route as the manifest has it.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The id of the component that answers.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The route with a slash at its start and none at its end.
    pub(crate) fn normalized(&self) -> String {
        let slash = if self.pattern.starts_with('/') { "" } else { "/" };
        let pattern = format!("{slash}{}", self.pattern);
        pattern.strip_suffix('/').map(str::to_owned).unwrap_or(pattern)
    }

    /// The route without its wildcard.
    pub(crate) fn without_wildcard(&self) -> &str {
        self.pattern.strip_suffix("/...").unwrap_or(&self.pattern)
    }

    /// The part of the path after the route, if the route matches.
    fn matches(&self, path: &str) -> Option<String> {
        let trimmed = path.trim_matches('/');
        if !self.wildcard {
            return (trimmed == self.prefix).then(String::new);
        }
        let rest = trimmed.strip_prefix(self.prefix.as_str())?;
        if !(rest.is_empty() || rest.starts_with('/') || self.prefix.is_empty()) {
            return None;
        }
        let rest = rest.trim_start_matches('/');
        let end = if path.ends_with('/') { "/" } else { "" };
        Some(if rest.is_empty() {
            end.to_owned()
        } else {
            format!("/{rest}{end}")
        })
    }
}

/// The best route for a path: an exact one first, then the longest.
pub(crate) fn find<'a>(routes: &'a [Route], path: &str) -> Option<RouteMatch<'a>> {
    routes
        .iter()
        .filter_map(|route| {
            Some(RouteMatch {
                route,
                path_info: route.matches(path)?,
            })
        })
        .max_by_key(|found| (!found.route.wildcard, found.route.prefix.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], path: &str) -> Option<(String, String)> {
        let routes: Vec<_> = patterns.iter().map(|p| Route::parse(p, "c").unwrap()).collect();
        find(&routes, path).map(|found| (found.route.pattern.clone(), found.path_info))
    }

    #[test]
    fn matching() {
        let all = ["/...", "/foo", "/foo/...", "/foo/bar/..."];
        for (path, pattern, path_info) in [
            ("/", "/...", "/"),
            ("/x", "/...", "/x"),
            ("/x/y/", "/...", "/x/y/"),
            ("/foo", "/foo", ""),
            ("/foo/", "/foo", ""),
            ("/foo/x", "/foo/...", "/x"),
            ("/foo/bar", "/foo/bar/...", ""),
            ("/foo/bar/", "/foo/bar/...", "/"),
            ("/foo/bar/x/", "/foo/bar/...", "/x/"),
            ("/food", "/...", "/food"),
        ] {
            assert_eq!(
                found(&all, path),
                Some((pattern.to_owned(), path_info.to_owned())),
                "{path}"
            );
        }
        assert_eq!(found(&["/foo"], "/foo/x"), None);
        assert_eq!(found(&["/foo"], "/"), None);
        assert_eq!(found(&["/"], "/"), Some(("/".to_owned(), String::new())));
    }

    #[test]
    fn forms_of_a_route() {
        let route = |pattern: &str| Route::parse(pattern, "c").unwrap();
        assert_eq!(route("/foo/...").normalized(), "/foo/...");
        assert_eq!(route("/foo/...").without_wildcard(), "/foo");
        assert_eq!(route("/...").without_wildcard(), "");
        assert_eq!(route("foo/").normalized(), "/foo");
        assert_eq!(route("/").normalized(), "");
        assert!(Route::parse("/a/:id", "c").is_err());
    }
}
