//! How clients see the tools, made from their types: the text of `list.json`. Runs where the project is built and
//! tested, never in the component: there it would cost size, and time at every start of an instance.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{ALL, Definition, icon};

/// The list of tools as `list.json` holds it.
#[must_use]
pub fn list() -> Value {
    ALL.iter().map(|tool| (tool.describe)()).collect()
}

/// A tool as `tools/list` shows it.
pub(super) fn tool<D: Definition>() -> Value {
    json!({
        "name": D::NAME,
        "title": D::TITLE,
        "description": D::DESCRIPTION,
        "inputSchema": schema_of::<D::Arguments>(),
        "outputSchema": output_schema_of::<D::Output>(),
        "annotations": D::ANNOTATIONS,
        "icons": [icon()],
    })
}

/// The JSON schema (2020-12) of a type: one flat object, since some clients drop tools whose schemas hold references.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        object.remove("description");
    }
    tidy(&mut schema);
    schema
}

/// Takes off what strict validators refuse: formats that name Rust's number types, and the default null of what is left
/// out, which its type does not allow.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if object.contains_key("type") && object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema of a result: that of the success with the error beside it. Nothing is required, because clients check
/// errors against it too.
fn output_schema_of<T: JsonSchema>() -> Value {
    let mut schema = schema_of::<T>();
    if let Some(object) = schema.as_object_mut() {
        object.remove("required");
        object.remove("additionalProperties");
        if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("error".to_owned(), error_schema());
        }
    }
    schema
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "Set when the call failed; nothing else is set then.",
        "properties": {
            "code": { "type": "string", "description": "Stable code, for programs." },
            "message": { "type": "string", "description": "What happened and what to do." },
            "details": { "type": "object", "description": "What a program can make use of." },
        },
        "required": ["code", "message"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_default_breaks_its_own_type() {
        let list = list().to_string();
        assert!(!list.contains("\"default\":null"), "{list}");
        assert!(list.contains("\"default\":\"ping\""), "{list}");
    }

    #[test]
    fn the_list_is_as_the_types_have_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/list.json");
        let list = list().to_string();
        if std::env::var_os("UPDATE_LISTS").is_some() {
            std::fs::write(path, &list).expect("a writable file");
        }
        assert!(
            super::super::LIST == list || std::env::var_os("UPDATE_LISTS").is_some(),
            "src/tools/list.json is not what the types of the tools say: run UPDATE_LISTS=1 cargo test --lib list"
        );
    }
}
