//! Documents that depend on what is no more.

use std::collections::BTreeMap;

use crate::{
    domain::{
        document::Key,
        problem::{Problem, ProblemKind},
    },
    error::Result,
    records::Documents,
    store::Stranded,
};

/// What depends on dead numbers, so much of which is told, each by itself.
const SHOWN: u64 = 100;

/// What is wrong with what documents depend on.
pub(super) async fn stranded(documents: &Documents) -> Result<Vec<Problem>> {
    let (count, found) = documents.store().documents_stranded(SHOWN).await?;
    Ok(problems(count, &found))
}

/// One for each of them, and one for how many more there are.
fn problems(count: i64, stranded: &[Stranded]) -> Vec<Problem> {
    let mut of: BTreeMap<&Key, Vec<&Stranded>> = BTreeMap::new();
    for one in stranded {
        of.entry(&one.key).or_default().push(one);
    }
    let tell = |(key, on): (&Key, Vec<&Stranded>)| {
        let numbers: Vec<&str> = on.iter().map(|one| one.on.as_str()).collect();
        let of_which = match numbers.len() {
            1 => "of which",
            _ => "of each of which",
        };
        let message = format!(
            "it depends on {}, {of_which} every version is final",
            numbers.join(", ")
        );
        let since = on.iter().map(|one| one.since).min()?;
        let subject = key.resource_name();
        Some(Problem::new(
            ProblemKind::DocumentDependsOnDead,
            subject,
            message,
            since,
        ))
    };
    let mut told: Vec<Problem> = of.into_iter().filter_map(tell).collect();
    let shown = i64::try_from(stranded.len()).unwrap_or(i64::MAX);
    let more = count.saturating_sub(shown);
    if let Some(last) = stranded.last().filter(|_| 0 < more) {
        let message = format!("{more} more depend on numbers of which every version is final");
        told.push(Problem::new(
            ProblemKind::DocumentDependsOnDead,
            "documents",
            message,
            last.since,
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::document::Version;

    fn one(number: &str, on: &str) -> Stranded {
        Stranded {
            key: Key {
                number: number.parse().unwrap(),
                version: Version::FIRST,
            },
            on: on.parse().unwrap(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_is_told_once_with_all_that_it_lacks_and_how_many_more_there_are() {
        let found = [one("A", "X"), one("A", "Y"), one("B", "X")];
        let all = problems(3, &found);
        let told: Vec<(&str, &str)> = all
            .iter()
            .map(|problem| (problem.subject.as_str(), problem.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "documents/A@1.0",
                    "it depends on X, Y, of each of which every version is final"
                ),
                (
                    "documents/B@1.0",
                    "it depends on X, of which every version is final"
                ),
            ]
        );
        let all = problems(10, &found);
        assert_eq!(all.len(), 3);
        assert!(all[2].message.starts_with("7 more"), "{all:?}");
        assert!(problems(0, &[]).is_empty());
    }
}
