//! The lifecycle, line by line and by chance.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::{DocumentId, document::table::TABLE};

fn draft() -> Document {
    let now = Timestamp::UNIX_EPOCH;
    Document {
        id: DocumentId::new(),
        key: "SOP-1"
            .parse()
            .map(|number| Key {
                number,
                version: Version::FIRST,
            })
            .unwrap(),
        title: "Cleaning".into(),
        document_type: "SOP".into(),
        status: DocumentStatus::Draft,
        author: "ann".into(),
        reviewer: String::new(),
        approver: String::new(),
        effective_date: None,
        activated_at: None,
        obsolescence_date: None,
        retired_at: None,
        supersedes: None,
        depends_on: Vec::new(),
        content: None,
        backdated_reason: String::new(),
        supersedes_nothing: String::new(),
        created_at: now,
        updated_at: now,
        status_at: now,
        revision: 1,
    }
}

fn today() -> Date {
    "2026-03-02".parse().unwrap()
}

fn noon() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn does(before: &Document, actor: &str, verb: Act) -> Result<Document> {
    act(before, &verb, actor, &Facts::default(), (today(), noon()))
}

fn approved(day: &str) -> Document {
    let submitted = does(
        &draft(),
        "ann",
        Act::Submit {
            reviewer: "rex".into(),
        },
    )
    .unwrap();
    let reviewed = does(&submitted, "rex", Act::StartReview).unwrap();
    let reviewed = does(
        &reviewed,
        "rex",
        Act::PassReview {
            comment: "good".into(),
        },
    )
    .unwrap();
    let asked = does(
        &reviewed,
        "ann",
        Act::RequestApproval {
            approver: "pat".into(),
        },
    )
    .unwrap();
    does(&asked, "pat", approval(day)).unwrap()
}

/// An approval for a day, with a reason where that is past.
fn approval(day: &str) -> Act {
    let effective_date = day.parse().unwrap();
    let backdated_reason = if effective_date < today() {
        "it was so"
    } else {
        ""
    };
    Act::Approve {
        effective_date,
        comment: String::new(),
        backdated_reason: backdated_reason.to_owned(),
        without_content: false,
        strand_reason: String::new(),
    }
}

#[test]
fn a_document_of_today_is_effective_at_once_and_a_later_one_on_its_day() {
    let now = approved("2026-03-02");
    assert_eq!(
        (now.status, now.activated_at),
        (DocumentStatus::Effective, Some(noon()))
    );
    let later = approved("2026-03-03");
    assert_eq!(later.status, DocumentStatus::ApprovedPendingEffective);
    assert_eq!(later.activated_at, None);
    let early = does(&later, SYSTEM, Act::Activate).unwrap_err().to_string();
    assert!(early.contains("2026-03-03"), "{early}");
    let day: Date = "2026-03-05".parse().unwrap();
    let at = noon() + SignedDuration::from_hours(72);
    let active = act(&later, &Act::Activate, SYSTEM, &Facts::default(), (day, at)).unwrap();
    assert_eq!(active.activated_at, Some(at));
    assert_eq!(
        active.effective_date,
        "2026-03-03".parse().ok(),
        "as approved, though it came late"
    );
}

#[test]
fn nobody_reviews_or_approves_their_own() {
    let refused = does(
        &draft(),
        "ann",
        Act::Submit {
            reviewer: "ANN".into(),
        },
    );
    assert!(
        matches!(refused, Err(Error::Denied(_) | Error::Invalid { .. })),
        "{refused:?}"
    );
    let submitted = does(
        &draft(),
        "ann",
        Act::Submit {
            reviewer: "rex".into(),
        },
    )
    .unwrap();
    let refused = does(&submitted, "ann", Act::StartReview);
    assert!(matches!(refused, Err(Error::Denied(_))), "{refused:?}");
    let reviewed = does(&submitted, "rex", Act::StartReview).unwrap();
    let reviewed = does(
        &reviewed,
        "rex",
        Act::PassReview {
            comment: "good".into(),
        },
    )
    .unwrap();
    let refused = does(
        &reviewed,
        "ann",
        Act::RequestApproval {
            approver: "Rex".into(),
        },
    );
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("approver") && refused.contains("reviewer"),
        "{refused}"
    );
}

#[test]
fn an_illegal_move_names_the_legal_ones() {
    let Err(Error::Conflict {
        reason, message, ..
    }) = does(&draft(), "ann", Act::StartReview)
    else {
        panic!("it must be refused");
    };
    assert_eq!(reason, Reason::IllegalTransition);
    assert!(
        message.contains("legal now: submit, terminate"),
        "{message}"
    );
}

