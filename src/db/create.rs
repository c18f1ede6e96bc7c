//! Creating a plan, with all that is written together with it: its event, its charge, its ledger entry.

use super::{Database, Row, Statement, optional_text, text};
use crate::{
    error::Error,
    host::Parameter,
    plan::{Credits, TaskId},
};

/// A plan to be created.
#[derive(Debug)]
pub struct NewPlan<'a> {
    /// What the plan is for.
    pub prompt: &'a str,
    /// The name of the parameter that tells plans of one prompt apart: `speed_vs_detail` or `model_profile`.
    pub key: &'static str,
    /// The value of that parameter as workers read it.
    pub value: &'static str,
    /// All parameters as workers read them, a JSON object.
    pub parameters: String,
    /// The parameters as the caller names them, a JSON object.
    pub config: String,
    /// Hash of the key of the user who pays and owns the plan; `None` for the operator.
    pub user_key_hash: Option<&'a str>,
    /// Credits that the user pays at once, where PlanExe's worker does not bill.
    pub price: i32,
    /// The caller's own id of the request: the same id of the same owner is the same plan.
    pub client_request_id: Option<&'a str>,
    /// Seconds in which the same prompt of the same owner leads to the first plan, as long as that is live; 0: never, as
    /// with a request id.
    pub repeat_window: f64,
    /// Salt of ids that are derived from request ids.
    pub salt: &'a str,
}

/// The plan that a call led to.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: TaskId,
    /// RFC 3339, UTC, whole seconds.
    pub created_at: String,
    /// Whether an earlier call had created it; nothing was charged then.
    pub repeated: bool,
    /// Credits that the user has left; `None` for the operator.
    pub balance: Option<Credits>,
}

/// A plan that an earlier call created, or that this one has.
struct Found {
    id: Option<TaskId>,
    created_at: Option<String>,
    same_prompt: bool,
    same_detail: bool,
}

impl Found {
    /// The four columns that both statements have.
    fn decode(row: &mut Row) -> Result<Self, Error> {
        let id: Option<String> = row.take("id")?;
        Ok(Self {
            id: id.and_then(|id| TaskId::parse(&id)),
            created_at: row.take("created_at")?,
            same_prompt: row.take("same_prompt")?,
            same_detail: row.take("same_detail")?,
        })
    }
}

/// Creates a plan and all that belongs to it in one statement, or finds the one that an earlier call created.
///
/// # Errors
/// [`Error::InvalidUserKey`], [`Error::InsufficientCredits`], [`Error::RequestIdReused`], and those of
/// [`Database::query`].
pub async fn create(database: &Database, new: &NewPlan<'_>) -> Result<Created, Error> {
    let parameters = vec![
        text(TaskId::random().to_string()),
        text(new.prompt),
        text(new.value),
        optional_text(new.user_key_hash),
        Parameter::Int32(new.price),
        optional_text(new.client_request_id),
        Parameter::Float64(new.repeat_window),
        text(new.salt),
        text(&new.parameters),
        text(new.key),
        text(&new.config),
    ];
    // Run twice, the statement finds what the first run made: by the request id, or by the claim of the prompt.
    let repeatable = new.client_request_id.is_some() || new.repeat_window > 0.0;
    let mut conditions = Vec::new();
    if new.user_key_hash.is_some() {
        conditions.push("user");
    }
    if new.client_request_id.is_some() {
        conditions.push("request_id");
    }
    if new.repeat_window > 0.0 {
        conditions.extend(["claim", "first"]);
    }
    let text = include_str!("create_task.sql");
    let mut row = database
        .change(Statement(text, &conditions), parameters.clone(), repeatable)
        .await?;
    let (mut created, solvent): (bool, bool) = (row.take("created")?, row.take("solvent")?);
    if conditions.last() == Some(&"first") && solvent && !created {
        // The prompt has a claim, of this minute or of long ago.
        conditions.pop();
        row = database
            .change(Statement(text, &conditions), parameters, repeatable)
            .await?;
        created = row.take("created")?;
    }
    if !row.take::<bool>("payer_known")? {
        return Err(Error::InvalidUserKey);
    }
    let mut found = Found::decode(&mut row)?;
    let balance: Option<String> = row.take("balance")?;
    let balance = balance.map(|balance| Credits::parse(&balance));
    let worker_bills: bool = row.take("worker_bills")?;
    if found.created_at.is_none() && repeatable {
        // The statement created nothing and did not see why: another call was first, or the credits do not suffice.
        found = find_created(database, new, found.id).await?;
    }
    match (found.id.zip(found.created_at), balance) {
        (Some(_), _) if !(found.same_prompt && found.same_detail) => Err(Error::RequestIdReused {
            same_prompt: found.same_prompt,
            same_detail: found.same_detail,
        }),
        (Some((id, created_at)), balance) => Ok(Created {
            id,
            created_at,
            repeated: !created,
            balance,
        }),
        (None, Some(balance)) => Err(Error::InsufficientCredits {
            balance,
            price: (!worker_bills).then_some(new.price),
        }),
        (None, None) => Err(Error::Internal(
            "the plan's id is taken by another owner's plan".to_owned(),
        )),
    }
}

/// Looks for the plan of an earlier call again. `id` is that of the request id.
async fn find_created(database: &Database, new: &NewPlan<'_>, id: Option<TaskId>) -> Result<Found, Error> {
    let parameters = vec![
        optional_text(id.map(|id| id.to_string())),
        text(new.prompt),
        text(new.value),
        optional_text(new.user_key_hash),
        Parameter::Float64(new.repeat_window),
        text(new.key),
    ];
    let mut row = database.query(include_str!("find_created.sql"), parameters).await?;
    Found::decode(&mut row)
}
