//! Table `tasks`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tasks")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub kind: String,
    pub revision: i64,
    pub version: i64,
    pub cursor_at: i64,
    pub next_slot_at: Option<i64>,
    pub next_due_at: Option<i64>,
    pub wake_at: Option<i64>,
    pub pause: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
    pub audited_at: i64,
    pub last_run: Option<String>,
    pub last_success_at: Option<i64>,
    pub last_failure_at: Option<i64>,
    pub consecutive_failures: i32,
    pub failing_since: Option<i64>,
    pub retrying: Option<Uuid>,
    pub fresh_at: Option<i64>,
    pub usual_ms: Option<i64>,
    pub scheduled_from: i64,
    pub owed_slots: i16,
    pub owed_at: Option<i64>,
    pub stale_check_at: Option<i64>,
    pub rules: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
