//! The first schema: tasks, their revisions, the ledger, runs, logs, events.
//!
//! Instants are BIGINT microseconds since the Unix epoch on both databases: one type, one order,
//! one binding. JSON and enums are TEXT.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, blob, boolean, integer, small_integer, text, text_null,
        uuid, uuid_null,
    },
};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut table in [tasks(), task_revisions(), slots(), runs()] {
            manager.create_table(table.take()).await?;
        }
        for mut table in [run_attempts(), run_log(), events(), problems(), replicas()] {
            manager.create_table(table.take()).await?;
        }
        for mut table in [requests(), cluster()] {
            manager.create_table(table.take()).await?;
        }
        let db = manager.get_connection();
        // Whoever decides locks this row, so it is always there.
        db.execute_unprepared("INSERT INTO cluster (key, value) VALUES ('pause', 'null')")
            .await?;
        for index in INDEXES {
            db.execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = [
            "cluster",
            "requests",
            "replicas",
            "problems",
            "events",
            "run_log",
            "run_attempts",
            "runs",
            "slots",
            "task_revisions",
            "tasks",
        ];
        for table in tables {
            manager
                .drop_table(Table::drop().table(table).take())
                .await?;
        }
        Ok(())
    }
}

/// Partial indexes keep what is live apart from history: their cost is that of what is under way.
/// SQLite uses one only where a statement says its condition word for word: live is `finished_at IS
/// NULL`, whatever the states.
const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX tasks_name ON tasks (name) WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_wake ON tasks (wake_at) WHERE wake_at IS NOT NULL",
    "CREATE UNIQUE INDEX slots_after ON slots (task_id, after_at)",
    "CREATE UNIQUE INDEX runs_slot ON runs (task_id, slot_at) WHERE slot_at IS NOT NULL",
    "CREATE INDEX runs_claim ON runs (priority DESC, due_at, id) WHERE state = 'queued' AND claim_at IS NOT NULL",
    "CREATE INDEX runs_waiting ON runs (claim_at) WHERE state = 'retry_wait'",
    "CREATE INDEX runs_deadline ON runs (start_deadline_at) WHERE state = 'queued' AND started_at IS NULL AND start_deadline_at IS NOT NULL",
    "CREATE INDEX runs_lease ON runs (lease_until) WHERE state = 'running'",
    "CREATE INDEX runs_live ON runs (task_id, state, due_at, id) WHERE finished_at IS NULL",
    "CREATE INDEX runs_state ON runs (state, due_at) WHERE finished_at IS NULL",
    "CREATE INDEX runs_ready ON runs (task_id, state, claim_at) WHERE state = 'queued' AND claim_at IS NOT NULL",
    "CREATE INDEX runs_line ON runs (task_id) WHERE state = 'queued' AND claim_at IS NULL",
    "CREATE INDEX runs_newest ON runs (queued_at, id)",
    "CREATE INDEX runs_task ON runs (task_id, queued_at, id)",
    "CREATE INDEX runs_finished ON runs (task_id, finished_at, id) WHERE finished_at IS NOT NULL",
    "CREATE INDEX runs_finished_all ON runs (finished_at) WHERE finished_at IS NOT NULL",
    "CREATE INDEX events_at ON events (at)",
    "CREATE INDEX requests_at ON requests (created_at)",
];

