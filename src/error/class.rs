//! What kinds of failure there are, in terms that every protocol has its own answer to.

/// The kind of a failure. Statuses, codes and the log follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// For the caller alone to act on. The operator has nothing to look into.
    Caller(Mistake),
    /// What is asked for exists and can never be given. Worth the operator's look.
    Permanent,
    /// The same request may succeed a few seconds later.
    Temporary(Outage),
    /// A bug, or a server that was deployed without a part of it.
    Ours,
}

/// What the caller has to change, or to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The request does not have the right form.
    Invalid,
    /// A key or a signature is missing.
    Unauthorized,
    /// It costs more than the caller has.
    PaymentRequired,
    /// The caller is known or named, and may not.
    Forbidden,
    /// There is nothing of this name, or not yet.
    NotFound,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The caller accepts no form that there is.
    NotAcceptable,
    /// The request did not arrive in time.
    TooSlow,
    /// It contradicts an earlier request.
    Conflict,
    /// It was there and is lost.
    Gone,
    /// The request is too large.
    TooLarge,
    /// The body is of another media type.
    MediaType,
}

/// Which service does not work at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// This one, for lack of its database or of a setting.
    Service,
    /// The one behind it that keeps files: it fails.
    Upstream,
    /// The same: it takes too long.
    UpstreamTimeout,
}

/// The step of a request at which an error occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// At any.
    Any,
    /// Finding the route.
    Route,
    /// Checking the origin of a web page.
    Origin,
    /// Checking the key, with what that needs.
    Key,
    /// Checking what answers the caller accepts.
    Accept,
    /// Reading the body.
    Body,
    /// Finding the call in the body of `POST /mcp/tools/call`.
    Call,
    /// Calling a tool. Its result then tells of the error.
    Tool,
    /// Finding or reading a file of a run.
    File,
    /// Reading a page of the server itself.
    Page,
}
