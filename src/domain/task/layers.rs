//! The three layers of a task, merged field by field: the registry's, the configuration's, and what
//! the API has changed, with who, when and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TaskSpec;
use crate::{
    domain::text::text_enum,
    error::{Error, Result},
};

text_enum! {
    /// The lowest layer of a task.
    Origin {
        BuiltIn = "built_in",
        Configuration = "configuration",
        Api = "api",
    }
}

/// A field as the API has set it. A null value takes the field back to its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Override {
    pub value: Value,
    pub principal: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Keys are fields of [`TaskSpec`]; in `api` also paths into one, such as `schedule.time_zone`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_in: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub api: BTreeMap<String, Override>,
}

/// Fields whose own fields merge one by one.
const NESTED: [&str; 4] = ["schedule", "catch_up", "retry", "history"];
/// Of these a schedule has one: setting one in a layer unsets the others of the layers below.
const TIMINGS: [&str; 3] = ["cron", "every", "at"];

impl Layers {
    pub fn origin(&self) -> Origin {
        if self.built_in.is_some() {
            Origin::BuiltIn
        } else if self.configuration.is_some() {
            Origin::Configuration
        } else {
            Origin::Api
        }
    }

    /// The specification that the layers make.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field that does not fit.
    pub fn merge(&self) -> Result<TaskSpec> {
        let mut merged = Map::new();
        for layer in [&self.built_in, &self.configuration].into_iter().flatten() {
            for (field, value) in layer {
                lay(&mut merged, field, value);
            }
        }
        // `schedule` sorts before `schedule.time_zone`: the whole is laid before its parts.
        for (path, change) in &self.api {
            match path.split_once('.') {
                Some((field, part)) => {
                    let part = Map::from_iter([(part.to_owned(), change.value.clone())]);
                    lay(&mut merged, field, &Value::Object(part));
                }
                // A whole field is replaced, not merged: what the caller sent is what there is.
                None if change.value.is_null() => drop(merged.remove(path)),
                None => drop(merged.insert(path.clone(), change.value.clone())),
            }
        }
        read(merged)
    }
}

/// Reads a whole specification, field by field so that an error names the field.
fn read(merged: Map<String, Value>) -> Result<TaskSpec> {
    for (field, value) in &merged {
        let alone = Map::from_iter([(field.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<TaskSpec>(Value::Object(alone)) {
            return Err(Error::invalid(field.clone(), error));
        }
    }
    serde_json::from_value(Value::Object(merged)).map_err(|error| Error::invalid("task", error))
}

fn lay(merged: &mut Map<String, Value>, field: &str, value: &Value) {
    let Value::Object(parts) = value else {
        if value.is_null() {
            merged.remove(field);
        } else {
            merged.insert(field.to_owned(), value.clone());
        }
        return;
    };
    if !NESTED.contains(&field) {
        merged.insert(field.to_owned(), value.clone());
        return;
    }
    let below = merged
        .entry(field)
        .or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(below) = below else {
        *below = value.clone();
        return;
    };
    let set = |part: &&str| parts.get(*part).is_some_and(|value| !value.is_null());
    if field == "schedule" && TIMINGS.iter().any(set) {
        for timing in TIMINGS {
            below.remove(timing);
        }
    }
    for (part, value) in parts {
        if value.is_null() {
            below.remove(part);
        } else {
            below.insert(part.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else {
            panic!("an object")
        };
        map
    }

    fn change(value: Value) -> Override {
        Override {
            value,
            principal: "ada".into(),
            at: Timestamp::UNIX_EPOCH,
            reason: String::new(),
        }
    }

    #[test]
    fn a_higher_layer_wins_field_by_field() {
        let layers = Layers {
            built_in: Some(map(json!({
                "kind": "prune-history", "priority": 3,
                "schedule": {"cron": "0 3 * * *", "time_zone": "UTC"},
            }))),
            configuration: Some(map(json!({"schedule": {"cron": "0 4 * * *"}}))),
            api: BTreeMap::from([
                ("priority".into(), change(json!(7))),
                ("schedule.time_zone".into(), change(json!("Europe/Paris"))),
            ]),
        };

        let spec = layers.merge().unwrap();

        assert_eq!(spec.priority, 7);
        assert_eq!(spec.schedule.cron.as_deref(), Some("0 4 * * *"));
        assert_eq!(spec.schedule.time_zone.as_deref(), Some("Europe/Paris"));
    }

    #[test]
    fn another_timing_takes_the_place_of_the_one_below() {
        let layers = Layers {
            built_in: Some(map(json!({"kind": "x", "schedule": {"cron": "0 3 * * *"}}))),
            configuration: Some(map(json!({"schedule": {"every": "5m"}}))),
            api: BTreeMap::new(),
        };
        let spec = layers.merge().unwrap();
        assert_eq!(spec.schedule.cron, None);
        assert!(spec.schedule.every.is_some());
    }

    #[test]
    fn an_unknown_field_is_named() {
        let layers = Layers {
            configuration: Some(map(json!({"kind": "x", "prioritty": 3}))),
            ..Layers::default()
        };
        let error = layers.merge().unwrap_err().to_string();
        assert!(error.contains("prioritty"), "{error}");
    }
}
