//! Whether what a start brings may take the place of the configuration in force, and who is told of it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::{ALIVE_FOR, Engine};
use crate::{
    domain::{
        TaskName,
        configuration::{Applied, AppliedConfiguration, Identity, Standing, standing},
        problem::{Problem, ProblemKind},
        task::Origin,
    },
    error::Result,
    store::Store,
};

const SUBJECT: &str = "configuration";
/// Key of the cluster: the tasks that a problem of `configuration.shrunk` names.
const MISSED: &str = "configuration_missed";
const SHRUNK_STAYS: SignedDuration = SignedDuration::from_hours(7 * 24);
const ROLLED_BACK_STAYS: SignedDuration = SignedDuration::from_hours(24);
/// Names told in one message.
const NAMES: usize = 20;

/// What a start brings.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    pub hash: String,
    /// The file it was read from.
    pub file: Option<PathBuf>,
    pub tasks: BTreeSet<TaskName>,
    /// To have no file is what is meant.
    pub without: bool,
    /// To go by an older one than others do is what is meant.
    pub apply_older: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Apply(Applied),
    /// A newer one is served: what is stored stays as it is.
    Keep(AppliedConfiguration),
}

/// A start without the configuration that this data had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MissingConfiguration(String);

impl Brought {
    fn file_text(&self) -> Option<String> {
        self.file
            .as_deref()
            .map(Path::display)
            .map(|file| file.to_string())
    }
}

