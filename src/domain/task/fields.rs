//! The fields of a task as one of its layers has them.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::fingerprint;

/// Fields as they were written; cheap to clone. A configuration of very many tasks has them say the same: those that are
/// equal can be kept once, and are told apart by a fingerprint that is worked out once.
#[derive(Clone, Debug)]
pub struct Fields(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    map: Map<String, Value>,
    fingerprint: OnceLock<i64>,
}

impl Fields {
    /// The same for the same fields, in whatever order they come; never 0.
    pub fn fingerprint(&self) -> i64 {
        *self.0.fingerprint.get_or_init(|| fingerprint(&self.0.map))
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(Arc::new(Kept {
            map,
            fingerprint: OnceLock::new(),
        }))
    }
}

impl Deref for Fields {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0.map
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.map == other.0.map
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // In one order, whatever order a map of JSON has: configurations are told apart by a digest of this.
        serializer.collect_map(self.iter().collect::<BTreeMap<_, _>>())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}
