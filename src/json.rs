//! JSON texts: objects from outside, and values of the component.

use serde::{
    Deserialize, Serialize,
    de::{Error as _, Unexpected},
};

/// Reads an object. serde alone would also read an array as a struct, member by member.
///
/// # Errors
/// When the text is not JSON, not an object, or does not fit the type.
pub fn object<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if text.trim_ascii_start().starts_with('[') {
        return Err(serde_json::Error::invalid_type(Unexpected::Seq, &"an object"));
    }
    serde_json::from_str(text)
}

/// The JSON text of a value. What cannot be written (a map with keys that are not strings) does not occur in answers.
#[must_use]
pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Pair {
        left: u8,
        right: u8,
    }

    #[test]
    fn only_objects_are_objects() {
        let pair = Pair { left: 1, right: 2 };
        for text in ["{\"left\":1,\"right\":2}", " \n{\"right\":2,\"left\":1}"] {
            assert_eq!(object::<Pair>(text).ok(), Some(Pair { ..pair }), "{text}");
        }
        for text in ["[1,2]", "\t[]", "null", "1", "\"a\"", "", "{", "[{}]"] {
            assert!(object::<Pair>(text).is_err(), "{text}");
        }
    }
}
