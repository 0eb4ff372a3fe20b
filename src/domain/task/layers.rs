//! The layers of a task, merged field by field: the registry's, the configuration's, that of the policy which owns
//! it, where one does, and what the API has changed, with who, when and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Fields, TaskSpec};
use crate::{
    domain::{schedule::several, text::text_enum},
    error::{Error, Faults, Result},
};

text_enum! {
    /// The lowest layer of a task.
    Origin {
        BuiltIn = "built_in",
        Configuration = "configuration",
        /// A policy, whose task it is.
        Owner = "owner",
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

/// What a policy says of its task. Its fields are changed through the policy alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Its resource name, such as `backupPolicies/daily-full`.
    pub name: String,
    pub fields: Map<String, Value>,
}

/// Fields that are an owner's, and nobody else's.
const OWNED: [&str; 3] = ["kind", "parameters", "schedule"];

/// Keys are fields of [`TaskSpec`]; in `api` also paths into one, such as `schedule.time_zone`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_in: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
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
        } else if self.owner.is_some() {
            Origin::Owner
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
        let owner = self.owner.as_ref().map(|owner| &owner.fields);
        let lower = [self.built_in.as_ref(), self.configuration.as_deref(), owner];
        for layer in lower.into_iter().flatten() {
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

impl Layers {
    /// Lays changes of the API over what it has changed before. A timing that is set takes the place of another that
    /// it had set: of the two the older would win, or neither, by the alphabet.
    ///
    /// # Errors
    /// [`Error::Invalid`] on `schedule` where the changes set more timings than one.
    pub fn change(&mut self, changes: BTreeMap<String, Override>) -> Result<()> {
        let sets = |timing: &&str| {
            let change = changes.get(&format!("schedule.{timing}"));
            change.is_some_and(|change| !change.value.is_null())
        };
        let set: Vec<&str> = TIMINGS.into_iter().filter(sets).collect();
        if 1 < set.len() {
            return Err(several(&set));
        }
        for (path, change) in changes {
            // A whole field takes the place of its parts.
            let below = format!("{path}.");
            self.api
                .retain(|other, _| *other != path && !other.starts_with(&below));
            let lowest = self.origin() == Origin::Api;
            if !(lowest && change.value.is_null()) {
                self.api.insert(path, change);
                continue;
            }
            // Nothing lies below: the part goes from the whole field, where that was set as a whole.
            if let Some((field, part)) = path.split_once('.')
                && let Some(whole) = self.api.get_mut(field)
                && let Some(parts) = whole.value.as_object_mut()
            {
                parts.remove(part);
            }
        }
        if let [set] = set[..] {
            let others = TIMINGS.into_iter().filter(|timing| *timing != set);
            others.for_each(|other| drop(self.api.remove(&format!("schedule.{other}"))));
        }
        Ok(())
    }

    /// Whether a field, or a path into one, is its owner's; says whose.
    pub fn owner_of(&self, path: &str) -> Option<&Owner> {
        self.owner.as_ref().filter(|_| is_owned(path))
    }
}

/// Whether a field, or a path into one, is an owner's where a task has one.
pub fn is_owned(path: &str) -> bool {
    let field = path.split_once('.').map_or(path, |(field, _)| field);
    OWNED.contains(&field)
}

/// Reads a whole specification; where it is wrong, field by field, so that an error names each that is.
fn read(merged: Map<String, Value>) -> Result<TaskSpec> {
    let merged = Value::Object(merged);
    let error = match TaskSpec::deserialize(&merged) {
        Ok(spec) => return Ok(spec),
        Err(error) => error,
    };
    let mut faults = Faults::default();
    for (field, value) in merged.as_object().into_iter().flatten() {
        let parts = value
            .as_object()
            .filter(|_| NESTED.contains(&field.as_str()));
        for (part, value) in parts.into_iter().flatten() {
            let part_alone = Map::from_iter([(part.clone(), value.clone())]);
            let path = format!("{field}.{part}");
            faults.take(alone(field, &Value::Object(part_alone), &path))?;
        }
        if parts.is_none() {
            faults.take(alone(field, value, field))?;
        }
    }
    faults.done()?;
    Err(Error::invalid("task", error))
}

/// Reads a field by itself; `path` is what an error names.
fn alone(field: &str, value: &Value, path: &str) -> Result<()> {
    let alone = Map::from_iter([(field.to_owned(), value.clone())]);
    let read = serde_json::from_value::<TaskSpec>(Value::Object(alone));
    read.map(drop).map_err(|error| Error::invalid(path, error))
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
            configuration: Some(map(json!({"schedule": {"cron": "0 4 * * *"}})).into()),
            api: BTreeMap::from([
                ("priority".into(), change(json!(7))),
                ("schedule.time_zone".into(), change(json!("Europe/Paris"))),
            ]),
            ..Layers::default()
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
            configuration: Some(map(json!({"schedule": {"every": "5m"}})).into()),
            ..Layers::default()
        };
        let spec = layers.merge().unwrap();
        assert_eq!(spec.schedule.cron, None);
        assert!(spec.schedule.every.is_some());
    }

    #[test]
    fn a_timing_that_the_api_sets_takes_the_place_of_the_one_it_had_set() {
        let sets = |timings: &[(&str, Value)]| -> BTreeMap<String, Override> {
            let paths = timings
                .iter()
                .map(|(timing, value)| (format!("schedule.{timing}"), change(value.clone())));
            paths.collect()
        };
        let mut layers = Layers {
            configuration: Some(
                map(json!({"kind": "x", "schedule": {"at": "2030-01-01T00:00:00Z"}})).into(),
            ),
            ..Layers::default()
        };
        for (timing, value) in [
            ("every", json!("5m")),
            ("cron", json!("0 4 * * *")),
            ("at", json!("2031-01-01T00:00:00Z")),
            ("cron", json!("0 5 * * *")),
            ("every", json!("7m")),
        ] {
            layers
                .change(sets(&[(timing, value), ("phase", Value::Null)]))
                .unwrap();
            let schedule = layers.merge().unwrap().schedule;
            let set = [
                ("cron", schedule.cron.is_some()),
                ("every", schedule.every.is_some()),
                ("at", schedule.at.is_some()),
            ];
            for (name, is_set) in set {
                assert_eq!(
                    is_set,
                    name == timing,
                    "{name} after {timing}: {schedule:?}"
                );
            }
        }
        // Taken back, the one below holds again, and none that the API had set before.
        layers.change(sets(&[("every", Value::Null)])).unwrap();
        let schedule = layers.merge().unwrap().schedule;
        assert_eq!((schedule.cron, schedule.every), (None, None));
        assert!(schedule.at.is_some());
        let before = layers.clone();
        let both = sets(&[("cron", json!("0 4 * * *")), ("every", json!("5m"))]);
        let error = layers.change(both).unwrap_err().to_string();
        assert!(
            error.contains("cron and every are given; expected at most one"),
            "{error}"
        );
        assert_eq!(layers, before);
    }

    #[test]
    fn what_is_an_owners_is_known_as_his() {
        let layers = Layers {
            built_in: Some(map(
                json!({"kind": "backup", "schedule": {"cron": "0 3 * * *"}}),
            )),
            owner: Some(Owner {
                name: "backupPolicies/a".into(),
                fields: map(json!({"schedule": {"every": "5m"}})),
            }),
            ..Layers::default()
        };
        assert!(layers.merge().unwrap().schedule.every.is_some());
        assert!(layers.owner_of("schedule.time_zone").is_some());
        assert!(layers.owner_of("priority").is_none());
        assert!(Layers::default().owner_of("schedule").is_none());
    }

    #[test]
    fn what_cannot_be_read_is_named_field_by_field() {
        let given = json!({
            "kind": "x",
            "prioritty": 3,
            "schedule": {"cron": 5, "every": "soon", "at": "2026-03-02T12:00:00Z"},
            "retry": {"max_attempts": 3},
        });
        let layers = Layers {
            configuration: Some(map(given).into()),
            ..Layers::default()
        };
        let Error::Several(wrong) = layers.merge().unwrap_err() else {
            panic!("three are wrong")
        };
        let fields: Vec<_> = wrong.into_iter().map(|wrong| wrong.field).collect();
        assert_eq!(fields, ["prioritty", "schedule.cron", "schedule.every"]);
    }
}
