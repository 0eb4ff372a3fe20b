//! What an approval takes: a day that is not past, a content, and nobody left behind; and what the history says of it.

use super::*;
use crate::domain::{DocumentId, document::Content};

fn noon() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn today() -> Date {
    "2026-03-02".parse().unwrap()
}

/// One that waits for its approval, and is to take the place of another number.
fn waiting() -> Document {
    let now = Timestamp::UNIX_EPOCH;
    Document {
        id: DocumentId::new(),
        key: key("SOP-1"),
        title: "Cleaning".into(),
        document_type: "SOP".into(),
        status: DocumentStatus::UnderApproval,
        author: "ann".into(),
        reviewer: "rex".into(),
        approver: "pat".into(),
        effective_date: None,
        activated_at: None,
        obsolescence_date: None,
        retired_at: None,
        supersedes: Some(key("OLD-7")),
        depends_on: Vec::new(),
        content: None,
        backdated_reason: String::new(),
        supersedes_nothing: String::new(),
        created_at: now,
        updated_at: now,
        status_at: now,
        revision: 6,
    }
}

fn key(number: &str) -> Key {
    Key {
        number: number.parse().unwrap(),
        version: Version::FIRST,
    }
}

/// Parts of an approval that are not the same each time.
#[derive(Default)]
struct Asked<'a> {
    day: &'a str,
    backdated: &'a str,
    without_content: bool,
    strand: &'a str,
}

fn approve(asked: &Asked<'_>, facts: &Facts) -> Result<(Document, String)> {
    let verb = Act::Approve {
        effective_date: asked.day.parse().unwrap(),
        comment: "fine".into(),
        backdated_reason: asked.backdated.into(),
        without_content: asked.without_content,
        strand_reason: asked.strand.into(),
    };
    let before = waiting();
    let after = act(&before, &verb, "pat", facts, (today(), noon()))?;
    let said = verb.said(&before, &after, facts);
    Ok((after, said))
}

fn field_of(error: &Error) -> Vec<String> {
    error.wrong().into_iter().map(|wrong| wrong.field).collect()
}

#[test]
fn a_day_that_is_past_takes_a_reason_and_no_other_does() {
    let past = Asked {
        day: "2026-02-27",
        ..Asked::default()
    };
    let refused = approve(&past, &Facts::default()).unwrap_err();
    assert_eq!(field_of(&refused), ["effective_date"]);
    assert!(refused.to_string().contains("--backdated"), "{refused}");
    let meant = Asked {
        backdated: "signed on paper",
        ..past
    };
    let (after, said) = approve(&meant, &Facts::default()).unwrap();
    assert_eq!(after.status, DocumentStatus::Effective);
    assert_eq!(after.effective_date, "2026-02-27".parse().ok());
    assert_eq!(after.activated_at, Some(noon()));
    assert_eq!(after.backdated_reason, "signed on paper");
    assert_eq!(
        said,
        "effective on 2026-02-27, backdated (signed on paper), without a file: fine"
    );
    for day in ["2026-03-02", "2026-03-03"] {
        let refused = approve(&Asked { day, ..meant }, &Facts::default()).unwrap_err();
        assert_eq!(field_of(&refused), ["backdated_reason"], "{day}");
    }
}

#[test]
fn without_a_file_it_takes_a_word_unless_its_type_has_none() {
    let facts = Facts {
        takes_content: true,
        ..Facts::default()
    };
    for day in ["2026-03-02", "2026-03-09"] {
        let asked = Asked {
            day,
            ..Asked::default()
        };
        let refused = approve(&asked, &facts).unwrap_err();
        assert!(
            matches!(&refused, Error::Conflict { reason: Reason::NoContent, message, .. } if message.contains("--without-file")),
            "{refused:?}"
        );
        let meant = Asked {
            without_content: true,
            ..asked
        };
        assert!(approve(&meant, &facts).is_ok());
        assert!(approve(&asked, &Facts::default()).is_ok());
    }
    let mut with = waiting();
    with.content = Some(Content {
        sha256: "0".repeat(64),
        size: 1,
        file_name: String::new(),
    });
    let verb = Act::Approve {
        effective_date: today(),
        comment: String::new(),
        backdated_reason: String::new(),
        without_content: false,
        strand_reason: String::new(),
    };
    assert!(act(&with, &verb, "pat", &facts, (today(), noon())).is_ok());
}