fn tasks() -> TableCreateStatement {
    Table::create()
        .table("tasks")
        .col(uuid("id").primary_key())
        .col(text("name"))
        .col(text("kind"))
        .col(text("spec"))
        .col(text("layers"))
        .col(big_integer("revision"))
        .col(big_integer("version"))
        .col(big_integer("cursor_at"))
        .col(big_integer_null("next_slot_at"))
        .col(big_integer_null("next_due_at"))
        .col(big_integer_null("wake_at"))
        .col(text_null("pause"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer_null("deleted_at"))
        .col(big_integer("audited_at"))
        .col(text_null("last_run"))
        .col(big_integer_null("last_success_at"))
        .col(big_integer_null("last_failure_at"))
        .col(integer("consecutive_failures"))
        .col(big_integer_null("failing_since"))
        .take()
}

fn task_revisions() -> TableCreateStatement {
    Table::create()
        .table("task_revisions")
        .col(uuid("task_id"))
        .col(big_integer("revision"))
        .col(big_integer("effective_from"))
        .col(text("spec"))
        .col(text("principal"))
        .col(text("reason"))
        .primary_key(Index::create().col("task_id").col("revision"))
        .take()
}

fn slots() -> TableCreateStatement {
    Table::create()
        .table("slots")
        .col(uuid("task_id"))
        .col(big_integer("after_at"))
        .col(big_integer("upto_at"))
        .col(text("outcome"))
        .col(text("reason"))
        .col(big_integer("count"))
        .col(big_integer_null("first_at"))
        .col(big_integer_null("last_at"))
        .col(uuid_null("run_id"))
        .col(big_integer("revision"))
        .col(text("tzdb"))
        .col(big_integer("decided_at"))
        .primary_key(Index::create().col("task_id").col("upto_at"))
        .take()
}

fn runs() -> TableCreateStatement {
    Table::create()
        .table("runs")
        .col(uuid("id").primary_key())
        .col(uuid("task_id"))
        .col(text("task"))
        .col(text("kind"))
        .col(text("trigger_by"))
        .col(text("state"))
        .col(text_null("outcome"))
        .col(text("reason"))
        .col(text("message"))
        .col(text("counters"))
        .col(big_integer("attempt"))
        .col(big_integer("attempts_charged"))
        .col(small_integer("priority"))
        .col(text("parameters"))
        .col(text("policy"))
        .col(boolean("dry_run"))
        .col(boolean("solo"))
        .col(big_integer_null("slot_at"))
        .col(big_integer_null("nominal_at"))
        .col(big_integer("due_at"))
        .col(big_integer("queued_at"))
        .col(big_integer_null("claim_at"))
        .col(big_integer_null("start_deadline_at"))
        .col(big_integer_null("started_at"))
        .col(big_integer_null("attempt_started_at"))
        .col(big_integer_null("finished_at"))
        .col(uuid_null("lease_owner"))
        .col(big_integer_null("lease_until"))
        .col(text_null("coalesced"))
        .col(boolean("catch_up"))
        .col(uuid_null("retry_of"))
        .col(text("principal"))
        .col(text("request_reason"))
        .col(text_null("cancellation"))
        .col(text_null("progress"))
        .col(big_integer("revision"))
        .col(big_integer("version"))
        .take()
}

fn run_attempts() -> TableCreateStatement {
    Table::create()
        .table("run_attempts")
        .col(uuid("run_id"))
        .col(big_integer("attempt"))
        .col(big_integer("started_at"))
        .col(big_integer("finished_at"))
        .col(uuid_null("replica"))
        .col(text("reason"))
        .col(text("message"))
        .primary_key(Index::create().col("run_id").col("attempt"))
        .take()
}

fn run_log() -> TableCreateStatement {
    Table::create()
        .table("run_log")
        .col(uuid("run_id"))
        .col(big_integer("attempt"))
        .col(big_integer("line"))
        .col(big_integer("at"))
        .col(text("stream"))
        .col(text("text"))
        .primary_key(Index::create().col("run_id").col("attempt").col("line"))
        .take()
}

fn events() -> TableCreateStatement {
    Table::create()
        .table("events")
        .col(big_integer("sequence").primary_key().auto_increment())
        .col(big_integer("at"))
        .col(text("kind"))
        .col(uuid_null("task_id"))
        .col(text("subject"))
        .col(text("payload"))
        .take()
}

fn problems() -> TableCreateStatement {
    Table::create()
        .table("problems")
        .col(text("kind"))
        .col(text("subject"))
        .col(text("severity"))
        .col(text("message"))
        .col(text("action"))
        .col(big_integer("since"))
        .col(big_integer_null("until"))
        .primary_key(Index::create().col("kind").col("subject"))
        .take()
}

fn replicas() -> TableCreateStatement {
    Table::create()
        .table("replicas")
        .col(uuid("id").primary_key())
        .col(text("host"))
        .col(big_integer("process_id"))
        .col(text("version"))
        .col(text("configuration_hash"))
        .col(big_integer("started_at"))
        .col(big_integer("seen_at"))
        .take()
}

fn requests() -> TableCreateStatement {
    Table::create()
        .table("requests")
        .col(text("principal"))
        .col(text("method"))
        .col(text("request_id"))
        .col(text("fingerprint"))
        .col(blob("response"))
        .col(big_integer("created_at"))
        .primary_key(
            Index::create()
                .col("principal")
                .col("method")
                .col("request_id"),
        )
        .take()
}

fn cluster() -> TableCreateStatement {
    Table::create()
        .table("cluster")
        .col(text("key").primary_key())
        .col(text("value"))
        .take()
}
