//! Tasks that could not run on this host now, because something is not there that comes and goes: found out before
//! their slot is due.

use std::{collections::BTreeMap, fmt};

use futures_util::StreamExt as _;

use super::Engine;
use crate::{
    domain::{Task, TaskSpec},
    error::Result,
    host::{self, Question},
    store::{Page, TaskFilter},
};

/// Tasks read in one go.
const CHUNK: u64 = 500;
/// Tasks looked at side by side: more than may hang at one place.
const AT_ONCE: usize = 64;
/// Tasks of kinds that nobody knows that are told.
const STRANGE_SHOWN: u64 = 1000;

/// Something of this host that a run needs.
pub struct Need {
    /// Where it is looked for, and how that is called.
    pub question: Question,
    /// Looks for it; says what is not there, and what to do. It blocks, and may hang.
    pub look: Box<dyn FnOnce() -> std::result::Result<(), String> + Send>,
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Need").field(&self.question).finish()
    }
}

impl Engine {
    /// Resource names of tasks that could not run here now, and why.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn unrunnable(&self) -> Result<Vec<(String, String)>> {
        let kinds: Vec<&str> = self.registry().kinds_with_needs().collect();
        let mut found = self.of_strange_kinds().await?;
        for kind in kinds {
            let filter = TaskFilter {
                kind: Some(kind.to_owned()),
                ..TaskFilter::default()
            };
            let mut after = None;
            loop {
                let page = Page { size: CHUNK, after };
                let tasks = self.store().tasks(&filter, &page).await?;
                found.extend(self.lacking(&tasks.items).await);
                after = tasks.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Those of these tasks that could not run here now, and why. What hangs holds up no other for longer than its time.
    async fn lacking(&self, tasks: &[Task]) -> Vec<(String, String)> {
        // Many tasks may have one command.
        let mut alike: BTreeMap<String, (TaskSpec, Vec<String>)> = BTreeMap::new();
        for task in tasks {
            let key = serde_json::to_string(&task.spec.parameters).unwrap_or_default();
            let known = alike.entry(key);
            let (_, names) = known.or_insert_with(|| ((*task.spec).clone(), Vec::new()));
            names.push(task.resource_name());
        }
        let mut looks = Vec::new();
        for (spec, names) in alike.into_values() {
            looks.push(async move {
                let why = self.look_for(&spec).await.err()?;
                Some((names, why))
            });
        }
        let found: Vec<_> = futures_util::stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let found = found.into_iter().flatten().flat_map(|(names, why)| {
            let named = names.into_iter();
            named.map(move |name| (name, why.clone()))
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    }

    async fn look_for(&self, spec: &TaskSpec) -> std::result::Result<(), String> {
        for need in self.registry().needs(&spec.kind, &spec.parameters)? {
            let looked = host::ask(need.question, need.look).await;
            looked.map_err(|why| why.to_string())??;
        }
        Ok(())
    }

    /// Tasks of kinds that this server does not know: none takes their runs. While one of another version lives, that
    /// may know them, and the drift tells of it.
    async fn of_strange_kinds(&self) -> Result<Vec<(String, String)>> {
        let known = self.registry().kinds().map(|(name, _)| name);
        let mut strange = self.store().tasks_beside(known, STRANGE_SHOWN + 1).await?;
        if strange.is_empty() || self.others_may_know().await? {
            return Ok(Vec::new());
        }
        let tell = |(name, kind): (String, String)| {
            let why = format!(
                "this version knows no kind {kind:?}, and starts no run of it; give the task another kind, or end it"
            );
            (format!("tasks/{name}"), why)
        };
        let shown = usize::try_from(STRANGE_SHOWN).unwrap_or(usize::MAX);
        let are_more = shown < strange.len();
        strange.truncate(shown);
        let mut told: Vec<(String, String)> = strange.into_iter().map(tell).collect();
        if are_more {
            let why = format!(
                "more than {STRANGE_SHOWN} tasks are of kinds that this version does not know"
            );
            told.push(("tasks".to_owned(), why));
        }
        Ok(told)
    }

    async fn others_may_know(&self) -> Result<bool> {
        if self.store().file().is_some() {
            return Ok(false);
        }
        let (own, now) = (self.replica(), self.clock().now());
        let replicas = self.store().replicas().await?;
        let mut others = replicas.iter().filter(|other| other.is_alive(now));
        Ok(others.any(|other| other.version != own.version))
    }
}