#[test]
fn who_would_be_left_behind_is_named_and_left_only_with_a_reason() {
    let facts = Facts {
        stranded: Dependants {
            count: 3,
            named: vec![key("USER-1"), key("USER-2")],
        },
        ..Facts::default()
    };
    let asked = Asked {
        day: "2026-03-09",
        ..Asked::default()
    };
    let refused = approve(&asked, &facts).unwrap_err().to_string();
    assert!(
        refused.contains("USER-1@1.0, USER-2@1.0, 1 more") && refused.contains("OLD-7@1.0"),
        "{refused}"
    );
    let meant = Asked {
        strand: "they follow",
        ..asked
    };
    let (after, said) = approve(&meant, &facts).unwrap();
    assert!(
        said.contains("leaves USER-1@1.0, USER-2@1.0, 1 more without OLD-7 (they follow)"),
        "{said}"
    );
    // On its day nobody asks again.
    let day = "2026-03-09".parse().unwrap();
    let active = act(&after, &Act::Activate, SYSTEM, &facts, (day, noon())).unwrap();
    let said = Act::Activate.said(&after, &active, &facts);
    assert!(said.contains("without OLD-7"), "{said}");
}

#[test]
fn what_is_in_force_no_more_is_told_and_told_anew_on_its_day() {
    let gone = |status| Facts {
        not_in_force: Some((key("OLD-7"), status)),
        ..Facts::default()
    };
    let asked = Asked {
        day: "2026-03-09",
        ..Asked::default()
    };
    let (after, said) = approve(&asked, &gone(Some(DocumentStatus::Obsolete))).unwrap();
    assert_eq!(after.supersedes_nothing, "OLD-7@1.0 is OBSOLETE");
    assert!(
        said.contains("supersedes nothing: OLD-7@1.0 is OBSOLETE"),
        "{said}"
    );
    let day = "2026-03-09".parse().unwrap();
    let on_its_day = |facts: &Facts| act(&after, &Act::Activate, SYSTEM, facts, (day, noon()));
    let active = on_its_day(&Facts::default()).unwrap();
    assert_eq!(active.supersedes_nothing, "");
    let active = on_its_day(&gone(None)).unwrap();
    assert_eq!(active.supersedes_nothing, "OLD-7@1.0 is there no more");
}

#[test]
fn a_draft_is_corrected_by_its_author_and_the_history_says_how() {
    let draft = Document {
        status: DocumentStatus::Draft,
        ..waiting()
    };
    let correction = Correction {
        title: Some(" Cleaning of vessels ".into()),
        reviewer: Some(String::new()),
        depends_on: Some(vec!["POL-1".parse().unwrap()]),
        ..Correction::default()
    };
    let verb = Act::Update(correction);
    let facts = Facts::default();
    let after = act(&draft, &verb, "ann", &facts, (today(), noon())).unwrap();
    assert_eq!(after.title, "Cleaning of vessels");
    assert_eq!(
        (after.status, after.status_at),
        (draft.status, draft.status_at)
    );
    assert_eq!(
        verb.said(&draft, &after, &facts),
        "title: \"Cleaning\" → \"Cleaning of vessels\"; reviewer: \"rex\" → nothing; depends on: nothing → \"POL-1\""
    );
    let other = act(&draft, &verb, "zoe", &facts, (today(), noon()));
    assert!(matches!(other, Err(Error::Denied(_))), "{other:?}");
    let late = act(&waiting(), &verb, "ann", &facts, (today(), noon()));
    assert!(
        matches!(&late, Err(Error::Conflict { message, .. }) if message.contains("legal now: ")),
        "{late:?}"
    );
    let given_away = Act::Update(Correction {
        author: Some("bob".into()),
        reviewer: Some("Ann".into()),
        ..Correction::default()
    });
    let refused = act(&draft, &given_away, "ann", &facts, (today(), noon())).unwrap_err();
    assert_eq!(field_of(&refused), ["document.reviewer"]);
    let own = Act::Update(Correction {
        approver: Some("ANN".into()),
        ..Correction::default()
    });
    let refused = act(&draft, &own, "ann", &facts, (today(), noon()));
    assert!(refused.is_err(), "{refused:?}");
}
