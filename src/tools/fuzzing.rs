//! Doors to the reading of arguments for the fuzz targets: nothing is called. In no build that is served.

use serde_json::Value;

use super::{Definition, Tool, arguments};
use crate::error::Error;

pub(super) fn read<D: Definition>(text: &str, schema: &Value) -> Result<(), Error> {
    arguments::parse::<D::Arguments>(text, schema).map(drop)
}

/// The input schema of a tool.
#[must_use]
pub fn schema(tool: &Tool) -> Value {
    let mut described = (tool.describe)();
    described.get_mut("inputSchema").map(Value::take).unwrap_or_default()
}

/// Reads the JSON text of a tool's arguments.
///
/// # Errors
/// Those of a call with such arguments.
pub fn arguments(tool: &Tool, text: &str, schema: &Value) -> Result<(), Error> {
    (tool.read)(text, schema)
}
