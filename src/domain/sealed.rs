//! Values of a run's parameters that nobody is shown: marked where they are kept, so that whoever shows a run
//! need not know what the configuration says, or said when the run was queued.

use serde_json::{Map, Value, json};

/// Text that stands for a value that is not shown.
pub const MASK: &str = "***";
const KEY: &str = "$secret";

/// A value, marked; one that is marked already stays as it is.
pub fn sealed(value: &Value) -> Value {
    match is_sealed(value) {
        true => value.clone(),
        false => json!({ KEY: value }),
    }
}

/// The value itself, whether it is marked or not.
pub fn opened(value: &Value) -> &Value {
    match value {
        Value::Object(map) if is_sealed(value) => map.get(KEY).unwrap_or(value),
        value => value,
    }
}

/// Parameters as they may be shown.
pub fn shown(parameters: &Map<String, Value>) -> Map<String, Value> {
    let shown = |value: &Value| match is_sealed(value) {
        true => MASK.into(),
        false => value.clone(),
    };
    parameters
        .iter()
        .map(|(name, value)| (name.clone(), shown(value)))
        .collect()
}

/// Whether a value is marked as one that nobody is shown.
pub fn is_sealed(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.len() == 1 && map.contains_key(KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_and_not_shown() {
        let value = Value::from("hunter2");
        let kept = sealed(&value);
        assert_eq!(sealed(&kept), kept);
        assert_eq!((opened(&kept), opened(&value)), (&value, &value));
        let parameters = Map::from_iter([("key".to_owned(), kept), ("n".to_owned(), 3.into())]);
        let shown = Value::Object(shown(&parameters)).to_string();
        assert_eq!(shown, r#"{"key":"***","n":3}"#);
    }
}
