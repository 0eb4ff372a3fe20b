//! By which indexes spellings are found, and which of several is meant.

use super::*;
use crate::store::plan::{empty_store, plan};

#[tokio::test]
async fn sqlite_finds_spellings_and_twins_by_indexes() {
    let (_dir, store) = empty_store().await;
    for select in [
        spellings(store.sql(""), &["SOP-1", "sop-2"]),
        twins(store.sql("")),
    ] {
        for step in plan(&store, select.done()).await {
            assert!(!step.starts_with("SCAN documents"), "{step}");
            let scans = step.starts_with("SCAN document_numbers");
            assert!(
                !scans || step.contains("INDEX document_numbers_twins"),
                "{step}"
            );
        }
    }
}

#[test]
fn a_spelling_of_its_own_goes_before_the_first_one() {
    let spelling = |spelling: &str, twin| Spelling {
        folded: folded(spelling),
        spelling: spelling.to_owned(),
        twin,
    };
    let known: Spellings = [
        spelling("B-500", 1),
        spelling("b-500", 0),
        spelling("SOP-1", 0),
    ]
    .into_iter()
    .collect();
    for (asked, meant) in [
        ("B-500", Some("B-500")),
        ("b-500", Some("b-500")),
        ("sop-1", Some("SOP-1")),
        ("SOP-2", None),
    ] {
        let found = known.of(&asked.parse().unwrap()).unwrap();
        assert_eq!(found.as_ref().map(Number::as_str), meant, "{asked}");
    }
    let cased: Spellings = [spelling("aB", 1), spelling("Ab", 0)].into_iter().collect();
    let found = cased.of(&"AB".parse().unwrap()).unwrap().unwrap();
    assert_eq!(found.as_str(), "Ab");
}
