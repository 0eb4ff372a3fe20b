//! Brings the tasks into line with the registry and the configuration: at start, and only where
//! either has changed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use jiff::Timestamp;
use tracing::{info, warn};

use super::{Brought, Engine, Registry, configuration::listed, edits::add};
use crate::{
    domain::{
        EventKind, Task, TaskName, TaskSpec,
        configuration::Applied,
        problem::{Problem, ProblemKind},
        task::{Fields, Layers, Owner, is_owned},
    },
    error::{Error, Result},
    store::Tx,
};

const HASH: &str = "catalogue_hash";
/// What the same layers come to the same by.
const BASIS: &str = "catalogue_basis";
/// What stands there while tasks are brought into line.
const UNDER_WAY: &str = "under way";
const PRINCIPAL: &str = "configuration";
/// Tasks made in one transaction.
const CHUNK: usize = 200;
pub(super) const MISFIT: ProblemKind = ProblemKind::TaskOverrideMisfit;
/// Under which its problems stand.
const SOURCE: &str = "catalogue";

/// The configuration's layer: fields of a `TaskSpec` by task.
type Configured = BTreeMap<TaskName, Fields>;

/// Checks every task of the registry and of the configuration; needs no database.
///
/// # Errors
/// Where a task does not fit: which one, which field, and what was expected.
pub fn check_catalogue(
    registry: &Registry,
    configured: &Configured,
    default_zone: &str,
) -> anyhow::Result<()> {
    checked(registry, configured, default_zone).map(drop)
}

/// What tasks of the configuration need of this host and is not there, each with the task's name. It may block.
///
/// # Errors
/// As [`check_catalogue`].
pub fn catalogue_misfits(
    registry: &Registry,
    configured: &Configured,
    default_zone: &str,
) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, layers) in checked(registry, configured, default_zone)? {
        let spec = merged(&layers, default_zone)?;
        let needs = registry.needs(&spec.kind, &spec.parameters);
        let looked = needs.and_then(|needs| needs.into_iter().try_for_each(|need| (need.look)()));
        if let Err(why) = looked {
            found.push(format!("tasks/{name}: {why}"));
        }
    }
    Ok(found)
}

/// The layers of each task, of which each fits.
fn checked(
    registry: &Registry,
    configured: &Configured,
    default_zone: &str,
) -> anyhow::Result<BTreeMap<TaskName, Layers>> {
    let wanted = wanted(registry, configured)?;
    let mut fit = BTreeSet::new();
    for (name, layers) in &wanted {
        let lower = layers.lower();
        // A configuration of very many tasks has them say the same.
        if fit.contains(&lower) {
            continue;
        }
        let about = || format!("task {name}");
        let spec = merged(layers, default_zone).with_context(about)?;
        let schedule = registry
            .check_spec(name, &spec, default_zone)
            .with_context(about)?;
        if !schedule.is_of_its_name() {
            fit.insert(lower);
        }
    }
    Ok(wanted)
}

/// The specification that layers make. A cron line that names no zone is read in the organisation's,
/// and the revision says so: a change of that zone is an edit like another.
pub(super) fn merged(layers: &Layers, default_zone: &str) -> Result<TaskSpec> {
    let mut spec = layers.merge()?;
    if spec.schedule.cron.is_some() && spec.schedule.time_zone.is_none() {
        spec.schedule.time_zone = Some(default_zone.to_owned());
    }
    Ok(spec)
}

fn wanted(
    registry: &Registry,
    configured: &Configured,
) -> anyhow::Result<BTreeMap<TaskName, Layers>> {
    let mut wanted: BTreeMap<TaskName, Layers> = BTreeMap::new();
    for built_in in registry.built_ins() {
        let name: TaskName = built_in.name.parse()?;
        let layers = Layers {
            built_in: Some(built_in.fields.clone()),
            ..Layers::default()
        };
        wanted.insert(name, layers);
    }
    for (name, fields) in configured {
        let owned = registry
            .built_ins()
            .iter()
            .any(|built_in| built_in.owned && built_in.name == name.as_str());
        if let Some(field) = fields.keys().find(|field| owned && is_owned(field)) {
            anyhow::bail!(
                "tasks.{name}.{field}: it belongs to the task's policy; change it there, such as by \
                 `bellctl backup policy update`"
            );
        }
        wanted.entry(name.clone()).or_default().configuration = Some(fields.clone());
    }
    Ok(wanted)
}

