//! `process-document-effective-dates` and `process-document-obsoletion-dates`: documents become effective, and
//! obsolete, on their day.
//!
//! Each portion is one write. A document that cannot be moved hinders no other: where the database refuses a
//! portion, each of it is tried alone.

use serde::Deserialize;

use super::Env;
use crate::{
    domain::document::Key,
    engine::{Done, Failure, Kind, RunContext},
    error::Error,
    records::{Documents, EFFECTIVE_TASK, Moved, OBSOLESCENCE_TASK, changed_meanwhile, is_its_own},
    store::{Due, DueDocument},
};

/// Documents of one write.
const PORTION: u64 = 250;
/// Failures that the log tells, and that the message names.
const LOGGED: usize = 1000;
const NAMED: usize = 5;
/// A write that another was quicker than is tried again so often.
const ATTEMPTS: u32 = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EffectiveDates {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObsolescenceDates {}

impl Kind for EffectiveDates {
    const NAME: &'static str = EFFECTIVE_TASK;
    const ABOUT: &'static str =
        "Approved documents whose day has come become effective, and what they replace superseded";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        process(&env, &context, Due::Effective).await
    }
}

impl Kind for ObsolescenceDates {
    const NAME: &'static str = OBSOLESCENCE_TASK;
    const ABOUT: &'static str =
        "Documents scheduled for obsolescence whose day has come become obsolete";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        process(&env, &context, Due::Obsolete).await
    }
}

/// What a run has come to so far.
#[derive(Debug, Default)]
struct Tally {
    moved: usize,
    superseded: usize,
    failed: Vec<(DueDocument, String)>,
}

impl Tally {
    fn add(&mut self, part: Moved) {
        self.moved += part.moved.len();
        self.superseded += part.superseded;
        self.failed.extend(part.failed);
    }
}

async fn process(env: &Env, context: &RunContext, due: Due) -> Result<Done, Failure> {
    let documents = env.documents()?;
    let total = documents.due_count(due).await?;
    let mut tally = Tally::default();
    let mut after: Option<DueDocument> = None;
    let mut seen = 0_i64;
    loop {
        let portion = documents.due(due, after.as_ref(), PORTION).await?;
        if portion.is_empty() {
            break;
        }
        tally.add(portion_moved(documents, context, due, &portion).await?);
        seen += portion.len() as i64;
        context.progress(seen, total.max(seen), "");
        after = portion.into_iter().next_back();
    }
    retry_failed(documents, context, due, &mut tally).await?;
    for (document, reason) in tally.failed.iter().take(LOGGED) {
        context.log(format!("{}: {reason}", document.known.key));
    }
    conclude(context, due, &tally)
}

/// What could not be moved, as others depended on it, may be now that they are gone.
async fn retry_failed(
    documents: &Documents,
    context: &RunContext,
    due: Due,
    tally: &mut Tally,
) -> Result<(), Failure> {
    // In a dry run nothing is gone.
    while due == Due::Obsolete && !context.dry_run && !tally.failed.is_empty() && 0 < tally.moved {
        let before = tally.moved;
        let again: Vec<DueDocument> = std::mem::take(&mut tally.failed)
            .into_iter()
            .map(|(document, _)| document)
            .collect();
        for portion in again.chunks(PORTION as usize) {
            tally.add(portion_moved(documents, context, due, portion).await?);
        }
        if tally.moved == before {
            break;
        }
    }
    Ok(())
}

async fn portion_moved(
    documents: &Documents,
    context: &RunContext,
    due: Due,
    portion: &[DueDocument],
) -> Result<Moved, Failure> {
    if context.cancel.is_cancelled() {
        return Err(
            anyhow::anyhow!("stopped: what was moved stays, the rest is for the next run").into(),
        );
    }
    match moved(documents, context, due, portion).await {
        Err(error) if is_its_own(&error) => {}
        moved => return Ok(moved?),
    }
    // One of them is refused by the database, and with it all: each for itself, then.
    let mut all = Moved::default();
    for document in portion {
        match moved(documents, context, due, std::slice::from_ref(document)).await {
            Ok(part) => {
                all.moved.extend(part.moved);
                all.superseded += part.superseded;
                all.failed.extend(part.failed);
            }
            Err(error) if is_its_own(&error) => {
                all.failed.push((document.clone(), error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

async fn moved(
    documents: &Documents,
    context: &RunContext,
    due: Due,
    portion: &[DueDocument],
) -> Result<Moved, Error> {
    let run = format!("tasks/{}/runs/{}", context.task, context.run);
    let mut attempt = 1;
    loop {
        let tx = context.begin().await?;
        match documents
            .move_due(tx, due, portion, &run, context.dry_run)
            .await
        {
            Err(error) if changed_meanwhile(&error) && attempt < ATTEMPTS => attempt += 1,
            moved => return moved,
        }
    }
}

fn conclude(context: &RunContext, due: Due, tally: &Tally) -> Result<Done, Failure> {
    let (counter, became) = match due {
        Due::Effective => ("documents_activated", "effective"),
        Due::Obsolete => ("documents_retired", "obsolete"),
    };
    let verb = if context.dry_run {
        "would become"
    } else {
        "became"
    };
    let mut message = format!("{} {verb} {became}", plural(tally.moved));
    if 0 < tally.superseded {
        message.push_str(&format!(", {} {verb} superseded", tally.superseded));
    }
    if !tally.failed.is_empty() {
        message.push_str(&format!(
            "; {} could not: {}",
            tally.failed.len(),
            named(&tally.failed)
        ));
    }
    let done = match (tally.moved, tally.failed.len()) {
        (0, 0) => Done::nothing_to_do(format!("no document is due to become {became}")),
        (0, _) => {
            return Err(anyhow::anyhow!(
                "{}: {}",
                plural_failed(tally.failed.len(), became),
                named(&tally.failed)
            )
            .into());
        }
        (_, 0) => Done::worked(message),
        _ => Done::partial(message),
    };
    Ok(done
        .count(counter, tally.moved as i64)
        .count("documents_superseded", tally.superseded as i64)
        .count("documents_failed", tally.failed.len() as i64))
}

fn plural(count: usize) -> String {
    match count {
        1 => "1 document".to_owned(),
        count => format!("{count} documents"),
    }
}

fn plural_failed(count: usize, became: &str) -> String {
    match count {
        1 => format!("the one document that is due could not become {became}"),
        count => format!("none of {count} documents that are due could become {became}"),
    }
}

/// The first of them, with their reasons; the log has the others.
fn named(failed: &[(DueDocument, String)]) -> String {
    let mut names: Vec<String> = failed
        .iter()
        .take(NAMED)
        .map(|(document, reason)| with_reason(&document.known.key, reason))
        .collect();
    if NAMED < failed.len() {
        names.push(format!("and {} more, in the log", failed.len() - NAMED));
    }
    names.join("; ")
}

/// A reason mostly begins with what it is about.
fn with_reason(key: &Key, reason: &str) -> String {
    if reason.contains(&key.to_string()) {
        return reason.to_owned();
    }
    format!("{key}: {reason}")
}
