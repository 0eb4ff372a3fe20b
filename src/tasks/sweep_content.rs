//! `sweep-content`: removes contents that no document holds once their grace is over, and uploads that nobody went
//! on with.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use tracing::warn;

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
        if !context.dry_run {
            // Whoever wants a content that leaves is refused until it is gone: so what a sweep before this one has left
            // behind comes first.
            clear_up(documents, &context, &mut tally).await?;
            sweep(documents, &context, &mut tally, StoredContent::LONG_AGO).await?;
        }
        adopt(documents, &context, &mut tally).await?;
        let since = documents.contents_kept_since();
        sweep(documents, &context, &mut tally, since).await?;
        tally.uploads = documents.remove_leftovers(context.dry_run).await?;
        conclude(&context, &tally)
    }
}

/// Removes what a sweep that broke off had taken out of its place, and puts back what is held by now.
async fn clear_up(
    documents: &Documents,
    context: &RunContext,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let taken = documents.contents_taken_away().await?;
    if taken.is_empty() {
        return Ok(());
    }
    let mut tx = context.begin().await?;
    let forgotten = tx.contents_forget_taken(taken.contents()).await?;
    tx.commit().await?;
    tally
        .contents
        .add(documents.remove_taken(taken, forgotten).await?);
    Ok(())
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

/// Removes what was not touched since then and no document holds.
async fn sweep(
    documents: &Documents,
    context: &RunContext,
    tally: &mut Tally,
    since: Timestamp,
) -> Result<(), Failure> {
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
            let sha256s = hashes(portion);
            // Three steps, so that no transaction waits for the disk.
            let mut tx = context.begin().await?;
            let leaving = tx.contents_leave(&sha256s, since).await?;
            tx.commit().await?;
            let removed = take_away(documents, context, leaving).await?;
            tally.contents.add(removed);
            context.progress(tally.contents.count as i64, 0, "removing contents");
        }
    }
}

/// Removes contents that leave; where that does not come to its end, they stay.
async fn take_away(
    documents: &Documents,
    context: &RunContext,
    leaving: Vec<StoredContent>,
) -> Result<Removed, Failure> {
    let sha256s = hashes(&leaving);
    let taken = match documents.take_contents_away(leaving).await {
        Ok(taken) => taken,
        Err(error) => {
            stay(context, &sha256s).await;
            return Err(error.into());
        }
    };
    match forget(context, &sha256s).await {
        Ok(forgotten) => Ok(documents.remove_taken(taken, forgotten).await?),
        Err(failure) => {
            // Another sweep may have come by, and someone hold one of them by now. A file too many does no harm: a sweep
            // finds it.
            match documents.remove_taken(taken, Vec::new()).await {
                Ok(back) => {
                    for what in &back.failed {
                        warn!("a content is not put back yet: {what}");
                    }
                }
                Err(error) => warn!(%error, "contents are not put back yet"),
            }
            stay(context, &sha256s).await;
            Err(failure)
        }
    }
}

async fn forget(context: &RunContext, sha256s: &[String]) -> Result<Vec<String>, Failure> {
    let mut tx = context.begin().await?;
    let forgotten = tx.contents_forget(sha256s).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// Has contents stay that were to leave. This run may hold its lease no longer; where another sweep has come by, it puts
/// back what stays.
async fn stay(context: &RunContext, sha256s: &[String]) {
    let stays = async {
        let mut tx = context.store().begin().await?;
        tx.contents_stay(sha256s).await?;
        tx.commit().await
    };
    if let Err(error) = stays.await {
        warn!(%error, "contents that were to leave do so still: the next sweep sees to them first");
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

fn hashes(contents: &[StoredContent]) -> Vec<String> {
    let hash = |content: &StoredContent| content.sha256.clone();
    contents.iter().map(hash).collect()
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
