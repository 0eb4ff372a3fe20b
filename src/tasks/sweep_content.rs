//! `sweep-content`: removes contents that no document holds once their grace is over, and uploads that nobody went
//! on with.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Env;
use crate::{
    engine::{Done, Failure, Kind, RunContext},
    records::{Documents, Orphan, Removed},
    store::StoredContent,
};

/// Rows that are looked at together, and contents that go in one write.
const LOOKED_AT: u64 = 1000;
const PORTION: usize = 100;
/// Failures that the log tells.
const LOGGED: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepContent {}

/// What a run has come to so far.
#[derive(Debug, Default)]
struct Tally {
    contents: Removed,
    uploads: Removed,
    adopted: usize,
}

impl Kind for SweepContent {
    const NAME: &'static str = "sweep-content";
    const ABOUT: &'static str =
        "Removes contents that no document has held for a while, and uploads that broke off";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let documents = env.documents()?;
        let mut tally = Tally::default();
        adopt(documents, &context, &mut tally).await?;
        sweep(documents, &context, &mut tally).await?;
        tally.uploads = documents.remove_leftovers(context.dry_run).await?;
        conclude(&context, &tally)
    }
}

/// Gives rows to contents that have none, so that they are swept like all others once they are old.
async fn adopt(
    documents: &Documents,
    context: &RunContext,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let shelves = documents.content_shelves().await?;
    for (done, shelf) in shelves.iter().enumerate() {
        go_on(context)?;
        context.progress(done as i64, shelves.len() as i64, "looking at the disk");
        let orphans = documents.content_orphans(shelf).await?;
        tally.adopted += orphans.len();
        if context.dry_run {
            count_orphans(documents, context, &orphans, tally).await?;
            continue;
        }
        for portion in orphans.chunks(LOOKED_AT as usize) {
            let mut tx = context.begin().await?;
            tx.contents_adopt(portion.to_vec()).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// What would go of those that have no row.
async fn count_orphans(
    documents: &Documents,
    context: &RunContext,
    orphans: &[Orphan],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let since = documents.contents_kept_since();
    let old = orphans.iter().filter(|orphan| orphan.touched_at < since);
    let sha256s: Vec<String> = old.map(|orphan| orphan.sha256.clone()).collect();
    let held = context.store().contents_held(&sha256s).await?;
    let held: BTreeSet<String> = held.into_iter().collect();
    for orphan in orphans {
        if orphan.touched_at < since && !held.contains(&orphan.sha256) {
            tally.contents.add(would_go(orphan));
        }
    }
    Ok(())
}

async fn sweep(
    documents: &Documents,
    context: &RunContext,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let since = documents.contents_kept_since();
    let mut after: Option<StoredContent> = None;
    loop {
        go_on(context)?;
        let store = context.store();
        let looked = store
            .contents_older(since, after.as_ref(), LOOKED_AT)
            .await?;
        let Some((last, _)) = looked.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        let unused = looked.into_iter().filter(|(_, held)| !held);
        let unused: Vec<StoredContent> = unused.map(|(content, _)| content).collect();
        for portion in unused.chunks(PORTION) {
            go_on(context)?;
            if context.dry_run {
                for content in portion {
                    tally.contents.add(would_go(content));
                }
                continue;
            }
            let sha256s: Vec<String> = portion
                .iter()
                .map(|content| content.sha256.clone())
                .collect();
            // Three steps, so that no transaction waits for the disk.
            let mut tx = context.begin().await?;
            let leaving = tx.contents_leave(&sha256s, since).await?;
            tx.commit().await?;
            let taken = documents.take_contents_away(leaving).await?;
            let mut tx = context.begin().await?;
            let forgotten = tx.contents_forget(&taken.sha256s).await?;
            tx.commit().await?;
            let removed = documents.remove_taken(taken, forgotten).await?;
            tally.contents.add(removed);
            context.progress(tally.contents.count as i64, 0, "removing contents");
        }
    }
}

fn conclude(context: &RunContext, tally: &Tally) -> Result<Done, Failure> {
    let Tally {
        contents,
        uploads,
        adopted,
    } = tally;
    let failed: Vec<&String> = contents.failed.iter().chain(&uploads.failed).collect();
    for what in failed.iter().take(LOGGED) {
        context.log(what);
    }
    let bytes = contents.bytes + uploads.bytes;
    let verb = if context.dry_run {
        "would go"
    } else {
        "are gone"
    };
    let mut message = format!(
        "{} contents and {} uploads {verb}, {bytes} bytes",
        contents.count, uploads.count
    );
    if let Some(first) = failed.first() {
        message.push_str(&format!("; {} could not be: {first}", failed.len()));
    }
    let done = match (contents.count + uploads.count, failed.len()) {
        (0, 0) => Done::nothing_to_do("no content has been unused for long enough"),
        (0, _) => return Err(anyhow::anyhow!(message).into()),
        (_, 0) => Done::worked(message),
        _ => Done::partial(message),
    };
    Ok(done
        .count("contents_removed", contents.count)
        .count("uploads_removed", uploads.count)
        .count("bytes_freed", bytes)
        .count("contents_found", *adopted as i64)
        .count("failures", failed.len() as i64))
}

fn would_go(content: &StoredContent) -> Removed {
    Removed {
        count: 1,
        bytes: content.size.unsigned_abs(),
        failed: Vec::new(),
    }
}

fn go_on(context: &RunContext) -> Result<(), Failure> {
    if context.cancel.is_cancelled() {
        return Err(anyhow::anyhow!("stopped before all was looked at").into());
    }
    Ok(())
}