impl Engine {
    /// Checks every task of the registry and of the configuration, and makes the stored ones so. Nothing is written
    /// where what is brought and the version are those of the last time. `owners` have what policies say of their
    /// tasks, so that one which is new is made with it.
    ///
    /// # Errors
    /// Where a task does not fit: which one, which field, and what was expected. Nothing is changed.
    pub async fn reconcile(
        &self,
        configured: &Configured,
        brought: &Brought,
        how: Applied,
        owners: &BTreeMap<TaskName, Owner>,
    ) -> anyhow::Result<()> {
        let hash = format!(
            "{} {} {}",
            brought.hash,
            env!("CARGO_PKG_VERSION"),
            self.default_zone()
        );
        if self.store().value::<String>(HASH).await?.as_deref() == Some(&hash) {
            // The same from another place: the next start without it names that.
            let mut tx = self.store().begin().await?;
            self.note_configuration(&mut tx, brought, how).await?;
            return Ok(tx.commit().await?);
        }
        let wanted = checked(self.registry(), configured, self.default_zone())?;
        let basis = format!(
            "{} {} {}",
            brought.basis,
            env!("CARGO_PKG_VERSION"),
            self.default_zone()
        );
        // What a server of an earlier version has left is not found by what tasks are found by.
        let is_same_basis = self.store().value::<String>(BASIS).await?.as_deref() == Some(&basis)
            && !self.store().some_facets_outdated().await?;
        let compared = self.compare(&wanted, is_same_basis).await?;
        // A start that ends in the middle has not done what this one, or the one before, is to do.
        let mut tx = self.store().begin().await?;
        tx.set_value(HASH, &UNDER_WAY).await?;
        if !is_same_basis {
            tx.set_value(BASIS, &UNDER_WAY).await?;
        }
        self.tell_shrunk(&mut tx, how, &compared.lost, compared.named, |name| {
            is_named(&wanted, name)
        })
        .await?;
        tx.commit().await?;
        let (mut changed, mut ended) = (0_u32, Vec::new());
        for name in &compared.changed {
            let layers = wanted.get(name).cloned().unwrap_or_default();
            changed += u32::from(self.relayer(name, &layers).await?);
        }
        for name in compared.gone {
            self.retire(&name).await?;
            ended.push(name);
        }
        let new = compared.new.into_iter().map(|name| {
            let owner = owners.get(&name).cloned();
            let layers = wanted.get(&name).cloned().unwrap_or_default();
            (name, Layers { owner, ..layers })
        });
        let (new, returned) = self.take_up(new.collect()).await?;
        let mut made = 0_usize;
        for chunk in new.chunks(CHUNK) {
            made += match self.establish(chunk).await {
                // Another replica makes them, too: each for itself, then.
                Err(Error::AlreadyExists { .. }) => self.establish_each(chunk).await?,
                made => made?,
            };
        }
        let mut tx = self.store().begin().await?;
        tx.set_value(HASH, &hash).await?;
        tx.set_value(BASIS, &basis).await?;
        self.take_back_missed(&mut tx, |name| is_named(&wanted, name))
            .await?;
        self.note_configuration(&mut tx, brought, how).await?;
        tx.commit().await?;
        if !ended.is_empty() {
            warn!(
                "tasks that the configuration no longer names have ended: {}",
                listed(&ended)
            );
        }
        info!(
            made,
            returned,
            changed,
            ended = ended.len(),
            "brought the tasks into line with the configuration"
        );
        Ok(())
    }

    /// Gives a task its lower layers; what the API has changed stays. Says whether that changed it.
    async fn relayer(&self, name: &TaskName, layers: &Layers) -> Result<bool> {
        let mut tx = self.begin_after_pauses().await?;
        let mut task = self.settled(&mut tx, name).await?;
        let before = task.version;
        self.relayer_locked(&mut tx, &mut task, layers).await?;
        tx.commit().await?;
        Ok(before != task.version)
    }

    /// As [`Engine::relayer`], of a task that is locked and settled.
    pub(super) async fn relayer_locked(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        layers: &Layers,
    ) -> Result<()> {
        let layers = Layers {
            api: task.layers.api.clone(),
            owner: task.layers.owner.clone(),
            ..layers.clone()
        };
        let reason = "the configuration changed";
        let applied = self
            .apply(tx, task, layers.clone(), PRINCIPAL, reason)
            .await;
        let misfit_of = |error: &Error| error.wrong_fields().filter(|_| !layers.api.is_empty());
        match applied.as_ref().err().and_then(misfit_of) {
            // What the API has changed no longer fits what lies below it. The task stays as it is: a
            // server that did not start could not be asked to reset it.
            Some(what) => {
                warn!(task = %task.name, "an override no longer fits: {what}");
                task.layers = layers;
                self.touch(tx, task, EventKind::TaskUpdated).await?;
                let problem = misfit(task, &what, tx.now());
                tx.problem_raise(SOURCE, &problem, None).await?;
            }
            None => {
                applied?;
                tx.problem_clear(MISFIT.as_str(), &task.resource_name())
                    .await?;
            }
        }
        Ok(())
    }

    async fn retire(&self, name: &TaskName) -> Result<()> {
        let mut tx = self.begin_after_pauses().await?;
        let mut task = self.settled(&mut tx, name).await?;
        self.end_task(&mut tx, &mut task, "no longer in the configuration")
            .await?;
        tx.commit().await
    }

    /// Makes tasks in one transaction; says how many.
    async fn establish(&self, tasks: &[(TaskName, Layers)]) -> Result<usize> {
        let mut tx = self.store().begin().await?;
        for (name, layers) in tasks {
            let task = self.new_task(&tx, name.clone(), layers.clone())?;
            add(&mut tx, &task, PRINCIPAL, "").await?;
        }
        tx.commit().await?;
        Ok(tasks.len())
    }

    /// Makes those of the tasks that another replica has not made meanwhile.
    async fn establish_each(&self, tasks: &[(TaskName, Layers)]) -> Result<usize> {
        let mut made = 0;
        for task in tasks {
            match self.establish(std::slice::from_ref(task)).await {
                Err(Error::AlreadyExists { .. }) => {}
                done => made += done?,
            }
        }
        Ok(made)
    }
}

/// Whether the configuration says something of a task.
fn is_named(wanted: &BTreeMap<TaskName, Layers>, name: &TaskName) -> bool {
    let layers = wanted.get(name);
    layers.is_some_and(|layers| layers.configuration.is_some())
}

fn misfit(task: &Task, what: &str, now: Timestamp) -> Problem {
    let message = format!(
        "what the API has changed of it no longer fits the configuration: {what}; it runs as before"
    );
    Problem::new(MISFIT, task.resource_name(), message, now)
}
