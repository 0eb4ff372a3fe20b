//! Along which index each page is read.

use super::*;
use crate::{
    domain::document::Version,
    store::plan::{empty_store, plan},
};

/// Of every shape that a filter can have.
fn filters() -> Vec<DocumentFilter> {
    let day: Option<Date> = "2026-03-02".parse().ok();
    let mut filters = Vec::new();
    let numbers = [
        Numbers::All,
        Numbers::One("SOP-1".parse().unwrap()),
        Numbers::Prefix("SOP-".into()),
    ];
    for numbers in numbers {
        for statuses in [
            vec![],
            vec![DocumentStatus::Draft],
            vec![DocumentStatus::Draft, DocumentStatus::Effective],
        ] {
            for document_type in [None, Some("SOP".to_owned())] {
                for effective in [
                    Days::default(),
                    Days {
                        since: day,
                        before: None,
                    },
                    Days {
                        since: day,
                        before: day,
                    },
                ] {
                    for obsolescence in [
                        Days::default(),
                        Days {
                            since: None,
                            before: day,
                        },
                    ] {
                        filters.push(DocumentFilter {
                            statuses: statuses.clone(),
                            numbers: numbers.clone(),
                            document_type: document_type.clone(),
                            effective,
                            obsolescence,
                            ..DocumentFilter::default()
                        });
                    }
                }
            }
        }
    }
    // Each with whose they are to be.
    let of = |author: &str, reviewer: &str, approver: &str| {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        People {
            author: name(author),
            reviewer: name(reviewer),
            approver: name(approver),
        }
    };
    let whose = [
        of("", "", ""),
        of("ann", "", ""),
        of("", "Åsa", ""),
        of("", "", "pat"),
        of("ann", "rex", "Åsa"),
    ];
    let with = |people: &People| {
        filters
            .iter()
            .map(|filter| DocumentFilter {
                people: people.clone(),
                ..filter.clone()
            })
            .collect::<Vec<_>>()
    };
    whose.iter().flat_map(with).collect()
}

#[tokio::test]
async fn sqlite_reads_every_page_along_an_index_and_sorts_nothing_but_the_window() {
    let (_dir, store) = empty_store().await;
    for filter in filters() {
        for source in filter.sources() {
            let key = Key {
                number: "SOP-1".parse().unwrap(),
                version: Version::FIRST,
            };
            let day = source.day().and("2026-03-02".parse().ok());
            for after in [None, Some(ListPlace { day, key })] {
                let selects = [
                    filter.select(store.sql(""), source, after.as_ref(), 51),
                    filter.select_end(store.sql(""), source, after.as_ref()),
                ];
                for select in selects {
                    let text = select.sql.clone();
                    for step in plan(&store, select).await {
                        let reads = step.contains(" documents");
                        assert!(
                            !reads || step.contains(" INDEX documents_"),
                            "{step}: {text}"
                        );
                        let may_sort = filter.is_sparse_in(source) || source == Source::Spelling;
                        assert!(!step.contains("TEMP B-TREE") || may_sort, "{step}: {text}");
                    }
                }
            }
        }
    }
}
