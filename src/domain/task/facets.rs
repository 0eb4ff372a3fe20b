//! What tasks are looked for by: small, and changed by an edit alone.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Fields, Layers, Origin, Task};

/// What a task is found by, without reading what it is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facets {
    pub category: String,
    pub owner: String,
    /// The API alone knows it.
    pub is_added: bool,
    /// The API has changed something of a task that others define.
    pub is_overridden: bool,
    /// Of its kind and parameters: equal for tasks that do the same work.
    pub work: i64,
    pub lower: Lower,
}

/// Fingerprints of the layers that a start brings; 0 for one that there is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lower {
    pub built_in: i64,
    pub configuration: i64,
}

impl Task {
    pub fn facets(&self) -> Facets {
        let is_added = self.layers.origin() == Origin::Api;
        Facets {
            category: self.spec.category.clone(),
            owner: self.spec.owner.clone(),
            is_added,
            is_overridden: !is_added && !self.layers.api.is_empty(),
            work: work(&self.spec.kind, &self.spec.parameters),
            lower: self.layers.lower(),
        }
    }
}

impl Layers {
    pub fn lower(&self) -> Lower {
        let (built_in, configuration) = (self.built_in.as_ref(), self.configuration.as_ref());
        Lower {
            built_in: built_in.map_or(0, fingerprint),
            configuration: configuration.map_or(0, Fields::fingerprint),
        }
    }
}

/// The same for the same kind and parameters.
pub fn work(kind: &str, parameters: &Map<String, Value>) -> i64 {
    let mut digest = Sha256::new();
    digest.update(kind);
    digest.update([0]);
    digest_map(&mut digest, parameters);
    number(digest)
}

/// The same for the same fields, in whatever order they come; never 0.
pub fn fingerprint(fields: &Map<String, Value>) -> i64 {
    let mut digest = Sha256::new();
    digest_map(&mut digest, fields);
    number(digest)
}

fn number(digest: Sha256) -> i64 {
    let bytes = digest.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    i64::from_be_bytes(first).max(i64::MIN + 1) | 1
}

/// Each value begins with what it is and how long, so that no two run into each other.
fn digest_map(digest: &mut Sha256, fields: &Map<String, Value>) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    digest.update([b'{']);
    digest.update(sorted.len().to_be_bytes());
    for (name, value) in sorted {
        digest_text(digest, name);
        digest_value(digest, value);
    }
}

fn digest_value(digest: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => digest_map(digest, fields),
        Value::Array(values) => {
            digest.update([b'[']);
            digest.update(values.len().to_be_bytes());
            values.iter().for_each(|value| digest_value(digest, value));
        }
        Value::String(text) => {
            digest.update([b'"']);
            digest_text(digest, text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            digest.update([b'=']);
            digest_text(digest, &value.to_string());
        }
    }
}

fn digest_text(digest: &mut Sha256, text: &str) {
    digest.update(text.len().to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> i64 {
        let Value::Object(fields) = value else {
            panic!("an object")
        };
        fingerprint(&fields)
    }

    #[test]
    fn equal_fields_have_one_fingerprint_and_others_another() {
        let fields: Map<String, Value> =
            serde_json::from_str(r#"{"b": {"y": 1, "x": [1, "2"]}, "a": null}"#).unwrap();
        let again = serde_json::from_str(&serde_json::to_string(&fields).unwrap()).unwrap();
        assert_eq!(fingerprint(&fields), fingerprint(&again));
        let turned = json!({"a": null, "b": {"x": [1, "2"], "y": 1}});
        assert_eq!(of(turned), fingerprint(&fields));

        let all = [
            json!({}),
            json!({"a": 1}),
            json!({"a": "1"}),
            json!({"a": [1]}),
            json!({"a": [1], "b": []}),
            json!({"a": [1, []]}),
            json!({"a": {"b": 1}}),
            json!({"a": {}, "b": 1}),
            json!({"ab": 1}),
            json!({"a": "b"}),
            json!({"a": null}),
            json!({"a": "null"}),
        ];
        let mut seen: Vec<i64> = all.into_iter().map(of).collect();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(!seen.contains(&0));
    }

    #[test]
    fn what_a_start_brings_shows_in_the_layer_that_it_is() {
        let mut layers = Layers::default();
        assert_eq!(layers.lower(), Lower::default());
        let Value::Object(fields) = json!({"kind": "command"}) else {
            panic!("an object")
        };
        layers.configuration = Some(fields.clone().into());
        assert_eq!(
            layers.lower(),
            Lower {
                built_in: 0,
                configuration: fingerprint(&fields)
            }
        );
    }
}
