//! Whether what a start brings may take the place of the configuration in force, and who is told of it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::Engine;
use crate::{
    domain::{
        TaskName,
        configuration::{Applied, AppliedConfiguration, Identity, Standing, standing},
        problem::{Problem, ProblemKind},
    },
    error::{Error, Reason, Result},
    store::{Store, Tx},
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
    /// Of what shapes tasks beside what is said of each.
    pub basis: String,
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

/// Refuses a start without a configuration on data that had one, unless that is what is meant.
///
/// # Errors
/// [`MissingConfiguration`]; where the database is away.
pub async fn refuse_missing(store: &Store, brought: &Brought) -> anyhow::Result<()> {
    if brought.file.is_some() || brought.without {
        return Ok(());
    }
    let history = store.configurations().await?;
    refuse_without(store, brought, history.first()).await
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
    let ended: Vec<TaskName> = store
        .tasks_brought()
        .await?
        .into_iter()
        .filter(|task| task.lower.built_in == 0 && task.lower.configuration != 0)
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
    /// Judges what this start brings, before anything is done by it. Other servers that live are asked about, never
    /// this one, whose sign of life is to be there before: so that of two that start at once one sees the other.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn weigh(&self, brought: &Brought) -> Result<Verdict> {
        if brought.file.is_none() && brought.without {
            return Ok(Verdict::Apply(Applied::Without));
        }
        let history = self.store().configurations().await?;
        let mut others = Vec::new();
        // A SQLite file has one server: what others there were are gone.
        if self.store().file().is_none() {
            let now = self.clock().now();
            others = self.store().replicas().await?;
            others.retain(|other| other.id != self.replica().id && other.is_alive(now));
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
            version: &self.replica().version,
        };
        Ok(match standing(own, &history, &living) {
            Standing::New | Standing::InForce => Verdict::Apply(Applied::Edit),
            Standing::Superseded(_) => Verdict::Apply(Applied::Rollback),
            Standing::Older(_) if brought.apply_older => Verdict::Apply(Applied::Older),
            Standing::Older(newer) => Verdict::Keep(newer.clone()),
        })
    }

    /// Has this replica take no runs and no edits, since `newer` is in force and another serves it: it would do them by
    /// its own. What is stored stays as it is. Answers the problem that tells it.
    pub fn stand_back(&self, newer: &AppliedConfiguration) -> Problem {
        let message = format!(
            "on {}: its configuration was superseded by {} of {} by {}, which another replica serves, and was not \
             applied; it takes no runs",
            self.replica().host,
            newer.file_or_none(),
            newer.applied_at,
            newer.host
        );
        if self.set_stands_back(true) {
            warn!("{message}");
        }
        let kind = ProblemKind::ConfigurationOlder;
        Problem::new(kind, self.subject(), message, self.clock().now())
    }

    /// The problem of this replica where it goes on by a configuration that another has superseded since its start.
    pub fn outdated(&self, newer: &AppliedConfiguration, since: Timestamp) -> Problem {
        let message = format!(
            "on {}: it goes on by a configuration that was superseded by {} of {} by {}, and does its runs by it",
            self.replica().host,
            newer.file_or_none(),
            newer.applied_at,
            newer.host
        );
        Problem::new(
            ProblemKind::ConfigurationOlder,
            self.subject(),
            message,
            since,
        )
    }

    /// Has this replica take runs and edits again, once its configuration is in force; says the subject of the problem
    /// that is over, if it stood back before.
    pub fn take_part(&self) -> Option<String> {
        if !self.set_stands_back(false) {
            return None;
        }
        info!("this server's configuration is in force: it takes runs");
        Some(self.subject())
    }

    /// Refuses what would be done by this replica's configuration, while that is not the one in force.
    ///
    /// # Errors
    /// [`Error::Conflict`] `CONFIGURATION_OLDER`.
    pub fn refuse_older(&self) -> Result<()> {
        if !self.stands_back() {
            return Ok(());
        }
        let message = "this server was started with an older configuration than the one in force, and changes no task \
                       by it: ask another server, or start this one with the newer file";
        let reason = Reason::ConfigurationOlder;
        Err(Error::conflict(reason, self.subject(), message))
    }

    /// The resource name of this replica, under which its problems stand.
    pub fn subject(&self) -> String {
        format!("replicas/{}", self.replica().id)
    }

    /// Remembers what is in force, where it is another than before.
    pub(super) async fn note_configuration(
        &self,
        tx: &mut Tx,
        brought: &Brought,
        how: Applied,
    ) -> Result<()> {
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
        let Some(before) = before else {
            tx.problem_clear(ProblemKind::ConfigurationRollback.as_str(), SUBJECT)
                .await?;
            return Ok(());
        };
        let message = format!(
            "{} was in force before and is again, in place of {} of {} by {}",
            applied.file_or_none(),
            before.file_or_none(),
            before.applied_at,
            before.host
        );
        warn!("rolled back to an older configuration: {message}");
        let kind = ProblemKind::ConfigurationRollback;
        let problem = Problem::new(kind, SUBJECT.to_owned(), message, tx.now());
        let until = tx.now().checked_add(ROLLED_BACK_STAYS).ok();
        tx.problem_raise(SUBJECT, &problem, until).await?;
        Ok(())
    }

    /// Tells, before anything is done about them, of tasks that are no longer named where that is more than half of
    /// them: a file that is cut off or empty is read like any other. What a start that did not end has told stays.
    pub(super) async fn tell_shrunk(
        &self,
        tx: &mut Tx,
        how: Applied,
        lost: &[TaskName],
        named: usize,
        is_wanted: impl Fn(&TaskName) -> bool,
    ) -> Result<()> {
        if how == Applied::Without || lost.is_empty() || 2 * lost.len() <= named {
            return Ok(());
        }
        let before = self.missed().await?;
        let mut missed: Vec<TaskName> = before
            .into_iter()
            .filter(|name| !is_wanted(name) && !lost.contains(name))
            .collect();
        let named = named + missed.len();
        missed.extend_from_slice(lost);
        missed.sort();
        let message = format!(
            "{} of {named} tasks that the configuration named are not named any more, and have ended or are as they ship: {}",
            missed.len(),
            listed(&missed)
        );
        tx.set_value(MISSED, &missed).await?;
        let kind = ProblemKind::ConfigurationShrunk;
        let problem = Problem::new(kind, SUBJECT.to_owned(), message, tx.now());
        let until = tx.now().checked_add(SHRUNK_STAYS).ok();
        tx.problem_raise(SUBJECT, &problem, until).await?;
        Ok(())
    }

    /// Forgets tasks that were missed and are back; the problem is over with the last one.
    pub(super) async fn take_back_missed(
        &self,
        tx: &mut Tx,
        is_wanted: impl Fn(&TaskName) -> bool,
    ) -> Result<()> {
        let before = self.missed().await?;
        let missed: Vec<&TaskName> = before.iter().filter(|name| !is_wanted(name)).collect();
        if missed.len() == before.len() {
            return Ok(());
        }
        tx.set_value(MISSED, &missed).await?;
        if !missed.is_empty() {
            return Ok(());
        }
        tx.problem_clear(ProblemKind::ConfigurationShrunk.as_str(), SUBJECT)
            .await?;
        Ok(())
    }

    async fn missed(&self) -> Result<Vec<TaskName>> {
        Ok(self.store().value(MISSED).await?.unwrap_or_default())
    }
}
