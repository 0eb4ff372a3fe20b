//! Table `slots`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "slots")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub task_id: Uuid,
    pub after_at: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub upto_at: i64,
    pub outcome: String,
    pub reason: String,
    pub count: i64,
    pub first_at: Option<i64>,
    pub last_at: Option<i64>,
    pub run_id: Option<Uuid>,
    pub revision: i64,
    pub tzdb: String,
    pub decided_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
