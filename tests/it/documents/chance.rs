//! Random verbs by random people, several at once, and days that pass: whatever they do, the register stays sound.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use watchbell::domain::document::{DocumentStatus, Verb, table::TABLE};
use watchbell_client::{client::Client, pb};

use crate::support::office::{Step, approve, approved, create, does, draft, named};
use crate::support::{Database, Server, Site, on_both};

on_both!(random_people_never_break_the_register);

const PEOPLE: [&str; 5] = ["ann", "rex", "pat", "zoe", "Rex"];
const NUMBERS: [&str; 4] = ["A", "B", "C", "D"];

/// A small generator, so that a run can be repeated by its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn day(&mut self) -> String {
        format!("2026-03-{:02}", 1 + self.below(12))
    }

    /// Mostly a verb that the status allows, or little would move.
    fn step(&mut self, status: pb::DocumentStatus) -> Step {
        use pb::DocumentStatus as Status;
        let text = || "because".to_owned();
        let likely: &[usize] = match status {
            Status::Draft => &[0],
            Status::PendingReview => &[1, 1, 1, 1, 3],
            Status::UnderReview => &[2, 2, 2, 2, 3],
            Status::Reviewed => &[4],
            Status::PendingApproval => &[5, 6, 6, 3],
            Status::UnderApproval => &[6, 6, 6, 6, 3],
            Status::ApprovedPendingEffective => &[7, 8, 9],
            Status::Effective => &[8],
            Status::ScheduledForObsolescence => &[9],
            _ => &[],
        };
        let choice = match self.below(4) {
            0 => self.below(11),
            _ if likely.is_empty() => self.below(11),
            _ => likely[self.below(likely.len())],
        };
        match choice {
            0 => Step::Submit(self.of(&PEOPLE).to_owned()),
            1 => Step::StartReview,
            2 => Step::PassReview(text()),
            3 => Step::Reject(text()),
            4 => Step::RequestApproval(self.of(&PEOPLE).to_owned()),
            5 => Step::StartApproval,
            6 => Step::Approve(self.day()),
            7 => Step::Withdraw(text()),
            8 => Step::ScheduleObsolescence(self.day(), text()),
            9 => Step::CancelObsolescence(text()),
            _ => Step::Terminate(text()),
        }
    }
}

async fn random_people_never_break_the_register(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    for number in NUMBERS {
        create(client, draft(number)).await;
    }
    // So that there is something in force from the beginning.
    approve(client, "A@1.0", "2026-03-01").await;
    approved(client, "E", "2026-03-04").await;
    let mut chance = Chance(0x7761_7463_6862_656c);
    let mut moved = 0;
    for round in 0..80 {
        let documents = all(client).await;
        // Several at once, on the same documents.
        let steps: Vec<_> = (0..8)
            .map(|_| {
                let document = &documents[chance.below(documents.len())];
                let key = document.name.trim_start_matches("documents/").to_owned();
                // Mostly someone who may.
                let who = match document.status() {
                    _ if chance.below(4) == 0 => chance.of(&PEOPLE),
                    pb::DocumentStatus::Draft | pb::DocumentStatus::Reviewed => &document.author,
                    pb::DocumentStatus::PendingReview | pb::DocumentStatus::UnderReview => {
                        &document.reviewer
                    }
                    _ => &document.approver,
                };
                let who = who.to_owned();
                let begins = chance.below(4) == 0;
                let (step, major) = (chance.step(document.status()), chance.below(2) == 0);
                async move {
                    if begins {
                        let next = pb::CreateVersionRequest {
                            name: named(&key),
                            actor: if who.is_empty() {
                                "ann".to_owned()
                            } else {
                                who
                            },
                            major,
                            ..Default::default()
                        };
                        return client.documents().create_version(next).await.is_ok();
                    }
                    does(client, &key, &who, step).await.is_ok()
                }
            })
            .collect();
        moved += join_all(steps)
            .await
            .into_iter()
            .filter(|done| *done)
            .count();
        if round % 5 == 4 {
            server.advance(12 * 3600);
        }
        check(&server).await;
    }
    assert!(
        100 < moved,
        "only {moved} verbs were carried out: the test sees nothing"
    );
    server.stop().await;
}

async fn all(client: &Client) -> Vec<pb::Document> {
    let request = pb::ListDocumentsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let answer = client.documents().list_documents(request).await.unwrap();
    answer.into_inner().documents
}

/// What must hold of every document and its history at any time.
async fn check(server: &Server) {
    let client = &server.client;
    let documents = all(client).await;
    let mut in_force: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for document in &documents {
        if matches!(
            document.status(),
            pb::DocumentStatus::Effective | pb::DocumentStatus::ScheduledForObsolescence
        ) {
            in_force
                .entry(&document.number)
                .or_default()
                .push(&document.name);
        }
        check_history(client, document).await;
    }
    for (number, versions) in in_force {
        assert_eq!(versions.len(), 1, "{number} is in force as {versions:?}");
    }
}

async fn check_history(client: &Client, document: &pb::Document) {
    let request = pb::ListDocumentHistoryRequest {
        name: document.name.clone(),
        page_size: 1000,
        ..Default::default()
    };
    let answer = client
        .documents()
        .list_document_history(request)
        .await
        .unwrap();
    let entries = answer.into_inner().entries;
    let status = |number: i32| {
        let name = pb::DocumentStatus::try_from(number).unwrap().as_str_name();
        let name = name
            .trim_start_matches("DOCUMENT_STATUS_")
            .to_ascii_lowercase();
        DocumentStatus::parse(&name)
    };
    let mut stands = None;
    let mut approved_for = String::new();
    for (index, entry) in entries.iter().rev().enumerate() {
        assert_eq!(
            entry.revision,
            index as i64 + 1,
            "{}: none is missing",
            document.name
        );
        let verb = Verb::parse(&entry.verb).unwrap();
        let (from, to) = (status(entry.from_status), status(entry.to_status).unwrap());
        assert_eq!(from, stands, "{}: {entry:?}", document.name);
        if let Some(from) = from {
            let line = TABLE
                .iter()
                .find(|line| line.verb == verb && line.from.contains(&from));
            assert!(
                line.is_some_and(|line| line.to.contains(&to)),
                "{}: {entry:?}",
                document.name
            );
        }
        stands = Some(to);
        match verb {
            Verb::Approve => {
                let day = entry.comment.trim_start_matches("effective on ");
                approved_for = day.chars().take("2026-03-01".len()).collect();
            }
            Verb::Withdraw => approved_for.clear(),
            _ => {}
        }
    }
    // The list was read before the history: it may have moved on since, but for its day.
    if entries
        .first()
        .is_some_and(|entry| entry.revision == document.revision)
    {
        assert_eq!(stands, status(document.status), "{}", document.name);
        assert_eq!(document.effective_date, approved_for, "{}", document.name);
    }
}
