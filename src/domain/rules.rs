//! Which rules of time zones a server has: what it tells of them, and how two differ.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// Zones told of; of one that has more, the first by name.
const ZONES_AT_MOST: usize = 200;
/// Zones named in a message.
const NAMED: usize = 3;

/// The tz database of a server, as far as it uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRules {
    pub version: String,
    /// What tells the rules of a zone from others, of those in use.
    #[serde(default)]
    pub zones: BTreeMap<String, u32>,
}

impl ZoneRules {
    pub fn new(version: &str, zones: BTreeMap<String, u32>) -> Self {
        Self {
            version: version.to_owned(),
            zones: zones.into_iter().take(ZONES_AT_MOST).collect(),
        }
    }

    /// Reads what a server tells; none where it does not.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The zones that both use, by other rules.
    pub fn zones_unlike(&self, other: &Self) -> Vec<&str> {
        let is_unlike = |(name, digest): (&String, &u32)| {
            other.zones.get(name).is_some_and(|theirs| theirs != digest)
        };
        let zones = self.zones.iter();
        let unlike = zones.filter(|zone| is_unlike(*zone));
        unlike.map(|(name, _)| name.as_str()).collect()
    }

    pub fn is_unlike(&self, other: &Self) -> bool {
        self.version != other.version || !self.zones_unlike(other).is_empty()
    }

    /// How these differ from others, in words; none where they do not.
    pub fn told_beside(&self, other: &Self) -> Option<String> {
        if !self.is_unlike(other) {
            return None;
        }
        let zones = self.zones_unlike(other);
        let versions = format!(
            "tz database {}, where another server has {}",
            self.version, other.version
        );
        Some(match zones.len() {
            0 => format!("{versions}; no zone that both use differs"),
            some => {
                let named = zones.iter().take(NAMED).copied().collect::<Vec<_>>();
                let more = if NAMED < some { " and others" } else { "" };
                format!("{versions}; {}{more} differ", named.join(", "))
            }
        })
    }

    /// Which of two is newer, as far as they tell; one order for all, so that of servers that differ one alone plans
    /// anew.
    pub fn order(&self, other: &Self) -> Ordering {
        rank(&self.version)
            .cmp(&rank(&other.version))
            .then_with(|| self.zones.cmp(&other.zones))
    }
}

/// A version of the system's says how old it is; one that is not told, and the one that is built in, do not.
fn rank(version: &str) -> (u8, &str) {
    let class = match version.as_bytes().first() {
        Some(first) if first.is_ascii_digit() => 2,
        _ if version.starts_with("unknown") => 1,
        _ => 0,
    };
    (class, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(version: &str, zones: &[(&str, u32)]) -> ZoneRules {
        let zones = zones
            .iter()
            .map(|(name, digest)| ((*name).to_owned(), *digest));
        ZoneRules::new(version, zones.collect())
    }

    #[test]
    fn rules_differ_by_version_and_by_zones_that_both_use() {
        let own = rules("2099b", &[("Europe/Berlin", 1), ("Europe/Paris", 2)]);
        assert_eq!(own.told_beside(&rules("2099b", &[("Asia/Tokyo", 9)])), None);
        let told = own.told_beside(&rules("2099a", &[("Europe/Paris", 3)]));
        assert!(told.unwrap().ends_with("Europe/Paris differ"));
        let told = own.told_beside(&rules("2099a", &[("Europe/Paris", 2)]));
        assert!(told.unwrap().ends_with("no zone that both use differs"));
        let same_name = rules("2099b", &[("Europe/Berlin", 7)]);
        assert!(own.is_unlike(&same_name));
    }

    #[test]
    fn a_version_that_is_told_is_newer_than_one_that_is_not() {
        let sorted = ["bundled", "unknown (system)", "2099a", "2099b"];
        for pair in sorted.windows(2) {
            let [older, newer] = pair else { unreachable!() };
            assert_eq!(rules(older, &[]).order(&rules(newer, &[])), Ordering::Less);
        }
    }
}
