//! The ledger of slots.

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, DbBackend, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Statement,
};

use super::{
    Tx, convert,
    convert::{micros, micros_of, uuid_of},
    entity::slot,
    rows::{Column, Type, column, inserts},
};
use crate::{
    domain::{
        TaskId,
        ledger::{SlotOutcome, SlotRow},
    },
    error::Result,
};

const COLUMNS: &[Column] = &[
    column("task_id", Type::Uuid),
    column("after_at", Type::Big),
    column("upto_at", Type::Big),
    column("outcome", Type::Text),
    column("reason", Type::Text),
    column("count", Type::Big),
    column("first_at", Type::Big).or_null(),
    column("last_at", Type::Big).or_null(),
    column("run_id", Type::Uuid).or_null(),
    column("revision", Type::Big),
    column("tzdb", Type::Text),
    column("decided_at", Type::Big),
];

/// Rows of the ledger that are merged in one transaction.
const PRUNED_AT_ONCE: u64 = 1000;

impl Tx {
    /// Adds rows to the ledger. The caller holds the tasks' locks.
    pub async fn slots_insert(&mut self, rows: &[SlotRow]) -> Result<()> {
        for insert in insert_slots(self.backend(), rows) {
            self.run(insert).await?;
        }
        Ok(())
    }

    /// Merges rows of a task that end at or before `upto`, the oldest `PRUNED_AT_ONCE` of them, into
    /// one PRUNED row; says how many went. None did once there is nothing left to merge.
    pub async fn slots_prune(&mut self, task: TaskId, upto: Timestamp) -> Result<u64> {
        let old = slot::Entity::find()
            .filter(slot::Column::TaskId.eq(task.0))
            .filter(slot::Column::UptoAt.lte(micros(upto)))
            .order_by_asc(slot::Column::UptoAt)
            .limit(PRUNED_AT_ONCE);
        let found = old.all(self.open()?).await;
        let rows = self.check(found)?;
        let [first, .., last] = rows.as_slice() else {
            return Ok(0);
        };
        let merged = SlotRow {
            outcome: SlotOutcome::Pruned,
            reason: "history pruned".to_owned(),
            count: rows.iter().map(|row| row.count).sum(),
            first_at: convert::instant_of(rows.iter().find_map(|row| row.first_at))?,
            last_at: convert::instant_of(rows.iter().rev().find_map(|row| row.last_at))?,
            after_at: convert::instant(first.after_at)?,
            run_id: None,
            ..SlotRow::try_from(last.clone())?
        };
        let delete = slot::Entity::delete_many()
            .filter(slot::Column::TaskId.eq(task.0))
            .filter(slot::Column::UptoAt.lte(last.upto_at));
        let deleted = delete.exec(self.open()?).await;
        self.check(deleted)?;
        self.slots_insert(&[merged]).await?;
        Ok(rows.len() as u64 - 1)
    }
}

/// What adds rows to the ledger.
pub(super) fn insert_slots(backend: DbBackend, rows: &[SlotRow]) -> Vec<Statement> {
    let values = |row: &SlotRow| {
        vec![
            row.task_id.0.into(),
            micros(row.after_at).into(),
            micros(row.upto_at).into(),
            row.outcome.as_str().into(),
            row.reason.as_str().into(),
            row.count.into(),
            micros_of(row.first_at).into(),
            micros_of(row.last_at).into(),
            uuid_of(row.run_id).into(),
            row.revision.into(),
            row.tzdb.as_str().into(),
            micros(row.decided_at).into(),
        ]
    };
    let rows = rows.iter().map(values).collect();
    inserts(backend, "slots", COLUMNS, &[], rows, "")
}
