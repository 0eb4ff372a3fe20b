//! Tasks that could not run on this host now, because something is not there that comes and goes: found out before
//! their slot is due.

use std::collections::HashMap;

use super::Engine;
use crate::{
    error::{Error, Result},
    store::{Page, TaskFilter},
};

/// Tasks read in one go.
const CHUNK: u64 = 500;
/// Tasks of kinds that nobody knows that are told.
const STRANGE_SHOWN: u64 = 1000;

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
                let of: Vec<_> = tasks
                    .items
                    .iter()
                    .map(|task| (task.resource_name(), task.spec.clone()))
                    .collect();
                let registry = self.inner.registry.clone();
                let looked = tokio::task::spawn_blocking(move || {
                    // Many tasks may have one command.
                    let mut known: HashMap<String, Option<String>> = HashMap::new();
                    let mut found = Vec::new();
                    for (name, spec) in of {
                        let key = serde_json::to_string(&spec.parameters).unwrap_or_default();
                        let why = known
                            .entry(key)
                            .or_insert_with(|| registry.ready(&spec.kind, &spec.parameters).err());
                        found.extend(why.clone().map(|why| (name, why)));
                    }
                    found
                });
                found.extend(looked.await.map_err(Error::internal)?);
                after = tasks.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Tasks of kinds that this server does not know: none takes their runs. While one of another version lives, that
    /// may know them, and the drift tells of it.
    async fn of_strange_kinds(&self) -> Result<Vec<(String, String)>> {
        let known = self.registry().kinds().map(|(name, _)| name);
        let strange = self.store().tasks_beside(known, STRANGE_SHOWN).await?;
        if strange.is_empty() || self.others_may_know().await? {
            return Ok(Vec::new());
        }
        let tell = |(name, kind): (String, String)| {
            let why = format!(
                "this version knows no kind {kind:?}, and starts no run of it; give the task another kind, or end it"
            );
            (format!("tasks/{name}"), why)
        };
        Ok(strange.into_iter().map(tell).collect())
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