#[test]
fn what_others_depend_on_is_not_retired() {
    let effective = approved("2026-03-01");
    let plan = Act::ScheduleObsolescence {
        obsolescence_date: "2026-04-01".parse().unwrap(),
        reason: "replaced".into(),
    };
    let facts = Facts {
        dependants: Dependants {
            count: 1,
            named: vec![draft().key],
        },
        ..Facts::default()
    };
    let refused = act(&effective, &plan, "pat", &facts, (today(), noon()));
    assert!(
        matches!(
            refused,
            Err(Error::Conflict {
                reason: Reason::HasDependants,
                ..
            })
        ),
        "{refused:?}"
    );
    let scheduled = does(&effective, "pat", plan).unwrap();
    let day = "2026-04-01".parse().unwrap();
    let refused = act(&scheduled, &Act::Retire, SYSTEM, &facts, (day, noon()));
    assert!(
        matches!(
            refused,
            Err(Error::Conflict {
                reason: Reason::HasDependants,
                ..
            })
        ),
        "{refused:?}"
    );
    let gone = act(
        &scheduled,
        &Act::Retire,
        SYSTEM,
        &Facts::default(),
        (day, noon()),
    )
    .unwrap();
    assert_eq!(
        (gone.status, gone.retired_at),
        (DocumentStatus::Obsolete, Some(noon()))
    );
}

#[test]
fn an_older_version_takes_no_newer_ones_place() {
    let pending = approved("2026-03-03");
    let facts = Facts {
        in_force: Some(Version { major: 1, minor: 1 }),
        ..Facts::default()
    };
    let day = "2026-03-03".parse().unwrap();
    let refused = act(&pending, &Act::Activate, SYSTEM, &facts, (day, noon()));
    assert!(
        matches!(
            refused,
            Err(Error::Conflict {
                reason: Reason::NewerInForce,
                ..
            })
        ),
        "{refused:?}"
    );
}

fn acts() -> impl Strategy<Value = Act> {
    let person = || prop::sample::select(vec!["", "ann", "rex", "pat", "Rex", "zoe"]);
    let text = || prop::sample::select(vec!["", "because", "a\nb"]);
    let day = || (1_i8..28).prop_map(|day| Date::new(2026, 3, day).unwrap());
    prop_oneof![
        person().prop_map(|name| Act::Submit {
            reviewer: name.into()
        }),
        Just(Act::StartReview),
        text().prop_map(|text| Act::PassReview {
            comment: text.into()
        }),
        text().prop_map(|text| Act::Reject {
            comment: text.into()
        }),
        person().prop_map(|name| Act::RequestApproval {
            approver: name.into()
        }),
        Just(Act::StartApproval),
        (day(), text(), text()).prop_map(|(day, text, backdated)| Act::Approve {
            effective_date: day,
            comment: text.into(),
            backdated_reason: backdated.into(),
            without_content: false,
            strand_reason: String::new(),
        }),
        (person(), person()).prop_map(|(reviewer, approver)| Act::Update(Correction {
            reviewer: Some(reviewer.into()),
            approver: Some(approver.into()),
            ..Correction::default()
        })),
        Just(Act::Activate),
        text().prop_map(|text| Act::Withdraw {
            comment: text.into()
        }),
        (day(), text()).prop_map(|(day, text)| Act::ScheduleObsolescence {
            obsolescence_date: day,
            reason: text.into()
        }),
        text().prop_map(|text| Act::CancelObsolescence {
            reason: text.into()
        }),
        Just(Act::Retire),
        Just(Act::Supersede { by: draft().key }),
        text().prop_map(|text| Act::Terminate {
            reason: text.into()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn random_verbs_by_random_people_keep_to_the_table(
        steps in prop::collection::vec((acts(), prop::sample::select(vec!["ann", "rex", "pat", "zoe", "Pat"]), 0_i8..3), 1..60)
    ) {
        let mut document = draft();
        let mut day = today();
        for (verb, actor, days) in steps {
            day = day.saturating_add(jiff::Span::new().days(days));
            let Ok(after) = act(&document, &verb, actor, &Facts::default(), (day, noon())) else { continue };
            let line = TABLE.iter().find(|line| line.verb == verb.verb() && line.from.contains(&document.status));
            prop_assert!(line.is_some_and(|line| line.to.contains(&after.status)), "{verb:?} from {}", document.status);
            prop_assert_eq!(after.revision, document.revision + 1);
            prop_assert!(!same_person(&after.author, &after.reviewer));
            prop_assert!(!same_person(&after.author, &after.approver));
            prop_assert!(after.approver.is_empty() || !same_person(&after.reviewer, &after.approver));
            // The approved day is set by an approval, taken back by a withdrawal, and else stays.
            let may_change = matches!(verb, Act::Approve { .. } | Act::Withdraw { .. });
            prop_assert!(may_change || after.effective_date == document.effective_date);
            if after.status == DocumentStatus::Effective {
                prop_assert!(after.effective_date.is_some_and(|effective| effective <= day));
                prop_assert!(after.activated_at.is_some());
            }
            document = after;
        }
    }
}
