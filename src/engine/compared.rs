//! Which tasks a configuration changes: found by fingerprints where the same layers come to what they came to before,
//! and otherwise by merging those of each task.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, catalogue::merged};
use crate::{
    domain::{
        Task, TaskName,
        task::{Layers, Lower, Origin},
    },
    error::{Error, Result},
    store::{Page, PageOf, TaskFilter},
};

/// Tasks read in one go.
const PAGE: u64 = 500;

/// What is to be done to bring the tasks into line.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Tasks that the configuration named before.
    pub(super) named: usize,
    /// Those of them that it no longer names.
    pub(super) lost: Vec<TaskName>,
    /// Tasks whose layers, or what these come to, may be others.
    pub(super) changed: Vec<TaskName>,
    /// Tasks that nobody wants any more.
    pub(super) gone: Vec<TaskName>,
    /// Names that no task has.
    pub(super) new: Vec<TaskName>,
}

type Wanted = BTreeMap<TaskName, Layers>;

impl Engine {
    /// Compares the tasks that there are with those that are wanted. On the same basis, that is by the same version, in
    /// the same zone and with the same commands and requests, tasks whose layers are the same are not read.
    ///
    /// # Errors
    /// Where the database is away.
    pub(super) async fn compare(&self, wanted: &Wanted, is_same_basis: bool) -> Result<Compared> {
        if is_same_basis {
            self.compare_layers(wanted).await
        } else {
            self.compare_all(wanted).await
        }
    }

    async fn compare_layers(&self, wanted: &Wanted) -> Result<Compared> {
        let mut compared = Compared::default();
        let mut unseen: BTreeSet<&TaskName> = wanted.keys().collect();
        for task in self.store().tasks_brought().await? {
            unseen.remove(&task.name);
            let layers = wanted.get(&task.name);
            compared.note(&task.name, task.lower, layers);
            match layers {
                Some(layers) if layers.lower() == task.lower => {}
                Some(_) => compared.changed.push(task.name),
                None => match self.store().task(&task.name).await {
                    Ok(found) => compared.unwanted(&found, true),
                    // It has ended since it was read: what was to be done is done.
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                },
            }
        }
        // One that has no layer from a start may be there all the same.
        let unseen: Vec<&TaskName> = unseen.into_iter().collect();
        let there = self.store().names_there(&unseen).await?;
        let (there, new): (Vec<_>, Vec<_>) =
            unseen.into_iter().partition(|name| there.contains(*name));
        compared.changed.extend(there.into_iter().cloned());
        compared.new = new.into_iter().cloned().collect();
        Ok(compared)
    }

    async fn compare_all(&self, wanted: &Wanted) -> Result<Compared> {
        let mut compared = Compared::default();
        let mut unseen: BTreeSet<&TaskName> = wanted.keys().collect();
        let mut after = None;
        loop {
            let page = Page { size: PAGE, after };
            let PageOf { items, next } = self.store().tasks(&TaskFilter::default(), &page).await?;
            for task in items {
                unseen.remove(&task.name);
                let layers = wanted.get(&task.name);
                compared.note(&task.name, task.layers.lower(), layers);
                let is_other = self.is_other(&task, layers.unwrap_or(&Layers::default()));
                match layers {
                    Some(_) if is_other => compared.changed.push(task.name),
                    Some(_) => {}
                    None => compared.unwanted(&task, is_other),
                }
            }
            after = next;
            if after.is_none() {
                compared.new = unseen.into_iter().cloned().collect();
                return Ok(compared);
            }
        }
    }

    /// Whether a task has other layers than these, or would be another with them; also where they no longer fit.
    fn is_other(&self, task: &Task, layers: &Layers) -> bool {
        let layers = Layers {
            api: task.layers.api.clone(),
            owner: task.layers.owner.clone(),
            ..layers.clone()
        };
        let spec = merged(&layers, self.default_zone());
        layers != task.layers || spec.map_or(true, |spec| spec != *task.spec)
    }
}

impl Compared {
    fn note(&mut self, name: &TaskName, lower: Lower, layers: Option<&Layers>) {
        if lower.configuration == 0 {
            return;
        }
        self.named += 1;
        if layers.is_none_or(|layers| layers.configuration.is_none()) {
            self.lost.push(name.clone());
        }
    }

    /// Takes in a task that no start brings any more: it ends, unless someone else has a say in it.
    fn unwanted(&mut self, task: &Task, is_other: bool) {
        if task.layers.owner.is_none() && task.layers.origin() != Origin::Api {
            self.gone.push(task.name.clone());
        } else if is_other {
            self.changed.push(task.name.clone());
        }
    }
}
