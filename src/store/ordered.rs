//! What an order of a run needs to know of its task.

use sea_orm::FromQueryResult;

use super::{
    GlobalPause, Tx,
    cluster::{PAUSE, pause_of},
    queue::any_due,
    tasks::Whole,
};
use crate::{
    domain::{Task, TaskName},
    error::Result,
};

/// A task beside the pause of everything, and whether any run may be claimed.
#[derive(FromQueryResult)]
struct Ordered {
    #[sea_orm(nested)]
    whole: Whole,
    everything: Option<String>,
    ready_at: Option<i64>,
}

/// A task of which a run is ordered, and what has to be known besides.
#[derive(Debug)]
pub struct ToOrder {
    pub task: Task,
    pub pause: GlobalPause,
    /// Whether other runs were waiting for a place.
    pub others_wait: bool,
}

impl Tx {
    /// The task of that name, locked until this write is over, with what an order has to know besides: in one statement,
    /// since each is a way to the database and back between a call and its run. The pause is locked before the task.
    ///
    /// # Errors
    /// As [`Tx::task_locked`].
    pub async fn task_to_order(&mut self, name: &TaskName) -> Result<ToOrder> {
        let floor = self.store.inner.floors.queue.at();
        let select = self
            .sql("WITH everything AS MATERIALIZED (SELECT value FROM cluster WHERE key = ")
            .bind(PAUSE)
            .postgres(" FOR SHARE")
            .push(
                ") SELECT t.*, r.spec AS spec, l.layers AS layers, (SELECT value FROM everything) AS everything, ",
            );
        let select = any_due(select, floor)
            .push(
                " AS ready_at FROM tasks t \
                 JOIN task_revisions r ON r.task_id = t.id AND r.revision = t.revision \
                 JOIN task_layers l ON l.task_id = t.id \
                 WHERE (SELECT count(*) FROM everything) < 2 AND t.deleted_at IS NULL AND t.name = ",
            )
            .bind(name.as_str())
            .postgres(" FOR UPDATE OF t")
            .done();
        let row: Ordered = self.one_locked(name, select).await?;
        Ok(ToOrder {
            task: row.whole.try_into()?,
            pause: pause_of(row.everything.as_deref())?,
            others_wait: row.ready_at.is_some(),
        })
    }
}