/// Judges what a start brings, before anything is done by it.
///
/// # Errors
/// [`MissingConfiguration`]; where the database is away.
pub async fn weigh(store: &Store, brought: &Brought, now: Timestamp) -> anyhow::Result<Verdict> {
    let history = store.configurations().await?;
    if brought.file.is_none() {
        if brought.without {
            return Ok(Verdict::Apply(Applied::Without));
        }
        refuse_without(store, brought, history.first()).await?;
    }
    let mut others = Vec::new();
    // A SQLite file has one server: what others there were are gone.
    if store.file().is_none() {
        others = store.replicas().await?;
        others.retain(|other| now.duration_since(other.seen_at) <= ALIVE_FOR);
    }
    let living: Vec<Identity<'_>> = others
        .iter()
        .map(|other| Identity {
            hash: &other.configuration_hash,
            version: &other.version,
        })
        .collect();
    let own = Identity {
        hash: &brought.hash,
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(match standing(own, &history, &living) {
        Standing::New | Standing::InForce => Verdict::Apply(Applied::Edit),
        Standing::Superseded(_) => Verdict::Apply(Applied::Rollback),
        Standing::Older(_) if brought.apply_older => Verdict::Apply(Applied::Older),
        Standing::Older(newer) => Verdict::Keep(newer.clone()),
    })
}

async fn refuse_without(
    store: &Store,
    brought: &Brought,
    newest: Option<&AppliedConfiguration>,
) -> anyhow::Result<()> {
    const WAYS: &str = "or --without-configuration to go on without one";
    if let Some((newest, file)) = newest.and_then(|newest| Some((newest, newest.file.as_ref()?))) {
        let what = format!(
            "there is no configuration file, but this data has one in force: {file} with {} tasks, since {} by {}; \
             without it they would end: pass --config {file} (WATCHBELL_CONFIG), {WAYS}",
            newest.tasks, newest.applied_at, newest.host
        );
        return Err(MissingConfiguration(what).into());
    }
    // What an earlier version left tells no file's name; and the environment may name tasks, too.
    let tasks = store.tasks_all().await?;
    let ended: Vec<TaskName> = tasks
        .into_iter()
        .filter(|task| task.layers.origin() == Origin::Configuration)
        .map(|task| task.name)
        .filter(|name| !brought.tasks.contains(name))
        .collect();
    if ended.is_empty() {
        return Ok(());
    }
    let what = format!(
        "there is no configuration file, and without one the tasks of the last one would end: {}; pass it by --config \
         (WATCHBELL_CONFIG), {WAYS}",
        listed(&ended)
    );
    Err(MissingConfiguration(what).into())
}

/// Up to 20 names, and how many more there are.
pub(super) fn listed(names: &[TaskName]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES).map(TaskName::as_str).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl Engine {
    /// The problem of this replica where what is stored stays as it is, because `newer` is in force and is served.
    pub fn older(&self, newer: &AppliedConfiguration) -> Problem {
        let message = format!(
            "on {}: its configuration was superseded by {} of {} by {}, which another replica serves, and was not applied",
            self.replica().host,
            newer.file_or_none(),
            newer.applied_at,
            newer.host
        );
        warn!("{message}");
        let subject = format!("replicas/{}", self.replica().id);
        Problem::new(
            ProblemKind::ConfigurationOlder,
            subject,
            message,
            self.clock().now(),
        )
    }

    /// Remembers what is in force, where it is another than before.
    pub(super) async fn note_configuration(&self, brought: &Brought, how: Applied) -> Result<()> {
        let history = self.store().configurations().await?;
        let file = brought.file_text();
        let same = history.first().is_some_and(|newest| {
            newest.hash == brought.hash
                && newest.version == self.replica().version
                && newest.file == file
        });
        if same {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        let applied = AppliedConfiguration {
            applied_at: tx.now(),
            hash: brought.hash.clone(),
            version: self.replica().version.clone(),
            file,
            tasks: i64::try_from(brought.tasks.len()).unwrap_or(i64::MAX),
            how,
            host: self.replica().host.clone(),
            replica: self.replica().id,
        };
        tx.configuration_applied(&applied).await?;
        let before = history
            .first()
            .filter(|_| how == Applied::Rollback || how == Applied::Older);
        if let Some(before) = before {
            let message = format!(
                "{} was in force before and is again, in place of {} of {} by {}",
                applied.file_or_none(),
                before.file_or_none(),
                before.applied_at,
                before.host
            );
            warn!("rolled back to an older configuration: {message}");
            let problem = Problem::new(
                ProblemKind::ConfigurationRollback,
                SUBJECT.to_owned(),
                message,
                tx.now(),
            );
            tx.problem_raise(
                SUBJECT,
                &problem,
                tx.now().checked_add(ROLLED_BACK_STAYS).ok(),
            )
            .await?;
        } else {
            tx.problem_clear(ProblemKind::ConfigurationRollback.as_str(), SUBJECT)
                .await?;
        }
        tx.commit().await
    }

    /// Tells, until they are back, of tasks that are no longer named where that is more than half of them: a file that is
    /// cut off or empty is read like any other.
    pub(super) async fn tell_shrunk(
        &self,
        how: Applied,
        ended: &[TaskName],
        named: usize,
        is_wanted: impl Fn(&TaskName) -> bool,
    ) -> Result<()> {
        let before: Vec<TaskName> = self.store().value(MISSED).await?.unwrap_or_default();
        let shrunk = how != Applied::Without && !ended.is_empty() && named < 2 * ended.len();
        let mut missed: Vec<TaskName> = before
            .iter()
            .filter(|name| !is_wanted(name))
            .cloned()
            .collect();
        if shrunk {
            missed = ended.to_vec();
        }
        if missed == before {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        tx.set_value(MISSED, &missed).await?;
        if missed.is_empty() {
            tx.problem_clear(ProblemKind::ConfigurationShrunk.as_str(), SUBJECT)
                .await?;
        } else if shrunk {
            let message = format!(
                "{} of {named} tasks that the configuration named are not named any more, and have ended or are as they ship: {}",
                ended.len(),
                listed(ended)
            );
            let kind = ProblemKind::ConfigurationShrunk;
            let problem = Problem::new(kind, SUBJECT.to_owned(), message, tx.now());
            tx.problem_raise(SUBJECT, &problem, tx.now().checked_add(SHRUNK_STAYS).ok())
                .await?;
        }
        tx.commit().await
    }
}
