//! Rows by chance, beside a plain reading of the rules that looks at everything again until nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::document::row::{RawRow, Reading, Row};

const NUMBERS: [&str; 4] = ["A", "B", "C", "D"];
/// In the register, and nothing that refers to a row.
const REGISTERED: &str = "R";

fn reference() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec!["A", "B", "C", "D", REGISTERED, "NOPE"]);
    (number, 0..4_i32).prop_map(|(number, version)| match version {
        0 => number.to_owned(),
        version => format!("{number}@{version}.0"),
    })
}

fn raw_row() -> impl Strategy<Value = RawRow> {
    let status = prop::sample::select(vec!["DRAFT", "DRAFT", "EFFECTIVE", "OBSOLETE"]);
    let supersedes = prop::option::weighted(0.4, reference());
    let on = prop::sample::select(vec!["A", "B", "C", "D", REGISTERED, "NOPE"]);
    let depends_on = prop::collection::btree_set(on, 0..3);
    let is_bad = prop::bool::weighted(0.1);
    (
        0..NUMBERS.len(),
        1..4_i32,
        status,
        supersedes,
        depends_on,
        is_bad,
    )
        .prop_map(
            |(number, version, status, supersedes, depends_on, is_bad)| {
                let number = NUMBERS[number];
                let on: Vec<&str> = depends_on.into_iter().filter(|on| *on != number).collect();
                RawRow {
                    number: number.to_owned(),
                    title: if is_bad { "" } else { "A title" }.to_owned(),
                    version_major: version.to_string(),
                    status: status.to_owned(),
                    supersedes: supersedes.unwrap_or_default(),
                    depends_on: on.join(";"),
                    ..RawRow::default()
                }
            },
        )
}

/// Rows of an import; where one is none, it is bad by itself.
fn index_of(rows: &[RawRow], reading: &Reading) -> Index {
    let mut index = Index::default();
    index.names.id(REGISTERED);
    for raw in rows {
        let key = raw.key().unwrap();
        match raw.read(key.clone(), reading) {
            Ok(row) => index.add(&row, false, 0).unwrap(),
            Err(_) => index.add_bad(raw.line, &key, 0),
        }
    }
    index.end_at(0);
    index.register(&[], vec![crate::store::VersionOf::first(REGISTERED)]);
    index.spell();
    index.sort();
    index.sort_registered();
    index
}

/// What is kept, by the rules as they are told to people.
fn kept(rows: &[RawRow], reading: &Reading) -> Vec<bool> {
    let keys: Vec<_> = rows.iter().map(|raw| raw.key().unwrap()).collect();
    let read: Vec<Option<Row>> = (0..rows.len())
        .map(|at| rows[at].read(keys[at].clone(), reading).ok())
        .collect();
    let is_first = |at: usize| !keys[..at].contains(&keys[at]);
    let mut good: Vec<bool> = (0..rows.len())
        .map(|at| read[at].is_some() && is_first(at))
        .collect();
    let in_force = |at: usize| {
        read[at]
            .as_ref()
            .is_some_and(|row| row.status.is_in_force())
    };
    let sound = good.clone();
    for at in 0..rows.len() {
        let rival = |other: usize| {
            other != at && sound[other] && in_force(other) && keys[other].number == keys[at].number
        };
        good[at] &= !(in_force(at) && (0..rows.len()).any(rival));
    }
    // What each supersedes: none, the register's, or the first row of a key. An error where it is nowhere.
    let superseded = |at: usize| -> Result<Option<usize>, ()> {
        let Some(row) = &read[at] else {
            return Ok(None);
        };
        let (number, version) = match &row.supersedes {
            None => (row.key.number.clone(), None),
            Some(named) => (named.number.clone(), named.version),
        };
        if number.as_str() == REGISTERED {
            let known = version.is_none_or(|version| version == Version::FIRST);
            return if known { Ok(None) } else { Err(()) };
        }
        let own = number == row.key.number;
        let fits = |key: &crate::domain::document::Key| {
            key.number == number
                && (!own || key.version < row.key.version)
                && version.is_none_or(|version| version == key.version)
        };
        let newest = keys.iter().filter(|key| fits(key)).max();
        match newest {
            Some(newest) => Ok(keys.iter().position(|key| key == newest)),
            None if row.supersedes.is_none() => Ok(None),
            None => Err(()),
        }
    };
    for (at, good) in good.iter_mut().enumerate() {
        *good &= superseded(at).is_ok();
    }
    let depends_on = |at: usize| read[at].iter().flat_map(|row| &row.depends_on);
    loop {
        let before = good.clone();
        loop {
            let before = good.clone();
            for (at, good) in good.iter_mut().enumerate() {
                let over = superseded(at).unwrap_or(None);
                let stands = |number: &crate::domain::document::Number| {
                    let row = (0..rows.len()).any(|row| before[row] && keys[row].number == *number);
                    row || number.as_str() == REGISTERED
                };
                *good &= over.is_none_or(|over| before[over]) && depends_on(at).all(stands);
            }
            if good == before {
                break;
            }
        }
        let spread = good.clone();
        for at in (0..rows.len()).filter(|at| spread[*at]) {
            let mut over = superseded(at).unwrap_or(None);
            for _ in 0..rows.len() {
                let Some(other) = over.filter(|other| *other != at) else {
                    break;
                };
                over = superseded(other).unwrap_or(None);
            }
            good[at] &= over != Some(at);
        }
        // What is not kept for that, and what refers to it, closes no circle of dependence.
        if good != spread {
            continue;
        }
        let is_final = |at: usize| read[at].as_ref().is_some_and(|row| row.status.is_final());
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for at in (0..rows.len()).filter(|at| good[*at] && !is_final(*at)) {
            let on = depends_on(at).map(|number| number.as_str());
            edges
                .entry(keys[at].number.as_str())
                .or_default()
                .extend(on);
        }
        let reaches = |from: &str, to: &str| {
            let mut seen = BTreeSet::from([from]);
            while let Some(next) = seen
                .iter()
                .flat_map(|at| edges.get(at).into_iter().flatten())
                .find(|next| !seen.contains(*next))
            {
                seen.insert(*next);
            }
            seen.contains(to)
        };
        let stood = good.clone();
        for at in (0..rows.len()).filter(|at| stood[*at]) {
            let number = keys[at].number.as_str();
            let circle = !is_final(at) && depends_on(at).any(|on| reaches(on.as_str(), number));
            good[at] &= !circle;
        }
        if good == before {
            return good;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rows_by_chance_are_kept_as_the_rules_say(rows in prop::collection::vec(raw_row(), 1..9)) {
        let reading = Reading { actor: "ann".to_owned(), today: "2026-03-02".parse().unwrap(), day_form: None };
        let mut index = index_of(&rows, &reading);
        index.check_in_force();
        index.relate();
        index.spread();
        index.check_supersession();
        index.spread();
        index.check_dependence(&[]);
        index.spread();
        let found: Vec<bool> = (0..index.len()).map(|place| index.is_new(place)).collect();
        prop_assert_eq!(found, kept(&rows, &reading));
    }
}
