//! Table `runs`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub task_id: Uuid,
    pub task: String,
    pub kind: String,
    pub trigger_by: String,
    pub state: String,
    pub outcome: Option<String>,
    pub reason: String,
    pub message: String,
    pub counters: String,
    pub attempt: i64,
    pub attempts_charged: i64,
    pub priority: i16,
    pub parameters: String,
    pub policy: String,
    pub dry_run: bool,
    pub solo: bool,
    pub slot_at: Option<i64>,
    pub nominal_at: Option<i64>,
    pub due_at: i64,
    pub queued_at: i64,
    pub claim_at: Option<i64>,
    pub start_deadline_at: Option<i64>,
    pub started_at: Option<i64>,
    pub attempt_started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub lease_owner: Option<Uuid>,
    pub lease_until: Option<i64>,
    pub coalesced: Option<String>,
    pub catch_up: bool,
    pub retry_of: Option<Uuid>,
    pub principal: String,
    pub request_reason: String,
    pub cancellation: Option<String>,
    pub progress: Option<String>,
    pub revision: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
